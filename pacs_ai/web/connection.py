"""A connection of the HTTP port that waits for no request for ever: uvicorn has a time limit only after an answer."""

from asyncio import TimerHandle, Transport

from uvicorn.protocols.http.h11_impl import H11Protocol

_SECONDS = 5.0


class ImpatientConnection(H11Protocol):
    """Ends where no whole request came within some seconds of its beginning, or of the answer before.

    Whoever opens connections and says nothing, or a letter now and then, would keep everybody else out.
    """

    _deadline: TimerHandle | None = None
    _unread: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """The first request is waited for."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for."""
        super().connection_lost(exc)
        self._wait_no_more()
        self._is_read()

    def on_response_complete(self) -> None:
        """The next request is waited for, and until then that the answer is read."""
        self._wait()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """An answer that goes on is read within the same time: a listener that does not keeps a place from others."""
        super().pause_writing()
        self._is_read()
        self._unread = self.loop.call_later(_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """The answer is read."""
        super().resume_writing()
        self._is_read()

    def _is_read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()

    def _wait(self) -> None:
        self._wait_no_more()
        self._deadline = self.loop.call_later(_SECONDS, self._end_without_request)

    def _wait_no_more(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()

    def _end_without_request(self) -> None:
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if not is_answering or self.cycle.more_body:
            self.transport.abort()  # to close it would wait for a peer that does not read

"""Events of the audit log as server-sent events (HTML, section 9.2): a line of data each, soon after it was written."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pacs_ai_storage.database import LedgerUnavailable
from pacs_ai_storage.records import AuditEvent
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from pacs_ai.lines.events import event_line

_LISTENERS = 8
_AT_ONCE = 500
_PAUSE_SECONDS = 0.5  # less than a request has that is under way when the service ends
_SIGN_OF_LIFE = ": \n\n"
_EVERY = 30


@dataclass(slots=True, kw_only=True)
class News:
    """At most eight listen at a time, so that the port has room for everybody else."""

    after: Callable[[int, int], list[AuditEvent]]
    is_over: Callable[[], bool]
    _listening: int = field(default=0, init=False)

    @contextmanager
    def place(self) -> Iterator[None]:
        """One listener more, until the block ends; HTTPException when too many are."""
        if self._listening >= _LISTENERS:
            raise HTTPException(503, f"{_LISTENERS} listen already")
        self._listening += 1
        try:
            yield
        finally:
            self._listening -= 1

    async def lines(self, last: int, is_gone: Callable[[], Awaitable[bool]]) -> AsyncIterator[str]:
        """What is written after the event of that number, until the listener is gone, or the service goes.

        Now and then a line says nothing, so that a connection that has ended is found out.
        """
        quiet = 0
        while not self.is_over() and not await is_gone():
            events = await self._next(last)
            for event in events:
                last = event.identity or last
                yield f"id: {last}\nevent: {event.action}\ndata: {json.dumps(event_line(event))}\n\n"
            quiet = 0 if events else quiet + 1
            if quiet and quiet % _EVERY == 0:
                yield _SIGN_OF_LIFE
            if len(events) < _AT_ONCE:
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _next(self, last: int) -> list[AuditEvent]:
        try:
            return await run_in_threadpool(self.after, last, _AT_ONCE)
        except LedgerUnavailable:
            return []  # the listener waits with us


class Broadcast(StreamingResponse):
    """An answer that has a place among the listeners while it is sent, and gives it back however it ends."""

    def __init__(self, news: News, last: int, is_gone: Callable[[], Awaitable[bool]]) -> None:
        super().__init__(news.lines(last, is_gone), media_type="text/event-stream")
        self._news = news

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Taken before anybody else can be let in."""
        with self._news.place():
            await super().__call__(scope, receive, send)

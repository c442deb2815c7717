"""The association that we have asked for: a report that comes on it and its release do not get in each other's way.

pynetdicom serves an N-EVENT-REPORT in a thread of its own, beside that of the association.
"""

import errno
import threading
import time
from contextlib import suppress
from functools import partial
from queue import Queue
from typing import Any, cast

from pynetdicom.association import Association
from pynetdicom.dimse_primitives import DimseServiceType
from pynetdicom.transport import AssociationSocket

from .giving_back import give_back
from .reports_at_once import ReportsAtOnce

_END = (None, None)
_PDU_SECONDS = 30.0
_LARGE_PDU = 1 << 20
_MOMENT = 0.01
_PIECE = 1 << 16


class Line(AssociationSocket):
    """Each PDU comes within time, and is no larger than a megabyte or what we have said that we take.

    The time-out of a socket is that of one piece: a peer that sends a byte a minute would be listened to for ever.
    """

    seconds: float  # for a PDU that comes
    patience: float | None  # for room to send
    largest: int

    def hold_to(self, seconds: float | None, largest: int) -> None:
        """From now on; pynetdicom itself waits for ever."""
        self.seconds, self.patience = min(_PDU_SECONDS, seconds or _PDU_SECONDS), seconds
        self.largest = max(largest, _LARGE_PDU)

    def send(self, bytestream: bytes) -> None:
        """The peer takes the bytes in time, or the connection is over."""
        if self.socket is not None:
            with suppress(OSError):  # closed; what sends finds out
                self.socket.settimeout(self.patience)
        super().send(bytestream)

    def recv(self, nr_bytes: int) -> bytearray:
        """`nr_bytes`, fewer when the peer has gone; raises TimeoutError, and OSError for more than a PDU may have."""
        connection = self.socket
        assert connection is not None
        if nr_bytes > self.largest:
            raise OSError(errno.EMSGSIZE, "a PDU of that length is not read")
        end, received = time.monotonic() + self.seconds, bytearray()
        while len(received) < nr_bytes:
            connection.settimeout(max(end - time.monotonic(), 0.001))
            piece = connection.recv(min(nr_bytes - len(received), _PIECE))
            if not piece:
                break
            received += piece
        return received


def begin_line(association: Association) -> Line:
    """The connection, which has just been made, is such a one."""
    made = association.dul.socket
    assert made is not None
    made.__class__ = Line
    return cast("Line", made)


class Messages(Queue[Any]):
    """What has come in; the end of the connection is told to everybody who asks.

    pynetdicom puts one sign of it into the queue. The association's own thread may take that away a moment before a
    request is sent, whose answer would then be waited for as long as for one that is on its way.
    """

    def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: ANN401 - as Queue has it
        """The next message, or the end."""
        item = super().get(block, timeout)
        if item == _END:
            self.put(item)
        return item


class Requestor(Association):
    """It is released between two requests of the peer, and only its own thread says that it is at work.

    `release` and each request wait until the thread of the association has paused. The thread that has served a report
    takes the pause back at its end; the association's own thread, already paused, would not say so again, and whoever
    waits for it would wait for ever. An answer that followed the A-RELEASE-RQ would end the state machine (PS3.8
    Table 9-10 has no P-DATA request in Sta7), and with it the connection for both sides.
    """

    _answering: threading.Lock
    _is_releasing: bool
    _reports: ReportsAtOnce

    @property
    def _is_paused(self) -> bool:
        return bool(self.__dict__["_is_paused"])

    @_is_paused.setter
    def _is_paused(self, value: bool) -> None:
        if value or threading.current_thread() is self:
            self.__dict__["_is_paused"] = value

    def _serve_request(self, msg: DimseServiceType, context_id: int) -> None:
        if give_back(self, msg, context_id):
            return
        with self._reports.one_more(self) as has_place:
            if not has_place or not self._may_answer():
                return
            try:
                super()._serve_request(msg, context_id)  # of one that comes after the release began nothing is answered
            finally:
                self._answering.release()

    def _may_answer(self) -> bool:
        """Whether it is this thread's turn, once it is; not that of the association's own while it is being released.

        Who releases has the turn and waits until that thread has paused.
        """
        while not self._answering.acquire(timeout=_MOMENT):
            if self._is_releasing and threading.current_thread() is self:
                return False
        return True

    def release(self) -> None:
        """The association is released, after the answer to a report that has come."""
        self._is_releasing = True
        with self._answering:
            super().release()


def as_requestor(association: Association) -> None:
    """The association is such a one; pynetdicom builds it itself and leaves no place to name another class."""
    association._answering = threading.Lock()  # type: ignore[attr-defined]  # noqa: SLF001 - becomes our own
    association._is_releasing = False  # type: ignore[attr-defined]  # noqa: SLF001 - the same
    # Whoever waits for an answer is told that none will come, and aborts.
    association._reports = ReportsAtOnce(break_off=partial(association.dimse.msg_queue.put, _END))  # type: ignore[attr-defined]  # noqa: SLF001 - the same
    association.dimse.msg_queue.__class__ = Messages
    association.__class__ = Requestor

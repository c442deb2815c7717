"""The association that we have asked for: a report that comes on it and its release do not get in each other's way.

pynetdicom serves an N-EVENT-REPORT in a thread of its own, beside that of the association.
"""

import errno
import threading
import time
from queue import Queue
from typing import Any

from pynetdicom.association import Association
from pynetdicom.dimse_primitives import DimseServiceType
from pynetdicom.transport import AssociationSocket

from .giving_back import give_back
from .reports_at_once import ReportsAtOnce

_END = (None, None)
_LARGEST_PDU = 1 << 20
_PIECE = 1 << 16


class Line(AssociationSocket):
    """Each PDU comes within time, and is no larger than a megabyte.

    The time-out of a socket is that of one piece: a peer that sends a byte a minute would be listened to for ever.
    """

    seconds: float

    def recv(self, nr_bytes: int) -> bytearray:
        """`nr_bytes`, fewer when the peer has gone; raises TimeoutError, and OSError for more than a PDU may have."""
        connection = self.socket
        assert connection is not None
        if nr_bytes > _LARGEST_PDU:
            raise OSError(errno.EMSGSIZE, "a PDU of that length is not read")
        end, usual = time.monotonic() + self.seconds, connection.gettimeout()
        received = bytearray()
        try:
            while len(received) < nr_bytes:
                connection.settimeout(max(end - time.monotonic(), 0.001))
                piece = connection.recv(min(nr_bytes - len(received), _PIECE))
                if not piece:
                    break
                received += piece
        finally:
            connection.settimeout(usual)
        return received


def begin_line(association: Association, seconds: float) -> None:
    """The connection, which has just been made, reads so."""
    line = association.dul.socket
    assert line is not None
    line.__class__ = Line
    line.seconds = seconds  # type: ignore[attr-defined]  # of the class that it is now


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
            if not has_place:
                return
            with self._answering:
                super()._serve_request(msg, context_id)  # of one that comes after the release began nothing is answered

    def release(self) -> None:
        """The association is released, after the answer to a report that has come."""
        with self._answering:
            super().release()


def as_requestor(association: Association) -> None:
    """The association is such a one; pynetdicom builds it itself and leaves no place to name another class."""
    association._answering = threading.Lock()  # type: ignore[attr-defined]  # noqa: SLF001 - becomes our own
    association._reports = ReportsAtOnce()  # type: ignore[attr-defined]  # noqa: SLF001 - the same
    association.dimse.msg_queue.__class__ = Messages
    association.__class__ = Requestor

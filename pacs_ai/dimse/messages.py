"""DIMSE messages as they come in, piece by piece: no more is kept of one than it may have (PS3.7 6.3)."""

import logging
import time
from contextlib import nullcontext
from io import BytesIO
from typing import TYPE_CHECKING

from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.pdu_primitives import P_DATA

from pacs_ai.header import quietly

from .transport import WIRE_ERRORS, Connection

if TYPE_CHECKING:
    from typing_extensions import Buffer  # of collections.abc from Python 3.12

log = logging.getLogger(__name__)

_COMMAND_BYTES = 1 << 16
_MESSAGES_WAITING = 4  # PS3.7 D.3.3.3: one, where nothing else was negotiated
_INVALID_PDU = "Evt19"
_SLOW_BYTES_PER_SECOND = 1024


class Bounded(BytesIO):
    """Bytes up to a limit; of what comes beyond, nothing is kept but that it came."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self.is_exceeded = False

    def write(self, content: "Buffer") -> int:
        """The content is behind what was there; all is gone once it would be too much."""
        size = memoryview(content).nbytes
        if self.is_exceeded or self.tell() + size > self._limit:
            self.is_exceeded = True
            self.seek(0)
            self.truncate()
            return size
        return super().write(content)


class Messages(DIMSEServiceProvider):
    """Ends the association on a message that is none, where pynetdicom's thread would die and keep the peer waiting."""

    begun: float | None
    begun_at_byte: int

    def begin(self) -> None:
        """No message is under way."""
        self.begun, self.begun_at_byte = None, 0

    def receive_primitive(self, primitive: P_DATA) -> None:
        """The piece is part of the message under way, which goes to the association when it is whole."""
        connection = self._connection
        if self.message is None:
            self.begun, self.begun_at_byte = time.monotonic(), connection.received
            self.message = DIMSEMessage()
            self.message.encoded_command_set = Bounded(_COMMAND_BYTES)
            self.message.data_set = Bounded(connection.limits.message_bytes)
        try:
            with quietly() if _is_decoded(primitive) else nullcontext():
                super().receive_primitive(primitive)
        except WIRE_ERRORS:
            log.warning("a DIMSE message that is none came from %s", self.assoc.requestor.address)
            self._break_off()
        connection.owes_answer |= self.message is None
        if self.msg_queue.qsize() > _MESSAGES_WAITING:
            log.warning("%s sends without waiting for answers", self.assoc.requestor.address)
            self._break_off()

    def is_under_way(self) -> bool:
        """Whether a message is coming in, and not so slowly that its sender only wants to be there."""
        connection = self._connection
        if self.message is None and connection.pdu_begun is None:
            return False
        begun = self.begun if self.message is not None else connection.pdu_begun
        seconds = time.monotonic() - (begun or connection.opened)
        received = connection.received - (self.begun_at_byte if self.message is not None else connection.received)
        return seconds < connection.limits.slow_seconds or received > seconds * _SLOW_BYTES_PER_SECOND

    def _break_off(self) -> None:
        self.message = None
        self.dul.event_queue.put(_INVALID_PDU)

    @property
    def _connection(self) -> Connection:
        connection = self.dul.socket
        assert isinstance(connection, Connection)
        return connection


def _is_decoded(primitive: P_DATA) -> bool:
    """Whether the piece has to do with a command or ends the message (PS3.8 E.2); the others are only kept.

    There are hundreds of those in an instance, and to be quiet costs each as much as to keep it.
    """
    return any(value[0] & 0b11 for _, value in primitive.presentation_data_value_list if value)

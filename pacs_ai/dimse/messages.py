"""DIMSE messages as they come in, piece by piece: no more is kept of one than it may have (PS3.7 6.3)."""

import logging
import struct
import time
from collections.abc import Callable
from contextlib import nullcontext
from io import BytesIO
from typing import TYPE_CHECKING

from pacs_ai_storage.instances import ArrivingFile
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ, DIMSEMessage
from pynetdicom.pdu_primitives import P_DATA

from pacs_ai.header import quietly

from .arriving import ArrivingInstance, arriving_instance
from .transport import WIRE_ERRORS, Connection

if TYPE_CHECKING:
    from pynetdicom.dimse import _QueueItem
    from typing_extensions import Buffer  # of collections.abc from Python 3.12

log = logging.getLogger(__name__)

_COMMAND_BYTES = 1 << 16
# Of what is no instance. It holds storage commitment for ten thousand, and pydicom takes ninety times that to read it.
_OTHER_BYTES = 1 << 20
_VALUE_HEADER, _LENGTH_BYTES = struct.Struct(">LBB"), 4  # PS3.8 9.3.5.1
_COMMAND, _COMMAND_OR_LAST = 0b01, 0b11  # PS3.8 E.2
_MESSAGES_WAITING = 4  # PS3.7 D.3.3.3: one, where nothing else was negotiated
INVALID_PDU = "Evt19"
_SLOW_BYTES_PER_SECOND = 1024


class Bounded(BytesIO):
    """Bytes up to a limit; of what comes beyond, nothing is kept but that it came."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self.is_exceeded = False

    def hold_to(self, limit: int) -> None:
        """No more than that is kept."""
        self._limit = limit
        self.write(b"")

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
    begin_file: Callable[[], ArrivingFile]

    def begin(self, begin_file: Callable[[], ArrivingFile]) -> None:
        """No message is under way; instances will go to files that begin so."""
        self.begun, self.begun_at_byte, self.begin_file = None, 0, begin_file

    def receive_primitive(self, primitive: P_DATA) -> None:
        """The piece is part of the message under way, which goes to the association when it is whole."""
        connection = self._connection
        if self.message is None:
            self.begun, self.begun_at_byte = time.monotonic(), connection.received
            self.message = DIMSEMessage()
            self.message.encoded_command_set = Bounded(_COMMAND_BYTES)
            self.message.data_set = Bounded(min(connection.limits.pdu_bytes, connection.limits.message_bytes))
        if self.message.context_id is not None and _has_command(primitive):
            log.warning("%s begins a message within another one", self.assoc.requestor.address)
            self._break_off()
            return
        try:
            with quietly() if _is_decoded(primitive) else nullcontext():
                super().receive_primitive(primitive)
                self._send_to_store()
        except WIRE_ERRORS:
            log.warning("a DIMSE message that is none came from %s", self.assoc.requestor.address)
            self._break_off()
        if self._has_data_without_command():
            log.warning("%s sends a data set before its command", self.assoc.requestor.address)
            self._break_off()
        connection.owes_answer |= self.message is None
        if self.msg_queue.qsize() > _MESSAGES_WAITING:
            log.warning("%s sends without waiting for answers", self.assoc.requestor.address)
            self._break_off()

    def get_msg(self, block: bool = False) -> "_QueueItem":
        """The next message; for who waits (`block`), the answer to what we have asked: requests keep their turn.

        None where the peer goes on with requests and does not answer.
        """
        requests: list[_QueueItem] = []
        found = super().get_msg(block=block)
        while block and _is_request(found[1]) and len(requests) < _MESSAGES_WAITING:
            requests.append(found)
            found = super().get_msg(block=True)
        for request in requests:
            self.msg_queue.put(request)
        if block and _is_request(found[1]):
            discard(getattr(found[1], "DataSet", None))
            return None, None
        return found

    def keep_fragments(self, values: memoryview) -> bool:
        """True: they were fragments of the data set under way, none of them its last, and are part of it now.

        False: they are something else, or damaged, and nothing was done. `values` are presentation data values as
        in PS3.8 9.3.5.1: four bytes of length, one of context, one of control, and the fragment.
        """
        if self.message is None or self.message.context_id is None:
            return False
        fragments, at = [], 0
        while at < len(values):
            if len(values) - at < _VALUE_HEADER.size:
                return False
            length, _, control = _VALUE_HEADER.unpack_from(values, at)
            end = at + _LENGTH_BYTES + length
            if control & _COMMAND_OR_LAST or length < _VALUE_HEADER.size - _LENGTH_BYTES or end > len(values):
                return False
            fragments.append(values[at + _VALUE_HEADER.size : end])
            at = end
        assert self.message.data_set is not None
        for fragment in fragments:
            self.message.data_set.write(fragment)
        return True

    def discard(self) -> None:
        """Nothing remains of instances that came, whole or not, and that nobody will answer for."""
        waiting = [] if self.message is None else [self.message.data_set]
        while not self.msg_queue.empty():
            _, request = self.msg_queue.get_nowait()
            waiting.append(getattr(request, "DataSet", None))
        for data_set in waiting:
            discard(data_set)

    def _send_to_store(self) -> None:
        """The data set of a C-STORE whose command is whole goes to a file from here on; of another, little is kept."""
        message = self.message
        if message is None or not isinstance(message.data_set, Bounded) or message.context_id is None:
            return
        if not isinstance(message, C_STORE_RQ):
            message.data_set.hold_to(_OTHER_BYTES)
            return
        context = self.assoc._accepted_cx[message.context_id]  # noqa: SLF001 - pynetdicom tells it by number nowhere else
        arriving = arriving_instance(
            str(message.command_set.AffectedSOPClassUID),
            str(message.command_set.AffectedSOPInstanceUID),
            str(context.transfer_syntax[0]),
            self.begin_file,
            self._connection.limits.message_bytes,
        )
        arriving.write(message.data_set.getbuffer())
        message.data_set = arriving

    def is_under_way(self) -> bool:
        """Whether a message is coming in, and not so slowly that its sender only wants to be there."""
        connection = self._connection
        if self.message is None and connection.pdu_begun is None:
            return False
        begun = self.begun if self.message is not None else connection.pdu_begun
        seconds = time.monotonic() - (begun or connection.opened)
        received = connection.received - (self.begun_at_byte if self.message is not None else connection.received)
        return seconds < connection.limits.slow_seconds or received > seconds * _SLOW_BYTES_PER_SECOND

    def _has_data_without_command(self) -> bool:
        # PS3.7 6.3.1: a message is a command set, and then perhaps a data set.
        message = self.message
        return message is not None and message.context_id is None and bool(message.data_set and message.data_set.tell())

    def _break_off(self) -> None:
        if self.message is not None:
            discard(self.message.data_set)
        self.message = None
        self.dul.event_queue.put(INVALID_PDU)

    @property
    def _connection(self) -> Connection:
        connection = self.dul.socket
        assert isinstance(connection, Connection)
        return connection


def discard(data_set: BytesIO | None) -> None:
    """Nothing remains of an instance that was not kept."""
    if isinstance(data_set, ArrivingInstance):
        data_set.discard()


def _is_request(message: object) -> bool:
    return message is not None and getattr(message, "MessageIDBeingRespondedTo", None) is None


def _has_command(primitive: P_DATA) -> bool:
    return any(value[0] & _COMMAND for _, value in primitive.presentation_data_value_list if value)


def _is_decoded(primitive: P_DATA) -> bool:
    """Whether the piece has to do with a command or ends the message (PS3.8 E.2); the others are only kept.

    There are hundreds of those in an instance, and to be quiet costs each as much as to keep it.
    """
    return any(value[0] & _COMMAND_OR_LAST for _, value in primitive.presentation_data_value_list if value)

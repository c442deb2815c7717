"""How bytes come off a connection: in large pieces, within time, and no longer than a PDU may be (PS3.8 9.3)."""

import logging
import select
import socket
import ssl
import struct
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, cast

from pynetdicom.dul import DULServiceProvider
from pynetdicom.fsm import InvalidEventError
from pynetdicom.pdu import A_ASSOCIATE_RQ, P_DATA_TF
from pynetdicom.transport import AssociationSocket

from pacs_ai.header import PARSE_ERRORS

from .doorbell import LONGEST_REST

log = logging.getLogger(__name__)

# What pynetdicom raises on PDUs and messages that are none: its assertions are about what a peer has sent.
WIRE_ERRORS = (*PARSE_ERRORS, IndexError, AssertionError)
_PIECE = 1 << 18
_PDU_TYPES = range(0x01, 0x08)
_PDU_HEADER_BYTES, _P_DATA_TF = 6, 0x04  # PS3.8 9.3.5
_CONNECTION_CLOSED, _INVALID_PDU = "Evt17", "Evt19"  # PS3.8 table 9-10
_DATA_TRANSFER = "Sta6"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a peer may take of us: seconds and bytes.

    Whoever has been quiet for `quiet_seconds`, or sends for `slow_seconds` at less than 1 KiB a second, may have
    to make room.
    """

    request_seconds: float = 5
    pdu_seconds: float = 30
    quiet_seconds: float = 1  # between two instances of a sender that is at work
    slow_seconds: float = 10
    pdu_bytes: int = 1 << 20
    message_bytes: int = 512 << 20


class Connection(AssociationSocket):
    """pynetdicom reads 4096 bytes at a time, 2500 turns at the lock for a radiograph, and waits for ever.

    Here one turn takes what has come, several PDUs where the peer is fast; what is not asked for yet is kept.
    """

    limits: Limits
    opened: float
    received: int
    last_traffic: float
    pdu_begun: float | None
    has_request: bool
    owes_answer: bool
    _come: bytearray

    def begin(self, limits: Limits) -> None:
        """The connection, still unread, is held to these limits."""
        self.limits, self.received, self.pdu_begun = limits, 0, None
        self.has_request = self.owes_answer = False
        self._come = bytearray()
        self.opened = self.last_traffic = time.monotonic()

    @property
    def ready(self) -> bool:
        """Whether there is something to read; where nothing is there to be sent, the thread waits for it a while."""
        if self._come:
            return True
        if not self.owes_answer:
            self._rest()
        return super().ready

    def _rest(self) -> None:
        connection = self.socket
        if connection is None or not self._is_connected:
            return
        if isinstance(connection, ssl.SSLSocket) and connection.pending():
            return
        with suppress(OSError, ValueError):  # closed; the caller will find out
            select.select([connection], [], [], LONGEST_REST)

    def read_pdu(self) -> bytes | None:
        """A whole PDU; b"" where it is too long or of no known type, None when the peer is gone or too slow."""
        self.pdu_begun = time.monotonic()
        try:
            header = self.recv(6)
            if len(header) < 6:
                return None
            kind, _, length = struct.unpack(">BBL", header)
            # What is announced is not allocated, and what is too long is not read.
            if kind not in _PDU_TYPES or length > self.limits.pdu_bytes:
                return b""
            body = self.recv(length)
            return bytes(header + body) if len(body) == length else None
        finally:
            self.pdu_begun, self.last_traffic = None, time.monotonic()

    def recv(self, nr_bytes: int) -> bytearray:
        """`nr_bytes`, fewer only when the peer has gone or is too slow."""
        connection = self.socket
        with suppress(OSError):
            while connection is not None and len(self._come) < nr_bytes:
                connection.settimeout(max(self._end - time.monotonic(), 0.001))
                piece = connection.recv(_PIECE)
                if not piece:
                    break
                self._come += piece
                self.received += len(piece)
        received = self._come[:nr_bytes]
        del self._come[:nr_bytes]
        return received

    @property
    def _end(self) -> float:
        """When the PDU that is being read has to be whole; the association request, so long after the connection."""
        if not self.has_request:
            return self.opened + self.limits.request_seconds
        return (self.pdu_begun or self.last_traffic) + self.limits.pdu_seconds

    def send(self, bytestream: bytes) -> None:
        """The peer takes the bytes in time, or the connection is over."""
        if self.socket is not None:
            with suppress(OSError):
                self.socket.settimeout(self.limits.pdu_seconds)
        super().send(bytestream)
        self.owes_answer = False
        self.last_traffic = time.monotonic()

    def end(self) -> None:
        """The connection is over, and nothing is read any more."""
        self.cut()
        self._is_connected = False

    def cut(self) -> None:
        """Whoever reads or writes here, in any thread, finds the connection at its end."""
        cut(self.socket)


def cut(connection: socket.socket | None) -> None:
    """The connection is over for both ends."""
    if connection is not None:
        with suppress(OSError):
            # Of the plain socket: that of TLS would lose its keys under the thread that reads.
            socket.socket.shutdown(connection, socket.SHUT_RDWR)


class FragmentKeeper(Protocol):
    """Takes the presentation data values of a P-DATA-TF PDU that does not have to be decoded."""

    def keep_fragments(self, values: memoryview) -> bool:
        """True when all of them are kept; False when the PDU has to be decoded after all."""


class Provider(DULServiceProvider):
    """Reads and checks each PDU itself: pynetdicom prints what it cannot read, and dies of some of it."""

    def _read_pdu_data(self) -> None:
        connection = self.socket
        assert isinstance(connection, Connection)
        content = connection.read_pdu()
        while content and self._is_kept(content):
            self._idle_timer.restart()
            if self._kill_thread or not self.to_provider_queue.empty() or not connection.ready:
                return
            content = connection.read_pdu()
        if content is None:
            connection.end()
            self.event_queue.put(_CONNECTION_CLOSED)
            self._give_up_request(connection)
            return
        try:
            pdu, event = self._decode_pdu(bytearray(content))
            if not isinstance(pdu, P_DATA_TF):
                pdu.to_primitive()  # the state machine does the same where nothing catches what it raises
        except WIRE_ERRORS:
            log.warning("a PDU that is none came from %s", self.assoc.requestor.address)
            self.event_queue.put(_INVALID_PDU)
            self._give_up_request(connection)
            return
        connection.has_request |= isinstance(pdu, A_ASSOCIATE_RQ)
        # A message is answered when it is whole, see Messages; every other PDU is, or ends the association.
        connection.owes_answer |= not isinstance(pdu, P_DATA_TF)
        self._recv_pdu.put(pdu)
        self.event_queue.put(event)

    def _is_kept(self, content: bytes) -> bool:
        """Whether the PDU held only pieces of the data set under way, which it is part of now.

        An instance comes in hundreds of them; none changes the state (PS3.8 table 9-10, Sta6 and Evt10).
        """
        if content[0] != _P_DATA_TF or self.state_machine.current_state != _DATA_TRANSFER:
            return False
        return cast("FragmentKeeper", self.assoc.dimse).keep_fragments(memoryview(content)[_PDU_HEADER_BYTES:])

    def _give_up_request(self, connection: Connection) -> None:
        """The association's thread waits no longer for a request that will not come."""
        if not connection.has_request:
            self.to_user_queue.put(cast("Any", None))

    def run(self) -> None:
        """The thread; an event that the state machine does not know ends the association and nothing else."""
        try:
            super().run()
        except (InvalidEventError, *WIRE_ERRORS) as error:
            log.warning("an association with %s is broken off: %s", self.assoc.requestor.address, type(error).__name__)
            if isinstance(self.socket, Connection):
                self.socket.cut()

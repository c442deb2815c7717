"""PDUs and DIMSE commands written by hand, so that they can be written wrongly (PS3.8 9.3, PS3.7 E)."""

import gc
import os
import socket
import struct
import threading

from .peers import VERIFICATION

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)
_IMPLICIT = "1.2.840.10008.1.2"


def pdu(kind: int, body: bytes, *, length: int | None = None) -> bytes:
    """A PDU, which may announce another length than it has."""
    return struct.pack(">BBL", kind, 0, len(body) if length is None else length) + body


def item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(body)) + body


def association_request(
    *, called: str = "PACS_AI", calling: str = "MODALITY", contexts: tuple[tuple[str, str], ...] = ()
) -> bytes:
    """An A-ASSOCIATE-RQ for Verification and these pairs of SOP class and transfer syntax."""
    pairs = ((VERIFICATION, _IMPLICIT), *contexts)
    proposed = b"".join(
        item(0x20, bytes([2 * number + 1, 0, 0, 0]) + item(0x30, sop_class.encode()) + item(0x40, syntax.encode()))
        for number, (sop_class, syntax) in enumerate(pairs)
    )
    user = item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3.4")
    fixed = struct.pack(">HH16s16s32s", 1, 0, called.ljust(16).encode(), calling.ljust(16).encode(), b"")
    return pdu(ASSOCIATE_RQ, fixed + item(0x10, b"1.2.840.10008.3.1.1.1") + proposed + item(0x50, user))


def p_data(content: bytes, *, is_command: bool, is_last: bool, context: int = 1) -> bytes:
    """A P-DATA-TF PDU with one fragment."""
    return pdu(P_DATA, struct.pack(">LBB", len(content) + 2, context, is_command | is_last << 1) + content)


def command(elements: dict[int, bytes]) -> bytes:
    """A command set: element number of group 0000 to value."""
    body = b"".join(struct.pack("<HHL", 0, number, len(found)) + found for number, found in sorted(elements.items()))
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


def padded(uid: str) -> bytes:
    return uid.encode() + b"\0" * (len(uid) % 2)


def u16(number: int) -> bytes:
    return struct.pack("<H", number)


ECHO = command({0x0002: padded(VERIFICATION), 0x0100: u16(0x0030), 0x0110: u16(1), 0x0800: u16(0x0101)})


def store_command(sop_class: str, sop_instance: str) -> bytes:
    """A C-STORE-RQ."""
    uids = {0x0002: padded(sop_class), 0x1000: padded(sop_instance)}
    return command(uids | {0x0100: u16(0x0001), 0x0110: u16(1), 0x0700: u16(0), 0x0800: u16(0x0001)})


def read_pdu(connection: socket.socket) -> tuple[int, bytes]:
    """Type and body of the next PDU; (0, b"") when the connection has ended."""
    header = _read(connection, 6)
    if len(header) < 6:
        return 0, b""
    kind, _, length = struct.unpack(">BBL", header)
    return kind, _read(connection, length)


def _read(connection: socket.socket, count: int) -> bytes:
    received = bytearray()
    while len(received) < count:
        try:
            piece = connection.recv(count - len(received))
        except ConnectionError:
            break
        if not piece:
            break
        received += piece
    return bytes(received)


def resources() -> tuple[int, int]:
    """Threads and open files of this process, the port among them."""
    gc.collect()
    return threading.active_count(), len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the count of a moment

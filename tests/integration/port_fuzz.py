"""Damaged PDUs, DIMSE messages and data sets, made from sound ones by a generator with a seed."""

import random
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread

from .peers import HOST, data_set_of
from .wire import (
    ABORT,
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    ASSOCIATE_RQ,
    ECHO,
    P_DATA,
    RELEASE_RP,
    RELEASE_RQ,
    association_request,
    command,
    p_data,
    pdu,
    read_pdu,
    store_command,
    u16,
)

_ANSWER_SECONDS = 0.03
_PDUS = (ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT)


@dataclass(frozen=True, kw_only=True)
class Sound:
    """What a modality would send, as bytes."""

    request: bytes
    store: bytes
    content: bytes

    @classmethod
    def of(cls, path: Path) -> "Sound":
        """The request and the messages that store this file."""
        sent = dcmread(path, stop_before_pixels=True)
        return cls(
            request=association_request(contexts=((sent.SOPClassUID, sent.file_meta.TransferSyntaxUID),)),
            store=store_command(sent.SOPClassUID, sent.SOPInstanceUID),
            content=data_set_of(path),
        )


def attacks(seed: int) -> Iterator[Callable[[Sound], list[bytes]]]:
    """Without end: what to send over one connection, piece by piece."""
    chance = random.Random(seed)  # noqa: S311 - damage has to be the same each time
    while True:
        kind = chance.choice(_KINDS)
        draw = random.Random(chance.random())  # noqa: S311 - as above
        yield lambda sound, kind=kind, draw=draw: kind(sound, draw)  # type: ignore[misc]


def attack(port: int, pieces: list[bytes]) -> None:
    """The pieces are sent over one connection, answers are taken as they come, and the connection is dropped."""
    with suppress(OSError), socket.create_connection((HOST, port), timeout=5) as connection:
        connection.settimeout(_ANSWER_SECONDS)
        for piece in pieces:
            connection.sendall(piece)
            with suppress(TimeoutError):
                read_pdu(connection)


def _noise(_sound: Sound, chance: random.Random) -> list[bytes]:
    return [chance.randbytes(chance.randrange(1, 300))]


def _damaged_request(sound: Sound, chance: random.Random) -> list[bytes]:
    return [_damaged(sound.request, chance)]


def _strange_pdus(sound: Sound, chance: random.Random) -> list[bytes]:
    """PDUs of any type, in any state, with lengths that may be lies."""
    pieces = [sound.request] if chance.random() < 0.8 else []
    for _ in range(chance.randrange(1, 5)):
        body = chance.randbytes(chance.choice((0, 1, 4, 10, 68, 500)))
        length = chance.choice((None, None, 0, 1, len(body) + 5, 0xFFFFFFFF))
        pieces.append(pdu(chance.choice((*_PDUS, *_PDUS, chance.randrange(256))), body, length=length))
    return pieces


def _damaged_command(sound: Sound, chance: random.Random) -> list[bytes]:
    sent = _damaged(chance.choice((ECHO, sound.store)), chance)
    first = p_data(sent, is_command=True, is_last=True, context=chance.choice((1, 3, 5, 255)))
    return [sound.request, first, p_data(sound.content[:500], is_command=False, is_last=True, context=3)]


def _strange_command(sound: Sound, chance: random.Random) -> list[bytes]:
    """A command set whose elements are each sound, of any service, in any combination; and fragments out of order."""
    elements = {
        0x0002: chance.choice((b"", b"1.2.840.10008.1.1\0", b"1.2.3", b"\xff" * 70, b"1.2\\1.3")),
        0x0100: u16(chance.choice((0x0001, 0x8001, 0x0020, 0x0021, 0x0010, 0x0030, 0x0FFF, 0x0100, 0x0130, 7))),
        0x0110: chance.choice((u16(1), b"", b"\1", u16(65535), b"\1\0\2\0")),
        0x0120: u16(1),
        0x0700: u16(chance.randrange(5)),
        0x0800: chance.choice((u16(0x0101), u16(1), b"", u16(0))),
        0x0900: u16(chance.randrange(65536)),
        0x1000: chance.choice((b"1.2.3.4\0", b"", b"../..\0")),
        0x1030: b"\xffA\\B",
    }
    kept = {number: found for number, found in elements.items() if chance.random() < 0.8}
    sent = p_data(command(kept), is_command=True, is_last=chance.random() < 0.9, context=chance.choice((1, 3)))
    after = [p_data(chance.randbytes(50), is_command=chance.random() < 0.3, is_last=True, context=3) for _ in range(2)]
    empty = pdu(P_DATA, struct.pack(">LB", 1, 1))
    pieces = [sound.request, sent, *after, *([empty] if chance.random() < 0.3 else [])]
    return [*pieces, pdu(RELEASE_RQ, bytes(4))]


def _damaged_set(sound: Sound, chance: random.Random) -> list[bytes]:
    """A sound C-STORE-RQ of a damaged data set, in one fragment or in many, the last of which may be missing."""
    content = _damaged(sound.content, chance, within=600)
    size = chance.choice((len(content), 1000, 5000))
    parts = [content[start : start + size] for start in range(0, len(content), size)]
    fragments = [p_data(part, is_command=False, is_last=False, context=3) for part in parts[:-1]]
    last = p_data(parts[-1], is_command=False, is_last=chance.random() < 0.9, context=3)
    return [sound.request, p_data(sound.store, is_command=True, is_last=True, context=3) + b"".join(fragments) + last]


def _damaged(sound: bytes, chance: random.Random, *, within: int | None = None) -> bytes:
    """A few bytes changed, put in, left out or repeated, mostly among the first `within`; or the end cut off."""
    damaged = bytearray(sound)
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(min(len(damaged), within or len(damaged)))
        what = chance.randrange(5)
        if what == 0:
            damaged[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        elif what == 1:
            damaged[at:at] = chance.randbytes(chance.randrange(1, 9))
        elif what == 2:
            del damaged[at : at + chance.randrange(1, 9)]
        elif what == 3:
            damaged[at : at + 4] = chance.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0"))
        else:
            damaged[at:at] = damaged[at : at + chance.randrange(1, 200)]
    if chance.random() < 0.2:
        del damaged[chance.randrange(len(damaged)) :]
    return bytes(damaged) or b"\0"


_KINDS = (_noise, _damaged_request, _strange_pdus, _damaged_command, _strange_command, _damaged_set)

"""What a JPEG, JPEG-LS or JPEG 2000 codestream says of its samples, read before a codec sees it."""

import struct
from dataclasses import dataclass

_SOF55 = 0xF7  # of JPEG-LS
_NO_SOF = {0xC4, 0xC8, 0xCC}  # DHT, JPG and DAC lie among SOF0..SOF15


@dataclass(frozen=True, slots=True, kw_only=True)
class Codestream:
    """The image that a codestream announces; `precision` is the bits of a sample, which JPEG 2000 alone may sign."""

    rows: int
    columns: int
    precision: int
    is_signed: bool = False


def read_codestream(frame: bytes) -> Codestream | None:
    """What SOFn (ISO 10918-1 B.2.2) or SIZ (ISO 15444-1 A.5.1) announces; None where there is neither.

    Raises struct.error for a frame that ends within it.
    """
    return _siz(frame) if frame[:2] == b"\xff\x4f" else _sof(frame)


def _siz(frame: bytes) -> Codestream:
    right, bottom, left, top = struct.unpack_from(">4I", frame, 8)
    (depth,) = struct.unpack_from("B", frame, 42)
    return Codestream(
        rows=bottom - top, columns=right - left, precision=(depth & 0x7F) + 1, is_signed=bool(depth & 0x80)
    )


def _sof(frame: bytes) -> Codestream | None:
    position = 2 if frame[:2] == b"\xff\xd8" else len(frame)
    while position + 9 <= len(frame) and frame[position] == 0xFF:
        if frame[position + 1] == 0xFF:  # any number of these may fill the place before a marker (B.1.1.2)
            position += 1
            continue
        marker, length = frame[position + 1], int.from_bytes(frame[position + 2 : position + 4])
        if marker == _SOF55 or (0xC0 <= marker <= 0xCF and marker not in _NO_SOF):
            precision, rows, columns = struct.unpack_from(">B2H", frame, position + 4)
            return Codestream(rows=rows, columns=columns, precision=precision)
        position += 2 + length
    return None

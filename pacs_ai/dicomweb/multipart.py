"""The body of a Store Instances request: multipart/related, each instance as its Part 10 file (PS3.18 8.6.1.2)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """An instance as a file that stands at its beginning, and its size in bytes."""

    content: BinaryIO
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The parts between their boundaries, made while they are sent; `boundary` must be in none of them."""

    parts: Sequence[Part]
    boundary: str

    @property
    def content_type(self) -> str:
        """The media type with its parameters."""
        return f'multipart/related; type="application/dicom"; boundary={self.boundary}'

    @property
    def length(self) -> int:
        """The bytes of the whole body."""
        return sum(part.size + len(self._before) + len(_AFTER) for part in self.parts) + len(self._end)

    def __iter__(self) -> Iterator[bytes]:
        """Pieces of at most 64 KiB; OSError where a file does not have its size."""
        for part in self.parts:
            yield self._before
            yield from _pieces(part)
            yield _AFTER
        yield self._end

    @property
    def _before(self) -> bytes:
        return f"--{self.boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode("ascii")

    @property
    def _end(self) -> bytes:
        return f"--{self.boundary}--\r\n".encode("ascii")


_AFTER = b"\r\n"


def _pieces(part: Part) -> Iterator[bytes]:
    left = part.size
    while left:
        piece = part.content.read(min(_CHUNK, left))
        if not piece:
            message = "the file has become shorter"
            raise OSError(message)
        left -= len(piece)
        yield piece

"""The deflated transfer syntax (PS3.5 A.5), inflated no further than asked: a few bytes may stand for gigabytes."""

import zlib
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from .errors import LimitExceeded
from .meta import read_meta
from .metered import MeteredFile

_PIXEL_DATA = 0x7FE00010
_META_BYTES = 4096  # the transfer syntax stands in the file meta, which is a few hundred bytes long


def inflate(deflated: bytes, most: int) -> bytes:
    """The first `most` bytes of what the deflated bytes stand for; raises zlib.error when they are not deflated."""
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(deflated, most)


def is_deflated(path: Path) -> bool:
    """Whether the file may hold a deflated data set; what pydicom would inflate whole is never missed."""
    with path.open("rb") as file:
        return DeflatedExplicitVRLittleEndian.encode() in file.read(_META_BYTES)


def read_deflated(path: Path, *, stop_before_pixels: bool, max_bytes: int) -> Dataset | None:
    """The data set with its file meta; None when the file is in another transfer syntax after all.

    Raises LimitExceeded when it would be larger than `max_bytes`, zlib.error and pydicom's errors when it is damaged.
    """
    with path.open("rb") as file:
        meta = read_meta(file)
        if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
            return None
        content = inflate(file.read(), max_bytes + 1)
    if len(content) > max_bytes:
        message = f"The data set inflates to more than {max_bytes >> 20} MB (ingest.max_instance_mb)."
        raise LimitExceeded(message)
    dataset = read_dataset(
        MeteredFile(content),
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=lambda tag, _vr, _length: stop_before_pixels and tag == _PIXEL_DATA,
    )
    dataset.file_meta = meta
    return dataset

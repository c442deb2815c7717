"""The File Meta Information (PS3.10 7.1), with or without a preamble before it."""

from typing import BinaryIO

from pydicom.dataset import FileMetaDataset
from pydicom.filereader import read_dataset

_PREAMBLE = 132
_GROUP = 2


def read_meta(file: BinaryIO) -> FileMetaDataset:
    """The meta information, empty where there is none; the file then stands at the first element of the data set.

    Raises pydicom's errors when it is damaged.
    """
    if not file.read(_PREAMBLE).endswith(b"DICM"):
        file.seek(0)
    return FileMetaDataset(
        read_dataset(
            file, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, _vr, _length: tag.group != _GROUP
        )
    )

"""An instance on its way from the network to the store: it is never whole in memory, however large it is."""

from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, Self

from pacs_ai_storage.instances import ArrivingFile, OutOfSpace
from pacs_ai_storage.records import KeptFile
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID
from pynetdicom.dsutils import create_file_meta, encode_file_meta

if TYPE_CHECKING:
    from typing_extensions import Buffer  # of collections.abc from Python 3.12

FRONT_BYTES = 1 << 20  # the identifiers stand there
# pynetdicom's when the first instances were kept, and no newer one's: by the hash of its file, this meta included, an
# instance that comes again is known to be the same.
_WRITTEN_BY, _WRITTEN_BY_VERSION = UID("1.2.826.0.1.3680043.9.3811.3.0.4"), "PYNETDICOM_304"


class ArrivingInstance(BytesIO):
    """Stands where pynetdicom collects a data set. What is written goes to a file of the store as a Part 10 file.

    Of the data set only the front can be read back (`getvalue`, 1 MiB). An error of the disk is raised when the
    instance is kept, not in the thread that reads from the network; what comes after it is dropped.
    """

    def __init__(self, meta: FileMetaDataset, begin: Callable[[], ArrivingFile], limit: int) -> None:
        """Nothing has come yet; raises ValueError and its like where the meta cannot be encoded."""
        super().__init__()
        self.meta = meta
        self.preamble = preamble(meta)  # raises here what is wrong with it, while there is no file
        self.is_exceeded = False
        self._begin = begin
        self._limit = limit
        self._size = 0
        self._file: ArrivingFile | None = None
        self._failure: Exception | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def write(self, content: "Buffer") -> int:
        """The content is behind what was there; nothing is kept of what is larger than the limit."""
        piece = memoryview(content)
        self._size += piece.nbytes
        self.is_exceeded |= self._size > self._limit
        if self.is_exceeded:
            self.discard()
        elif self._failure is None:
            self._write(piece)
        return piece.nbytes

    def check(self) -> None:
        """All that came is in the file; raises OutOfSpace and OSError as the disk did."""
        if self._failure is not None:
            raise self._failure

    def keep(self) -> KeptFile:
        """The instance, checked before, is a durable file; raises OutOfSpace and OSError."""
        assert self._file is not None
        return self._file.keep()

    def discard(self) -> None:
        """Nothing remains of an instance that was not kept."""
        if self._file is not None:
            self._file.discard()

    def _write(self, piece: memoryview) -> None:
        if (room := FRONT_BYTES - self.tell()) > 0:
            super().write(piece[:room])
        try:
            if self._file is None:
                self._file = self._begin()
                self._file.write(self.preamble)
            self._file.write(piece)
        except (OutOfSpace, OSError) as error:
            self._failure = error
            self.discard()


def arriving_instance(
    sop_class_uid: str, sop_instance_uid: str, transfer_syntax: str, begin: Callable[[], ArrivingFile], limit: int
) -> ArrivingInstance:
    """Nothing has come of it yet but what the command says."""
    meta = create_file_meta(
        sop_class_uid=UID(sop_class_uid),
        sop_instance_uid=UID(sop_instance_uid),
        transfer_syntax=UID(transfer_syntax),
        implementation_uid=_WRITTEN_BY,
        implementation_version=_WRITTEN_BY_VERSION,
    )
    return ArrivingInstance(meta, begin, limit)


def preamble(meta: FileMetaDataset) -> bytes:
    """What a Part 10 file begins with (PS3.10 7.1)."""
    return b"\0" * 128 + b"DICM" + encode_file_meta(meta)

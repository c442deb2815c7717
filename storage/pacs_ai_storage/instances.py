"""Files that survive a power cut, named by the hash of their content and never by anything a peer sent."""

import errno
import hashlib
import os
import shutil
import sys
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from threading import Lock
from typing import Self

from .durable import make_folder, sync_folder
from .records import KeptFile

Piece = bytes | memoryview
_BYTES_BETWEEN_LOOKS = 16 << 20  # at the reserve, by each file that comes in
_BYTES_OF_RESULTS = 1 << 20  # of a study: a capture for each film, and a report
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Condition(StrEnum):
    """How a kept file is found again."""

    INTACT = "intact"
    CHANGED = "changed"
    GONE = "gone"


class OutOfSpace(Exception):
    """The disk is full or below its reserve; nothing was kept."""


class InstanceStore:
    """A folder of Part 10 files; a file is either whole and durable or not there."""

    def __init__(self, root: Path, *, reserve_bytes: int = 0) -> None:
        self._root = root
        self._reserve = reserve_bytes
        self._incoming = root / "incoming"
        self._naming = Lock()
        make_folder(root)
        make_folder(self._incoming)
        sync_folder(root)  # of an earlier run that ended between making a folder and syncing it

    def sweep(self) -> None:
        """Nothing is left of what an earlier run had begun to write; nobody else may be writing here."""
        for part in self._incoming.glob("*.part"):
            part.unlink(missing_ok=True)

    def free_bytes(self) -> int:
        """What is left on the disk above the reserve; negative below it."""
        return shutil.disk_usage(self._root).free - self._reserve

    def takes_files(self) -> bool:
        """Whether the file system can be written and has room for one more name; where it does not say so, it has."""
        if sys.platform == "win32":
            return True
        found = os.statvfs(self._root)
        has_names = found.f_files == 0 or found.f_favail > 0  # some file systems do not count them
        return has_names and not found.f_flag & os.ST_RDONLY

    def keep(self, pieces: Iterable[Piece]) -> KeptFile:
        """The pieces are one durable file: written aside, synced, renamed, folder synced.

        The reserve is for these, results, without which nothing that came in would ever go again. Keeping the same
        bytes twice gives the same file. Raises OutOfSpace on a full disk.
        """
        with self._begun(spares_reserve=False) as file:
            for piece in pieces:
                file.write(piece)
            return file.keep()

    def begin(self, *, expected_bytes: int = 0) -> "ArrivingFile":
        """A file that comes in piece by piece; it counts for nothing until it is kept.

        Raises OutOfSpace below the reserve or on a full disk.
        """
        self.check_space(expected_bytes)
        return self._begun(spares_reserve=True)

    def _begun(self, *, spares_reserve: bool) -> "ArrivingFile":
        part = self._incoming / f"{uuid.uuid4().hex}.part"
        with _full_disk_is_told():
            return ArrivingFile(self, part, spares_reserve=spares_reserve)

    def has_room_for_results(self) -> bool:
        """Whether what is read now could be kept, in the reserve if need be; not where the disk does not answer."""
        try:
            return shutil.disk_usage(self._root).free >= _BYTES_OF_RESULTS
        except OSError:
            return False

    def check_space(self, expected_bytes: int = 0) -> None:
        """There is so much room above the reserve; raises OutOfSpace otherwise."""
        if self.free_bytes() < expected_bytes:
            message = "the disk is below its reserve (disk_reserve_gb)"
            raise OutOfSpace(message)

    def settle(self, part: Path, size: int, sha256: str) -> KeptFile:
        """The synced file has the name of its content, for good."""
        path = Path(sha256[:2]) / f"{sha256}.dcm"
        folder = self._root / path.parent
        with self._naming:  # nobody uses a folder that another has made and not synced yet
            make_folder(folder)
            part.replace(self._root / path)
        sync_folder(folder)
        return KeptFile(path=path.as_posix(), size=size, sha256=sha256)

    def locate(self, file: KeptFile) -> Path:
        """Where the file lies."""
        return self._root / file.path

    def folders(self) -> Iterator[list[str]]:
        """The paths of all files, folder by folder."""
        for folder in sorted(self._root.glob("[0-9a-f][0-9a-f]")):
            yield [path.relative_to(self._root).as_posix() for path in sorted(folder.glob("*.dcm"))]

    def remove(self, path: str, *, older_than: datetime) -> bool:
        """The file is not there; False, and it stays, when the same content was kept again since that time."""
        whole = self._root / path
        with self._naming:  # the same content may come in at this moment
            try:
                if whole.stat().st_mtime >= older_than.timestamp():
                    return False
                whole.unlink()
            except FileNotFoundError:
                pass
            return True

    def condition(self, file: KeptFile) -> Condition:
        """Whether the file is there and has the content that it was kept with."""
        try:
            with self.locate(file).open("rb") as opened:
                found = hashlib.file_digest(opened, "sha256").hexdigest()
        except FileNotFoundError:
            return Condition.GONE
        return Condition.INTACT if found == file.sha256 else Condition.CHANGED


class ArrivingFile:
    """A `.part` file that its writer either keeps or leaves; left, also by an error, nothing remains of it."""

    def __init__(self, store: InstanceStore, part: Path, *, spares_reserve: bool) -> None:
        self._store = store
        self._spares_reserve = spares_reserve
        self._part = part
        self._digest = hashlib.sha256()
        self._size = self._looked_at_size = 0
        self._descriptor: int | None = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def write(self, piece: Piece) -> None:
        """The piece is the file's next; raises OutOfSpace as `keep` does."""
        assert self._descriptor is not None
        self._digest.update(piece)
        with _full_disk_is_told():
            self._size += _write_all(self._descriptor, memoryview(piece))
        if self._spares_reserve and self._size - self._looked_at_size >= _BYTES_BETWEEN_LOOKS:
            self._looked_at_size = self._size
            self._store.check_space()

    def keep(self) -> KeptFile:
        """The file is whole, durable and named by its content; raises OutOfSpace."""
        assert self._descriptor is not None
        with _full_disk_is_told():
            os.fsync(self._descriptor)
            self._close()
            return self._store.settle(self._part, self._size, self._digest.hexdigest())

    def discard(self) -> None:
        """Nothing is left of what was not kept."""
        self._close()
        with suppress(OSError):
            self._part.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)


@contextmanager
def _full_disk_is_told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            message = "the disk is full"
            raise OutOfSpace(message) from error
        raise


def _write_all(descriptor: int, piece: memoryview) -> int:
    written = 0
    while written < len(piece):
        written += os.write(descriptor, piece[written:])
    return written

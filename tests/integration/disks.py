"""Small disks that fill up: a file system in memory where one can be mounted, else a limit on the size of files."""

import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

_PAGE = 4096


class Disk(Protocol):
    folder: Path

    def fill(self, *, but: int = 0) -> None: ...

    def make_room(self) -> None: ...


class MemoryDisk:
    """A tmpfs: what is full here is full to everybody."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"

    def fill(self, *, but: int = 0) -> None:
        self.make_room()
        with self._ballast.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(16 * _PAGE)):
                    pass
            except OSError:
                file.truncate(file.tell() - but)

    def make_room(self) -> None:
        self._ballast.unlink(missing_ok=True)


class LimitedFiles:
    """No file of this process grows beyond what it has, and a rest: the same errors come from the same calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, *, but: int = 0) -> None:
        logs = [path.stat().st_size for path in self.folder.rglob("*-wal")]
        self._limit(max([_PAGE, *logs]) + but)

    def make_room(self) -> None:
        self._limit(resource.RLIM_INFINITY)

    @staticmethod
    def _limit(size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def _mounted(folder: Path, options: str) -> bool:
    words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        return subprocess.run(words, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@contextmanager
def small_disk(folder: Path, *, megabytes: int = 32) -> Iterator[Disk]:
    folder.mkdir()
    is_mounted = _mounted(folder, f"size={megabytes}m")
    disk: Disk = MemoryDisk(folder) if is_mounted else LimitedFiles(folder)
    print(f"a full disk is {'a tmpfs' if is_mounted else 'a limit on the size of files (no tmpfs can be mounted)'}")  # noqa: T201 - which of the two
    try:
        yield disk
    finally:
        disk.make_room()
        if is_mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def until_it_works(disk: Disk, step: Callable[[], bool], *, most: int = 64) -> int:
    """The step is tried with one page more each time; returns how often it failed before it was done."""
    for pages in range(most):
        disk.fill(but=pages * _PAGE)
        if step():
            disk.make_room()
            return pages
    message = f"not done with {most} pages"
    raise AssertionError(message)

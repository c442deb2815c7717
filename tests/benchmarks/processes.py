"""What the system says of a process and its children: memory, threads, open files."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Footprint:
    """Resident megabytes, threads and open files, summed over the service and its decoder processes."""

    megabytes: float
    threads: int
    files: int
    processes: int

    def __str__(self) -> str:
        return f"{self.megabytes:.0f} MB, {self.threads} threads, {self.files} files, {self.processes} processes"


def children(pid: int) -> list[int]:
    """The processes that this one has begun and that still are."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended meanwhile
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def is_running(pid: int) -> bool:
    """Whether the process is there and more than its exit code is left of it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def footprint(pid: int) -> Footprint:
    """Of the process and its children."""
    tree = [pid, *children(pid)]
    return Footprint(
        megabytes=sum(_status(member, "VmRSS") for member in tree) / 1024,
        threads=sum(_status(member, "Threads") for member in tree),
        files=sum(len(list(Path(f"/proc/{member}/fd").iterdir())) for member in tree),
        processes=len(tree),
    )


def _status(pid: int, key: str) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().split(f"{key}:")[1].split()[0])

"""Whether the data folder can be written to, has room, keeps what is synced, and is closed to others."""

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from .check import Check, failed, ok, warning

_MOUNTS = Path("/proc/self/mounts")
_REMOTE = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "fuse.sshfs", "fuse.glusterfs"}
_IN_MEMORY = {"tmpfs", "ramfs"}
_SLOW_SECONDS = 0.1
_GIGABYTE = 1e9


def check_disk(data: Path, reserve_gb: float) -> Iterator[Check]:
    """The folder is not created; what is written to it for a moment is gone again."""
    folder = nearest_folder(data)
    yield check_room(shutil.disk_usage(folder).free / _GIGABYTE, reserve_gb)
    yield check_file_system(file_system(folder))
    if folder != data.resolve():
        yield _check_parent(data, folder)
        return
    yield _check_writing(folder)
    yield _check_mode(folder)


def nearest_folder(data: Path) -> Path:
    """The data folder, or the first above it that is there and can be asked for."""
    resolved = data.resolve()
    return next(folder for folder in (resolved, *resolved.parents) if _is_folder(folder))


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def check_room(free_gb: float, reserve_gb: float) -> Check:
    """Below the reserve, instances are refused with 0xA700."""
    detail = f"{free_gb:.1f} GB free, {reserve_gb:g} GB of them are the reserve"
    if free_gb <= reserve_gb:
        advice = "make room, or lower ingest.disk_reserve_gb"
        return failed("disk: room", f"{detail}: every instance is refused with 0xA700", advice)
    if free_gb < 2 * reserve_gb:
        return warning("disk: room", detail, "make room before the reserve is reached")
    return ok("disk: room", detail)


def file_system(folder: Path, mounts: Path = _MOUNTS) -> str | None:
    """The type of the file system that holds the folder; None where the system does not say."""
    if not mounts.is_file():
        return None
    found = [line.split()[1:3] for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines()]
    # The table writes a space in a path as \\040; later lines cover earlier ones.
    points = [(Path(point.replace("\\040", " ")), kind) for point, kind in found]
    holding = [(len(point.parts), number) for number, (point, _) in enumerate(points) if folder.is_relative_to(point)]
    return points[max(holding)[1]][1] if holding else None


def check_file_system(kind: str | None) -> Check:
    """Network file systems promise neither fsync nor SQLite's locks; memory does not outlast a power cut."""
    name = "disk: file system"
    if kind in _REMOTE:
        advice = "put `data` on a local disk; a database on another machine is PostgreSQL (audit.url)"
        return warning(name, f"{kind}, over the network: locks and syncs may not hold", advice)
    if kind in _IN_MEMORY:
        return warning(name, f"{kind}: in memory, gone at a power cut", "put `data` on a disk")
    return ok(name, kind or "not known on this system")


def _check_parent(data: Path, folder: Path) -> Check:
    try:
        is_there = data.exists()
    except OSError as error:
        advice = "use the account that runs the service, or name another folder in `data`"
        return failed("disk: data folder", f"{data.resolve()} cannot be asked for ({error.strerror})", advice)
    if is_there:
        return failed("disk: data folder", f"{data.resolve()} is not a folder", "name another folder in `data`")
    if not os.access(folder, os.W_OK | os.X_OK):
        advice = "create it for the user that runs the service, or name another in `data`"
        return failed("disk: data folder", f"{data.resolve()} is not there, and {folder} cannot be written to", advice)
    return ok("disk: data folder", f"{data.resolve()} is not there yet: `pacs-ai serve` creates it")


def _check_writing(folder: Path) -> Check:
    name = "disk: writing"
    try:
        seconds = write_and_sync(folder)
    except OSError as error:
        advice = "the user that runs the service must own the folder, and the disk must not be read-only or full"
        return failed(name, f"{folder} cannot be written to ({error.strerror})", advice)
    detail = f"written, synced and renamed in {seconds * 1000:.0f} ms"
    if seconds > _SLOW_SECONDS:
        return warning(name, detail, "each instance waits that long for the disk; a faster one takes more films")
    return ok(name, detail)


def write_and_sync(folder: Path) -> float:
    """How long an instance of one kilobyte takes, in seconds; nothing is left of it. Raises OSError."""
    part, whole = (folder / f".doctor-{uuid.uuid4().hex}{end}" for end in (".part", ""))
    begun = time.monotonic()
    try:
        with part.open("xb") as file:
            file.write(bytes(1024))
            file.flush()
            os.fsync(file.fileno())
        part.replace(whole)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return time.monotonic() - begun
    finally:
        part.unlink(missing_ok=True)
        whole.unlink(missing_ok=True)


def _check_mode(folder: Path) -> Check:
    mode = folder.stat().st_mode & 0o777
    if mode & 0o077:
        advice = f"chmod 700 {folder}: it holds radiographs with the names of patients"
        return warning("disk: access", f"others on this machine may open it (mode {mode:o})", advice)
    return ok("disk: access", f"only its owner may open it (mode {mode:o})")

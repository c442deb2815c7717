"""Folders and small files that survive a power cut: synced, and the folder that names them too."""

import os
import uuid
from contextlib import suppress
from pathlib import Path


def make_folder(folder: Path) -> None:
    """The folder is there for good, for its owner alone (mode 0700), and those above it are there too."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """What the folder names now, it names after a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_once(path: Path, content: bytes) -> None:
    """The file is there for good, whole, for its owner alone (mode 0600); what was there before stays as it was."""
    aside = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileExistsError):  # another process was first
        os.link(aside, path)
    aside.unlink()
    sync_folder(path.parent)

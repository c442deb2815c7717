"""Every report and capture of ours that a test session makes: in memory, in stores, in the folders of peers."""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

# What only our results say, in the bytes before their pixels.
_MARKS = (b"AI pneumonia report (not for diagnosis)", b"AI Grad-CAM (not for diagnosis)")
_HEAD = 1 << 17
_PIXELS = b"\xe0\x7f\x10\x00O"
_UID = re.compile(rb"\d+(?:\.\d+){3,}\0?")

# Tests run in several sessions side by side; `make test` names a folder in which they meet.
SHARED = Path(folder).absolute() if (folder := os.environ.get("OBJECTS_MADE")) else None

# Bytes of one object for each form: the same but for its UIDs and pixels is the same form.
_kept: dict[str, bytes] = {}


def keep(content: bytes) -> None:
    """The object is kept once for its form when it is one of ours."""
    head = content[:_HEAD].split(_PIXELS)[0]
    if content[128:132] == b"DICM" and any(mark in head for mark in _MARKS):
        _kept.setdefault(hashlib.sha256(_UID.sub(b"", head)).hexdigest(), content)


def keep_files(folder: Path) -> None:
    """Every object of ours below the folder is kept, whatever its file is called; unfinished files end in .part."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.suffix != ".part":
            with path.open("rb") as file:
                head = file.read(_HEAD)
            if any(mark in head for mark in _MARKS):
                keep(path.read_bytes())


def leave(folder: Path) -> None:
    """What was kept, and what lies below the folder, is where other sessions of the same run find it."""
    if SHARED is not None:
        keep_files(folder)
        SHARED.mkdir(exist_ok=True)
        for form, content in _kept.items():
            part = SHARED / f"{form}.{os.getpid()}.part"  # others may write the same form at the same time
            part.write_bytes(content)
            part.replace(SHARED / form)


def kept() -> Iterator[bytes]:
    """What was kept here and by other sessions of the same run."""
    if SHARED is not None and SHARED.is_dir():
        keep_files(SHARED)
    yield from _kept.values()

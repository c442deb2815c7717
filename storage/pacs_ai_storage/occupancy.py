"""One service to a data folder: two would sweep away what the other has begun to write."""

import os
import sys
from pathlib import Path

OCCUPIED_NAME = "in-use"


class Occupied(Exception):
    """Another service that runs has the folder, or whoever owns it does not let us in."""


class Occupancy:
    """The folder is ours until `leave`, or until the process ends, however it ends; raises Occupied."""

    def __init__(self, folder: Path) -> None:
        self._descriptor: int | None = _open(folder)
        try:
            _lock(self._descriptor)
        except OSError as error:
            self.leave()
            message = f"{folder.resolve()} is in use by another service: each needs a `data` folder of its own"
            raise Occupied(message) from error

    def leave(self) -> None:
        """The folder is free for the next."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _open(folder: Path) -> int:
    try:
        return os.open(folder / OCCUPIED_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        message = (
            f"{folder.resolve()} cannot be written ({error.strerror}): the service needs a `data` folder of its own"
        )
        raise Occupied(message) from error


def _lock(descriptor: int) -> None:
    """Of this open file, not of the process: a second service of the same process is another."""
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415 - Windows alone has it

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl  # noqa: PLC0415 - Windows has it not

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

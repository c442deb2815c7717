"""Standard output, of which is known when it cannot be written: a full disk is no fault of ours."""

import errno
import os
import sys
from contextlib import suppress
from io import BufferedWriter, FileIO, TextIOWrapper, UnsupportedOperation
from typing import Any


class Unwritable(OSError):
    """What was printed did not arrive."""


class _Stdout(FileIO):
    def write(self, content: Any, /) -> int:  # noqa: ANN401 - whatever has bytes
        try:
            return super().write(content)
        except OSError as error:
            raise Unwritable(error.errno, error.strerror) from error


def make_ready() -> None:
    """What is printed arrives or raises Unwritable; where stdout was closed it never does, nor in a file of ours.

    Where a program has put something else in its place, that stays.
    """
    if sys.stdout is None:
        sys.stdout = _text(os.open(os.devnull, os.O_RDONLY), "utf-8", "strict")
        return
    sys.stdout.flush()
    with suppress(UnsupportedOperation):
        sys.stdout = _text(sys.stdout.fileno(), sys.stdout.encoding, sys.stdout.errors)


def _text(number: int, encoding: str, errors: str | None) -> TextIOWrapper:
    raw = _Stdout(number, "w", closefd=False)
    return TextIOWrapper(BufferedWriter(raw), encoding=encoding, errors=errors, line_buffering=raw.isatty())


def let_go(reason: Unwritable) -> str:
    """Nothing more is written; returns the sentence that says so, none where the reader has gone, as `head -1` does."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return "" if reason.errno == errno.EPIPE else f"stdout cannot be written ({reason.strerror})"

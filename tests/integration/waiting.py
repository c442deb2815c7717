"""Waiting for a state instead of for a time."""

from collections.abc import Callable
from threading import Event
from time import monotonic
from typing import TypeVar

Found = TypeVar("Found")
_PAUSE = 0.02


def wait_until(found: Callable[[], Found], *, within: float = 120.0) -> Found:
    """The first true value of the claim; AssertionError when there is none in time."""
    deadline = monotonic() + within
    while not (value := found()):
        assert monotonic() < deadline, f"not so within {within:.0f} s; last seen: {value!r}"
        Event().wait(_PAUSE)
    return value

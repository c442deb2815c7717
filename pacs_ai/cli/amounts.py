"""Amounts as people write them: durations, rates, sizes, and where an AE is."""

import re

import typer

from pacs_ai.nodes import ae_title
from pacs_ai.settings import Node

_SECONDS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|min|h)?")
_RATE = re.compile(r"(\d+(?:\.\d+)?)/(s|m|min|h)")
_SIZE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")
_BYTES_OF_PIXEL, _MOST_BYTES = 2, 256 * 1024**2
_PEER = re.compile(r"(?P<ae_title>[^@]{1,16})@(?P<host>.+):(?P<port>\d{1,5})")


def seconds_of(words: str) -> float:
    """90, 90s, 5m or 1.5h as seconds."""
    found = _match(_DURATION, words, "a duration such as 90s, 5m or 2h")
    return float(found[1]) * _SECONDS[found[2] or "s"]


def per_second_of(words: str) -> float:
    """400/h, 10/m or 2/s as so many a second, more than none."""
    found = _match(_RATE, words, "a rate such as 400/h, 10/m or 2/s")
    if not float(found[1]):
        message = "a rate is more than nothing"
        raise typer.BadParameter(message)
    return float(found[1]) / _SECONDS[found[2]]


def size_of(words: str) -> tuple[int, int]:
    """2500x2048 as rows and columns, of no more pixels than a machine has memory for."""
    found = _match(_SIZE, words, "rows and columns such as 2500x2048")
    rows, columns = int(found[1]), int(found[2])
    if rows * columns * _BYTES_OF_PIXEL > _MOST_BYTES:
        message = f"{words!r} is more than the {_MOST_BYTES // 1024**2} MB of pixels that one film may have"
        raise typer.BadParameter(message)
    return rows, columns


def peer_of(words: str) -> Node:
    """AE@host:port as a node."""
    found = _match(_PEER, words, "AE@host:port")
    try:
        return Node(name="peer", ae_title=found["ae_title"], host=found["host"].strip("[]"), port=int(found["port"]))
    except ValueError as error:
        message = f"{words!r} is not AE@host:port with an AE title and a port that can be"
        raise typer.BadParameter(message) from error


def title_of(words: str) -> str:
    """An AE title without the spaces around it."""
    try:
        return ae_title(words)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _match(pattern: re.Pattern[str], words: str, wanted: str) -> re.Match[str]:
    found = pattern.fullmatch(words.strip())
    if found is None:
        message = f"{words!r} is not {wanted}"
        raise typer.BadParameter(message)
    return found

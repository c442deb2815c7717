"""The chain of the audit log: what is hashed of an event, and how one event carries the hash of the one before.

The form never changes, or no log written before could be verified. A column that is NULL is left out of it, so that a
column added later says nothing about events that were there before.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

# What the first event of a log carries as the hash of the one before.
GENESIS = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A place in the chain: the number of an event, counted from 1 without gaps, and its hash; 0 before the first."""

    sequence: int
    sha256: str


START = Link(sequence=0, sha256=GENESIS)


def chained(columns: Iterable[Mapping[str, object]], last: Link) -> list[dict[str, Any]]:
    """The events with their numbers, the hash of the one before each, and their own; they follow on `last`."""
    rows: list[dict[str, Any]] = []
    for number, event in enumerate(columns, start=last.sequence + 1):
        row = {**event, "id": number, "previous_sha256": last.sha256}
        last = Link(sequence=number, sha256=event_sha256({**row, "at": moment(event["at"])}))
        rows.append({**row, "sha256": last.sha256})
    return rows


def event_sha256(columns: Mapping[str, object]) -> str:
    """SHA-256 over every column but the hash itself: JSON with sorted names, ASCII alone, no blanks, no NULL.

    `id` is a number, `at` what `moment` makes of the time, a probability the shortest digits that give it back.
    """
    told = {name: value for name, value in columns.items() if value is not None and name != "sha256"}
    return hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":"), default=repr).encode()).hexdigest()


def moment(at: object) -> str:
    """A time in UTC with microseconds, `2026-01-05 10:30:00.000000`; raises ValueError when it has no zone."""
    if not isinstance(at, datetime) or at.tzinfo is None:
        message = "a time without zone cannot be stored"
        raise ValueError(message)
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"

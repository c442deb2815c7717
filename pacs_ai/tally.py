"""What this service has done since it began, counted without a library: it is there before the web pages are."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock

# Upper ends of the classes of the histogram, in seconds.
BUCKETS = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tallied:
    """`answers` by status of C-STORE; `readings` are how many took no longer than each bucket, the last without end."""

    answers: Mapping[int, int]
    readings: tuple[int, ...]
    reading_seconds: float


@dataclass(slots=True)
class Tally:
    """Every method may be called from any thread."""

    _answers: Counter[int] = field(default_factory=Counter)
    _readings: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    _seconds: float = 0.0
    _lock: Lock = field(default_factory=Lock)

    def answered(self, status: int) -> None:
        """A C-STORE was answered."""
        with self._lock:
            self._answers[status] += 1

    def read(self, seconds: float) -> None:
        """A study was read."""
        with self._lock:
            self._readings[bisect_left(BUCKETS, seconds)] += 1
            self._seconds += seconds

    def so_far(self) -> Tallied:
        """The counts at one moment."""
        with self._lock:
            sums = [sum(self._readings[: place + 1]) for place in range(len(self._readings))]
            return Tallied(answers=dict(self._answers), readings=tuple(sums), reading_seconds=self._seconds)

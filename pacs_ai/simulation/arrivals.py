"""When studies come: at a steady rate, one after another by chance, or many at once."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """Either `per_second` (Poisson: each moment is as likely as any other) or `burst` studies at the same moment.

    They end with `studies` or after `seconds`, whichever is first; bursts are spread evenly over the seconds.
    """

    per_second: float | None = None
    burst: int | None = None
    studies: int | None = None
    seconds: float | None = None

    def times(self, seed: int) -> tuple[float, ...]:
        """Seconds from the beginning, ascending, one for each study; the same for the same seed."""
        if self.per_second is None:
            return self._bursts()
        chance = random.Random(seed)  # noqa: S311 - the same moments for the same seed
        until = float("inf") if self.seconds is None else self.seconds
        times = takewhile(lambda at: at < until, _steady(self.per_second, chance))
        if self.studies is None:
            return tuple(times)
        return tuple(at for at, _ in zip(times, range(self.studies), strict=False))

    def _bursts(self) -> tuple[float, ...]:
        size = self.burst or 1
        studies = size if self.studies is None else self.studies
        bursts = -(-studies // size)
        between = (self.seconds or 0.0) / bursts
        return tuple(number // size * between for number in range(studies))


def _steady(per_second: float, chance: random.Random) -> Iterator[float]:
    at = 0.0
    while True:
        at += chance.expovariate(per_second)
        yield at

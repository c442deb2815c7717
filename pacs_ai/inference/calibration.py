"""From a network's logit to a probability and back."""

import math
from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter

Step = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """sigmoid(logit / temperature + bias): temperature scaling (Guo et al., ICML 2017) with an offset.

    With `steps`, (logit, probability) and both ever larger, it is the line through them instead (isotonic regression,
    Zadrozny & Elkan, KDD 2002), level before the first and after the last.
    """

    temperature: float = 1.0
    bias: float = 0.0
    steps: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        """ValueError for figures that turn the order of logits round."""
        pairs = list(pairwise(self.steps))
        if not self.temperature > 0 or any(not (a < c and b < d) for (a, b), (c, d) in pairs) or len(self.steps) == 1:
            message = "a calibration keeps the order of logits: temperature above 0, steps (two or more) ever larger"
            raise ValueError(message)

    def probability(self, logit: float) -> float:
        """In 0..1."""
        if self.steps:
            return _along(logit, self.steps)
        turned = -(logit / self.temperature + self.bias)
        return 1.0 / (1.0 + math.exp(min(turned, 700.0)))

    def logit(self, probability: float) -> float:
        """The logit that has this probability, which lies between 0 and 1."""
        if self.steps:
            return _along(probability, tuple((at, logit) for logit, at in self.steps))
        return (math.log(probability / (1.0 - probability)) - self.bias) * self.temperature


def _along(at: float, steps: tuple[Step, ...]) -> float:
    place = bisect_left(steps, at, key=itemgetter(0))
    if place == 0:
        return steps[0][1]
    if place == len(steps):
        return steps[-1][1]
    (left, low), (right, high) = steps[place - 1], steps[place]
    return low + (high - low) * (at - left) / (right - left)

"""Where a probability becomes a finding: three rules, each from validation or site films alone."""

from enum import StrEnum

import numpy as np

from .errors import FilmError
from .scores import Floats, threshold_for_sensitivity


class Rule(StrEnum):
    """How the operating point is chosen."""

    SENSITIVITY = "sensitivity"
    PPV = "ppv"
    YOUDEN = "youden"


def choose(rule: Rule, probabilities: Floats, labels: Floats, target: float) -> float:
    """The threshold, rounded down to 1e-4; `target` is a share, and YOUDEN has none.

    SENSITIVITY: the highest that finds at least the target of the positive films. PPV: the lowest at which at least the
    target of the called films is positive. YOUDEN: the largest sensitivity plus specificity (Cancer 1950).
    Raises FilmError when no threshold reaches the target.
    """
    if rule is Rule.SENSITIVITY:
        found = threshold_for_sensitivity(probabilities, labels, target)
    else:
        found = _least_with(rule, probabilities, labels, target)
    return float(np.floor(found * 1e4) / 1e4)


def _least_with(rule: Rule, probabilities: Floats, labels: Floats, target: float) -> float:
    thresholds = np.unique(probabilities)
    called = probabilities[np.newaxis] >= thresholds[:, np.newaxis]
    found = (called & (labels == 1)).sum(axis=1)
    if rule is Rule.YOUDEN:
        left_alone = (~called & (labels == 0)).sum(axis=1)
        return float(thresholds[np.argmax(found / (labels == 1).sum() + left_alone / (labels == 0).sum())])
    reached = np.flatnonzero(found / called.sum(axis=1) >= target)
    if not len(reached):
        message = f"no threshold has a positive predictive value of {target:.0%} on these films"
        raise FilmError(message)
    return float(thresholds[reached[0]])


def in_words(rule: Rule, target: float, where: str) -> str:
    """The rule as the card says it."""
    return {
        Rule.SENSITIVITY: f"highest threshold with a sensitivity of at least {target:.0%} on {where}",
        Rule.PPV: f"lowest threshold with a positive predictive value of at least {target:.0%} on {where}",
        Rule.YOUDEN: f"largest sum of sensitivity and specificity on {where}",
    }[rule]

"""Scores to figures: calibration, operating point, and metrics with bootstrap intervals by patient."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from pacs_ai.inference.calibration import Calibration

from .errors import FilmError

Floats = NDArray[np.float64]
Metric = Callable[[Floats, Floats], float]

_LEAST = 1e-3  # isotonic regression says 0 and 1 where its films happen to be of one class; nothing is that sure


class Method(StrEnum):
    """How logits become probabilities."""

    TEMPERATURE = "temperature"
    ISOTONIC = "isotonic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    def document(self) -> dict[str, float]:
        """As the card writes it."""
        return {"value": round(self.value, 4), "low": round(self.low, 4), "high": round(self.high, 4)}


def calibrate(
    logits: Floats, labels: Floats, *, method: Method = Method.TEMPERATURE, balanced: bool = False
) -> Calibration:
    """The maximum-likelihood fit, mildly regularised so that perfect separation stays finite.

    `balanced` counts either class as half of the films: how many are ill differs from one place to the next.
    FilmError when positive films have the lower logits.
    """
    weights = _balancing(labels) if balanced else np.ones(len(labels))
    if method is Method.ISOTONIC:
        return _isotonic(logits, labels, weights)
    fitted = LogisticRegression(C=1.0).fit(logits[:, np.newaxis], labels, sample_weight=weights)
    slope = float(fitted.coef_[0, 0])
    if slope <= 0:
        message = "positive films have the lower probabilities; are the labels the right way round?"
        raise FilmError(message)
    return Calibration(temperature=1.0 / slope, bias=float(fitted.intercept_[0]))


def probabilities_of(calibration: Calibration, logits: Floats) -> Floats:
    """(n,) calibrated."""
    return np.array([calibration.probability(logit) for logit in logits.tolist()])


def _balancing(labels: Floats) -> Floats:
    positive = labels.mean()
    return np.asarray(np.where(labels == 1, 0.5 / positive, 0.5 / (1 - positive)))


def _isotonic(logits: Floats, labels: Floats, weights: Floats) -> Calibration:
    fitted = IsotonicRegression(y_min=_LEAST, y_max=1 - _LEAST).fit(logits, labels, sample_weight=weights)
    places, levels = fitted.X_thresholds_, fitted.y_thresholds_
    # A level stretch gets a slope too small to matter, so that every probability has one logit.
    rising = levels + _LEAST * 0.1 * np.arange(len(levels)) / len(levels)
    steps = tuple(zip(np.round(places, 6).tolist(), np.round(rising, 9).tolist(), strict=True))
    if len(steps) < 2 or levels[-1] <= levels[0]:
        message = "positive films have the lower probabilities; are the labels the right way round?"
        raise FilmError(message)
    return Calibration(steps=steps)


def threshold_for_sensitivity(probabilities: Floats, labels: Floats, target: float) -> float:
    """The highest threshold at which at least `target` of the positive films are found."""
    positive = np.sort(probabilities[labels == 1])
    return float(positive[int(np.floor((1 - target) * len(positive)))])


def sensitivity(threshold: float) -> Metric:
    """The share of positive films that are found."""
    return lambda probabilities, labels: float((probabilities[labels == 1] >= threshold).mean())


def specificity(threshold: float) -> Metric:
    """The share of negative films that are left alone."""
    return lambda probabilities, labels: float((probabilities[labels == 0] < threshold).mean())


def auc(probabilities: Floats, labels: Floats) -> float:
    """Area under the ROC curve, from mid-ranks (Hanley and McNeil, Radiology 1982): a tie counts half."""
    # scikit-learn gives the same, and takes milliseconds to check its input: the bootstrap asks thousands of times.
    positive = labels == 1
    m, n = int(positive.sum()), int((~positive).sum())
    return (float(rankdata(probabilities)[positive].sum()) / m - (m + 1) / 2) / n


def average_precision(probabilities: Floats, labels: Floats) -> float:
    """The mean, over the positive films, of the precision at the probability of each; equal ones are found together."""
    order = np.argsort(-probabilities, kind="stable")
    found = np.cumsum(labels[order])
    # The last film of each run of equal probabilities.
    ends = np.append(np.flatnonzero(np.diff(probabilities[order])), len(order) - 1)
    gained = np.diff(found[ends], prepend=0.0)
    return float((gained * found[ends] / (ends + 1)).sum() / found[-1])


def bootstrap(
    metric: Metric, probabilities: Floats, labels: Floats, patients: Sequence[str], *, rounds: int = 2000, seed: int = 1
) -> Interval:
    """The metric and its 2.5 and 97.5 percentiles over patients drawn with replacement: films of one are alike."""
    rng = np.random.default_rng(seed)
    rows: dict[str, list[int]] = {}
    for row, patient in enumerate(patients):
        rows.setdefault(patient, []).append(row)
    groups = [np.array(found) for found in rows.values()]
    drawn = []
    for _ in range(rounds):
        sample = np.concatenate([groups[place] for place in rng.integers(0, len(groups), len(groups))])
        if 0 < labels[sample].sum() < len(sample):
            drawn.append(metric(probabilities[sample], labels[sample]))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Interval(value=metric(probabilities, labels), low=float(low), high=float(high))

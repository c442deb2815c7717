"""Scores to figures: calibration, operating point, and metrics with bootstrap intervals by patient."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

Floats = NDArray[np.float64]
Metric = Callable[[Floats, Floats], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """probability = sigmoid(logit / temperature + bias): temperature scaling (Guo et al., ICML 2017) with an offset."""

    temperature: float
    bias: float

    def probability(self, logits: Floats) -> Floats:
        """Calibrated probabilities."""
        return np.asarray(1.0 / (1.0 + np.exp(-(logits / self.temperature + self.bias))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    def document(self) -> dict[str, float]:
        """As the card writes it."""
        return {"value": round(self.value, 4), "low": round(self.low, 4), "high": round(self.high, 4)}


def calibrate(logits: Floats, labels: Floats) -> Calibration:
    """The maximum-likelihood fit, mildly regularised so that perfect separation stays finite."""
    fitted = LogisticRegression(C=1.0).fit(logits[:, np.newaxis], labels)
    return Calibration(temperature=float(1.0 / fitted.coef_[0, 0]), bias=float(fitted.intercept_[0]))


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
    """Area under the ROC curve."""
    return float(roc_auc_score(labels, probabilities))


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

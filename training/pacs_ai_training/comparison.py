"""Two networks on the same films: is the difference more than chance?"""

from dataclasses import dataclass
from math import erf, sqrt

import numpy as np
from scipy.stats import binomtest, rankdata

from .evaluation import Judged
from .scores import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """AUC of A less AUC of B with its 95 % interval, and how often only one of them was right."""

    auc_a: float
    auc_b: float
    low: float
    high: float
    auc_p: float
    only_a_right: int
    only_b_right: int
    mcnemar_p: float

    @property
    def verdict(self) -> str:
        """One sentence."""
        difference = self.auc_a - self.auc_b
        better = "A" if difference > 0 else "B"
        ranks = (
            f"{better} ranks the films better (AUC difference {abs(difference):.4f}, p = {self.auc_p:.3f})"
            if self.auc_p < 0.05
            else f"the AUC difference of {difference:+.4f} is within chance (p = {self.auc_p:.3f})"
        )
        winner = "A" if self.only_a_right > self.only_b_right else "B"
        calls = (
            f"{winner} is right more often at its operating point (p = {self.mcnemar_p:.3f})"
            if self.mcnemar_p < 0.05
            else f"neither is right more often at its operating point (p = {self.mcnemar_p:.3f})"
        )
        return f"On these films {ranks}, and {calls}."


def compare(a: Judged, b: Judged) -> Comparison:
    """DeLong, DeLong and Clarke-Pearson (Biometrics 1988) for the AUCs; the exact test of McNemar for the calls.

    Raises ValueError when the films are not the same.
    """
    if [film.sha256 for film in a.films] != [film.sha256 for film in b.films]:
        message = "the two networks were not judged on the same films"
        raise ValueError(message)
    (auc_a, auc_b), covariance = _delong(a.labels, np.stack([a.probabilities, b.probabilities]))
    error = sqrt(max(float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]), 0.0))
    difference = auc_a - auc_b
    a_right, b_right = (one.is_called_positive == (one.labels == 1) for one in (a, b))
    only_a, only_b = int((a_right & ~b_right).sum()), int((b_right & ~a_right).sum())
    return Comparison(
        auc_a=auc_a,
        auc_b=auc_b,
        low=difference - 1.96 * error,
        high=difference + 1.96 * error,
        auc_p=1 - erf(abs(difference) / error / sqrt(2)) if error > 0 else 1.0,
        only_a_right=only_a,
        only_b_right=only_b,
        mcnemar_p=float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0,
    )


def _delong(labels: Floats, scores: Floats) -> tuple[tuple[float, float], Floats]:
    """The two AUCs and their covariance, from mid-ranks (Sun and Xu, IEEE Signal Processing Letters 2014)."""
    positive, negative = scores[:, labels == 1], scores[:, labels == 0]
    m, n = positive.shape[1], negative.shape[1]
    among_all = np.stack([rankdata(np.concatenate(pair)) for pair in zip(positive, negative, strict=True)])
    among_own = [np.stack([rankdata(row) for row in part]) for part in (positive, negative)]
    areas = (among_all[:, :m].sum(axis=1) / m - (m + 1) / 2) / n
    by_positive = (among_all[:, :m] - among_own[0]) / n
    by_negative = 1 - (among_all[:, m:] - among_own[1]) / m
    covariance = np.cov(by_positive) / m + np.cov(by_negative) / n
    return (float(areas[0]), float(areas[1])), np.asarray(covariance)

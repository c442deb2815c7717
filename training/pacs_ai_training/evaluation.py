"""How well a network does on labelled films: figures with intervals by patient, by subgroup, and its worst mistakes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .films import Film
from .scores import Floats, Interval, Metric, auc, average_precision, bootstrap, sensitivity, specificity

BINS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a network says of films: calibrated probabilities (n,) against labels (n,) of 0 and 1."""

    films: tuple[Film, ...]
    probabilities: Floats
    labels: Floats
    threshold: float

    @property
    def is_called_positive(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """(n,) at the operating point."""
        return np.asarray(self.probabilities >= self.threshold)

    @property
    def confusion(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """((true negative, false positive), (false negative, true positive))."""
        called, present = self.is_called_positive, self.labels == 1
        return (
            (int((~called & ~present).sum()), int((called & ~present).sum())),
            (int((~called & present).sum()), int((called & present).sum())),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Subgroup:
    """The positive films of one kind against all negative ones."""

    name: str
    films: int
    auc: Interval
    sensitivity: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Everything that is said of a network on one set of films."""

    judged: Judged
    figures: dict[str, Interval]
    subgroups: tuple[Subgroup, ...]

    def document(self) -> dict[str, object]:
        """As the JSON writes it."""
        return {
            "films": len(self.judged.films),
            "patients": len({film.patient for film in self.judged.films}),
            "positive": int(self.judged.labels.sum()),
            "threshold": self.judged.threshold,
            "confusion": self.judged.confusion,
            "figures": {name: figure.document() for name, figure in self.figures.items()},
            "subgroups": {
                group.name: {
                    "films": group.films,
                    "auc": group.auc.document(),
                    "sensitivity": group.sensitivity.document(),
                }
                for group in self.subgroups
            },
        }


def evaluate(judged: Judged, *, rounds: int = 2000) -> Evaluation:
    """Each figure with its 95 % interval over patients drawn with replacement so many times."""
    patients = [film.patient for film in judged.films]
    return Evaluation(
        judged=judged,
        figures={
            name: bootstrap(metric, judged.probabilities, judged.labels, patients, rounds=rounds)
            for name, metric in _metrics(judged.threshold).items()
        },
        subgroups=tuple(_subgroup(judged, kind, rounds) for kind in _kinds(judged.films)),
    )


def expected_calibration_error(probabilities: Floats, labels: Floats) -> float:
    """The mean gap between probability and frequency over ten equal bins, by films (Guo et al., ICML 2017)."""
    bins = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    gaps = [
        (bins == number).sum() * abs(float(probabilities[bins == number].mean() - labels[bins == number].mean()))
        for number in np.unique(bins)
    ]
    return float(sum(gaps) / len(labels))


def worst_mistakes(judged: Judged, count: int = 20) -> list[int]:
    """Rows of the films that were called wrongly, the furthest from their label first."""
    wrong = np.flatnonzero(judged.is_called_positive != (judged.labels == 1))
    gap = np.abs(judged.probabilities - judged.labels)
    return [int(row) for row in sorted(wrong, key=lambda row: -gap[row])[:count]]


def _metrics(threshold: float) -> dict[str, Metric]:
    def at_threshold(score: Callable[[Floats, Floats], float]) -> Metric:
        return lambda probabilities, labels: float(score(labels, (probabilities >= threshold).astype(float)))

    return {
        "AUC": auc,
        "average precision": average_precision,
        "accuracy": at_threshold(lambda labels, called: float((labels == called).mean())),
        "precision": at_threshold(lambda labels, called: float(labels[called == 1].mean()) if called.any() else 0.0),
        "F1": at_threshold(_f1),
        "sensitivity (recall)": sensitivity(threshold),
        "specificity": specificity(threshold),
        "expected calibration error": expected_calibration_error,
    }


def _f1(labels: Floats, called: Floats) -> float:
    return float(2 * (labels * called).sum() / max(labels.sum() + called.sum(), 1))


def _kind(film: Film) -> str:
    return next((kind for kind in ("bacteria", "virus") if f"_{kind}_" in film.path.name), "")


def _kinds(films: Sequence[Film]) -> list[str]:
    return sorted({_kind(film) for film in films if film.label == 1} - {""})


def _subgroup(judged: Judged, kind: str, rounds: int) -> Subgroup:
    rows = [row for row, film in enumerate(judged.films) if film.label == 0 or _kind(film) == kind]
    patients = [judged.films[row].patient for row in rows]
    probabilities, labels = judged.probabilities[rows], judged.labels[rows]
    return Subgroup(
        name=kind,
        films=int(labels.sum()),
        auc=bootstrap(auc, probabilities, labels, patients, rounds=rounds),
        sensitivity=bootstrap(sensitivity(judged.threshold), probabilities, labels, patients, rounds=rounds),
    )

"""The detector of what a network has not learned: fitted on its own features, its limits set on validation patients."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from pacs_ai.inference.detector import ARRAYS, Detector
from pacs_ai.inference.taps import Limits, Tap

Floats = NDArray[np.float32]

DETECTOR_NAME = "detector.npz"
# Validation films come from the source of the training films; those of another device lie a little further out.
_ROOM = 1.25
_MUST_BE_REFUSED = 0.99
_VGG16_TAPS = (
    Tap(layer="block2_conv2", grid=1),
    Tap(layer="block3_conv3", grid=1),
    Tap(layer="block4_conv3", grid=2),
    Tap(layer="block5_conv3", grid=2),
)


def taps_of(model: keras.Model, last_convolution: str) -> tuple[Tap, ...]:
    """Layers of several depths where the network is VGG16; its last convolution where it is another."""
    names = {layer.name for layer in model.layers}
    if all(tap.layer in names for tap in _VGG16_TAPS):
        return _VGG16_TAPS
    return (Tap(layer=last_convolution, grid=2),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lessons:
    """Features of (n, features): whom the network knows, other patients, what is no such image, and validation."""

    known: Floats
    other_patients: Floats
    other_images: Floats
    validation: Floats


def fit_detector(lessons: Lessons, taps: Sequence[Tap], *, axes: int = 96, refused_share: float = 0.0025) -> Detector:
    """The limits rest on validation films, of which `refused_share` may lie beyond each, and on what must be refused.

    The distances have a quarter more room than that; the heads have theirs halfway to what was taught as wrong.
    """
    groups = (lessons.known, lessons.other_patients)
    frontal = np.concatenate(groups)
    mean, scale = frontal.mean(axis=0), frontal.std(axis=0) + 1e-3 * frontal.std()
    unit = [(group - mean) / scale for group in groups]
    spanned = np.linalg.svd(np.concatenate(unit), full_matrices=False)[2][:axes].T
    along = [group @ spanned for group in unit]
    spread = np.concatenate([group - group.mean(axis=0) for group in along]).std(axis=0)
    whitened = [group / spread for group in along]
    others = ((lessons.other_images - mean) / scale) @ spanned / spread
    unlimited = Detector(
        taps=tuple(taps),
        limits=Limits(distance=np.inf, residual=np.inf, kind=-np.inf, population=-np.inf),
        mean=_rounded(mean),
        scale=_rounded(scale),
        axes=_rounded(spanned),
        spread=_rounded(spread),
        centres=_rounded(np.stack([group.mean(axis=0) for group in whitened])),
        kind=_rounded(_head(np.concatenate(whitened), others)),
        population=_rounded(_head(*whitened)),
    )
    return _limited(unlimited, lessons, refused_share)


def _rounded(values: NDArray[np.floating]) -> Floats:
    """As the file keeps them."""
    return values.astype(np.float16).astype(np.float32)


def _head(accepted: Floats, refused: Floats) -> Floats:
    labels = np.concatenate([np.ones(len(accepted)), np.zeros(len(refused))])
    fitted = LogisticRegression(C=0.01, class_weight="balanced", max_iter=2000)
    fitted.fit(np.concatenate([accepted, refused]), labels)
    return np.append(fitted.coef_[0], fitted.intercept_[0]).astype(np.float32)


def _limited(detector: Detector, lessons: Lessons, refused_share: float) -> Detector:
    passing = detector.scores(lessons.validation)
    limits = Limits(
        distance=round(_ROOM * float(np.quantile(passing.distance, 1 - refused_share)), 4),
        residual=round(_ROOM * float(np.quantile(passing.residual, 1 - refused_share)), 4),
        kind=_between(passing.kind, detector.scores(lessons.other_images).kind, refused_share),
        population=_between(passing.population, detector.scores(lessons.other_patients).population, refused_share),
    )
    arrays = {name: getattr(detector, name) for name in ARRAYS}
    return Detector(taps=detector.taps, limits=limits, **arrays)


def _between(passing: Floats, refused: Floats, refused_share: float) -> float:
    """Halfway between what must pass and what must not; where they overlap, what must pass decides."""
    lowest, highest = float(np.quantile(passing, refused_share)), float(np.quantile(refused, _MUST_BE_REFUSED))
    return round(min(lowest, (lowest + highest) / 2), 4)


def write_detector(detector: Detector, folder: Path) -> dict[str, object]:
    """The file is in the folder of the model; returns what the card says of it."""
    path = folder / DETECTOR_NAME
    np.savez_compressed(path, **{name: getattr(detector, name).astype(np.float16) for name in ARRAYS})
    return {
        "file": DETECTOR_NAME,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "taps": [asdict(tap) for tap in detector.taps],
        "limits": asdict(detector.limits),
    }

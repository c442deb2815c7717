"""Whether an image is of the kind that the network has learned, judged by the network's own features.

Two distances as in Lee et al. (NeurIPS 2018), to the nearest of the known groups and out of the space that they span,
and two logistic heads taught with what must be refused (outlier exposure, Hendrycks et al., ICLR 2019).
"""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from pacs_ai.errors import ModelError
from pacs_ai.findings import Refusal, RefusalReason

from .card import read_checked
from .taps import Limits, Tap

Floats = NDArray[np.float32]

ARRAYS = ("mean", "scale", "axes", "spread", "centres", "kind", "population")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What the detector measures of n images, each (n,)."""

    distance: Floats
    residual: Floats
    kind: Floats
    population: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """`axes` (features, k) span the known images, `spread` (k,) is how far they reach, `centres` (groups, k) theirs.

    The heads `kind` and `population` are (k + 1,): a weight for each axis, and an offset.
    """

    taps: tuple[Tap, ...]
    limits: Limits
    mean: Floats
    scale: Floats
    axes: Floats
    spread: Floats
    centres: Floats
    kind: Floats
    population: Floats

    def scores(self, features: Floats) -> Scores:
        """Of (n, features)."""
        unit = (features - self.mean) / self.scale
        along = unit @ self.axes
        whitened = along / self.spread
        apart = whitened[:, np.newaxis] - self.centres[np.newaxis]
        return Scores(
            distance=np.asarray((apart**2).mean(axis=-1).min(axis=-1), np.float32),
            residual=np.asarray(((unit**2).sum(axis=1) - (along**2).sum(axis=1)) / unit.shape[1], np.float32),
            kind=whitened @ self.kind[:-1] + self.kind[-1],
            population=whitened @ self.population[:-1] + self.population[-1],
        )

    def judge(self, features: Floats, *, any_population: bool) -> list[Refusal | None]:
        """For each of (n, features) None when it may be read; `any_population` passes films of other patients."""
        scores = self.scores(features)
        return [self._refusal(scores, row, any_population=any_population) for row in range(len(features))]

    def _refusal(self, scores: Scores, row: int, *, any_population: bool) -> Refusal | None:
        limits = self.limits
        for what, found, limit in (
            ("distance from known films", scores.distance[row], limits.distance),
            ("share outside of them", scores.residual[row], limits.residual),
        ):
            if not found <= limit:
                return _refuse(f"is no upright frontal chest radiograph ({what} {found:.2f}, limit {limit:.2f})")
        if not scores.kind[row] >= limits.kind:
            said = f"{scores.kind[row]:.2f}, at least {limits.kind:.2f}"
            return _refuse(f"is no upright frontal chest radiograph in the usual polarity (score {said})")
        if not any_population and not scores.population[row] >= limits.population:
            said = f"{scores.population[row]:.2f}, at least {limits.population:.2f}"
            return _refuse(f"is of a patient outside of the network's population (score {said})")
        return None


def _refuse(claim: str) -> Refusal:
    return Refusal(reason=RefusalReason.OUT_OF_DISTRIBUTION, detail=f"By its pixels the image {claim}.")


def load_detector(path: Path, sha256: str, taps: tuple[Tap, ...], limits: Limits) -> Detector:
    """The detector of a file of plain arrays; ModelError when it is not the one that the card speaks of."""
    content = read_checked(path, sha256)
    try:
        with np.load(BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name].astype(np.float32) for name in ARRAYS}
    except (OSError, EOFError, KeyError, ValueError, BadZipFile) as error:
        message = f"{path}: not a detector that can be used here ({type(error).__name__}: {error})"
        raise ModelError(message) from error
    return Detector(taps=taps, limits=limits, **arrays)

"""The nouns that pass between gate, pixels, classifier, worklist and results."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # queries need these nouns and no arrays
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


class Outcome(StrEnum):
    """What is said of an image or a study."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    NOT_ANALYSED = "not_analysed"


class RefusalReason(StrEnum):
    """Why an instance got no probability."""

    NOT_DICOM = "NOT_DICOM"
    UNDECODABLE = "UNDECODABLE"
    UNSUPPORTED_SOP_CLASS = "UNSUPPORTED_SOP_CLASS"
    WRONG_MODALITY = "WRONG_MODALITY"
    NOT_FOR_PRESENTATION = "NOT_FOR_PRESENTATION"
    DERIVED_IMAGE = "DERIVED_IMAGE"
    UNSUPPORTED_PHOTOMETRIC = "UNSUPPORTED_PHOTOMETRIC"
    MULTI_FRAME = "MULTI_FRAME"
    TOO_SMALL = "TOO_SMALL"
    NOT_CHEST = "NOT_CHEST"
    NOT_FRONTAL = "NOT_FRONTAL"
    VIEW_UNKNOWN = "VIEW_UNKNOWN"
    AGE_OUT_OF_RANGE = "AGE_OUT_OF_RANGE"
    OUT_OF_DISTRIBUTION = "OUT_OF_DISTRIBUTION"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    OTHER_PATIENT = "OTHER_PATIENT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An instance that is not read, with the code and one sentence; the sentence names no person."""

    reason: RefusalReason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInput:
    """float32 (rows, columns, 1) in 0..1, 0 = black."""

    pixels: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelIdentity:
    """Which network spoke; `sha256` is the hash of the model file."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """Whom the network was made for, in completed years of age; None where it has no bound."""

    min_age_years: int | None = None
    max_age_years: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification:
    """A calibrated probability of pneumonia against the operating point; `logit` is what the network itself said."""

    probability: float
    threshold: float
    logit: float | None = None

    @property
    def is_positive(self) -> bool:
        """Whether the probability reaches the operating point."""
        return self.probability >= self.threshold

    @property
    def outcome(self) -> Outcome:
        """Positive or negative."""
        return Outcome.POSITIVE if self.is_positive else Outcome.NEGATIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """Grad-CAM as float32 (rows, columns) in 0..1 over the whole image; all zero when nothing speaks for the class."""

    values: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the network says of one image, and where it looked; a refusal where it has not learned such images.

    A network that cannot be differentiated has no heat map.
    """

    classification: Classification
    heat_map: HeatMap | None
    refusal: Refusal | None = None


class PriorityLevel(StrEnum):
    """The three levels of (0040,1003) Requested Procedure Priority that a reading list needs."""

    STAT = "STAT"
    HIGH = "HIGH"
    ROUTINE = "ROUTINE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Priority:
    """How soon a study should be read, and why."""

    level: PriorityLevel
    reasons: tuple[str, ...]


class Classifier(Protocol):
    """A network that is loaded and ready."""

    identity: ModelIdentity
    threshold: float
    input_size: int

    def read(self, inputs: Sequence[ModelInput]) -> list[Reading]:
        """One reading for each input, in order."""
        ...

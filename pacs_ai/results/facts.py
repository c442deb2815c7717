"""What a result needs to know, and no more: the image, what was said of it, by whom, and when."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pacs_ai.findings import ModelIdentity, Reading, Refusal
from pacs_ai.header import text

from .uids import derive_uid

MANUFACTURER = "pacs-ai"


def in_utc(when: datetime) -> str:
    """The moment as part of a UID: the same wherever the machine is; a time without a zone is as it is."""
    return (when.astimezone(UTC) if when.tzinfo else when).isoformat()


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """The software and the network that speak, with every setting that changes what they say."""

    model: ModelIdentity
    threshold: float
    software_version: str
    outside_population_allowed: bool = False

    @property
    def key(self) -> tuple[str, ...]:
        """The parts that make another result of the same image; they go into every UID."""
        return (
            self.software_version,
            self.model.name,
            self.model.version,
            self.model.sha256,
            f"{self.threshold:.6f}",
            str(self.outside_population_allowed),
        )

    @property
    def device_uid(self) -> str:
        """The device is another one whenever the network changes (IHE AI Results 6.5.3.1)."""
        return derive_uid("device", self.model.name, self.model.version, self.model.sha256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """Which report of a study it is: its time, the one before it, and how often somebody had the study read again.

    `not_kept` says what was said of images that the report cannot answer for any more, in at most 64 characters.
    """

    revision: int
    when: datetime
    rerun: int = 0
    predecessor: Dataset | None = None
    not_kept: str | None = None

    @property
    def key(self) -> tuple[str, ...]:
        """The parts that make another report of the same images."""
        predecessor = "" if self.predecessor is None else str(self.predecessor.SOPInstanceUID)
        parts = (str(self.revision), in_utc(self.when), str(self.rerun), predecessor)
        return parts if self.not_kept is None else (*parts, self.not_kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadImage:
    """An image with its reading; `display` is uint8 (rows, columns), at most 1024 on the longer side."""

    header: Dataset
    reading: Reading
    display: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedImage:
    """A radiograph that was not analysed, and why."""

    header: Dataset
    refusal: Refusal


def date_and_time(when: datetime) -> tuple[str, str]:
    """DA and TM of a time; the year has four digits (PS3.5 6.2), which %Y does not give everywhere."""
    return f"{when.year:04}{when:%m%d}", f"{when:%H%M%S}"


def in_zone_of(carried: Dataset, when: datetime) -> datetime:
    """The time in the zone that results carry of their source: it holds for every time of theirs (PS3.3 C.12.1).

    Where none is carried, or where the time itself has none, it is as it was.
    """
    offset = text(carried, "TimezoneOffsetFromUTC")
    if not offset or when.tzinfo is None:
        return when
    return when.astimezone(datetime.strptime(offset, "%z").tzinfo)

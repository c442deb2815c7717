"""What the unit tests arrange: authors, read images, readers, and instances that have been through a file."""

import atexit
import warnings
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from pacs_ai.findings import Classification, HeatMap, ModelIdentity, Population, PriorityLevel, Reading
from pacs_ai.imaging.gate import GatePolicy
from pacs_ai.imaging.opener import FilmOpener
from pacs_ai.opening import InstanceFile, OpeningTerms
from pacs_ai.process import Reader
from pacs_ai.provenance import setup_from
from pacs_ai.results.capture import HeatMapPolicy, build_capture
from pacs_ai.results.facts import Author, Edition, ReadImage
from pacs_ai.results.report import build_report
from pacs_ai.worklist import PriorityPolicy
from tests.builders import Stored, make_instance, part10, phantom
from tests.fakes import TinyClassifier

WHEN = datetime(2026, 1, 5, 10, 30)  # noqa: DTZ001 - DICOM dates have no zone
FIRST = Edition(revision=1, when=WHEN)
AUTHOR = Author(
    model=ModelIdentity(name="tiny", version="0.0.1", sha256="0123456789abcdef" * 4),
    threshold=0.5,
    software_version="9.8.7",
)
PRIORITY = PriorityPolicy(
    stat_probability=0.9,
    limits={
        PriorityLevel.STAT: timedelta(hours=1),
        PriorityLevel.HIGH: timedelta(hours=4),
        PriorityLevel.ROUTINE: timedelta(hours=24),
    },
)
SETUP = setup_from({"model": {"name": "tiny", "version": "0.0.1"}, "pixel_pipeline": "1"})
FILMS = FilmOpener(at_once=2)
atexit.register(FILMS.close)
CHILDREN = GatePolicy(population=Population(min_age_years=1, max_age_years=5))


@cache
def _flat(level: int) -> Stored:
    return np.full((512, 512), level, np.uint16)


def make_film(**changes: Any) -> Dataset:
    """A film for tests that do not look at its pixels."""
    return make_instance(stored=_flat(7), **changes)


def make_header(instance: Dataset) -> Dataset:
    """The header as it is read from a file: values not yet converted."""
    return dcmread(BytesIO(part10(instance)), stop_before_pixels=True)


def header_of_bytes(content: bytes) -> Dataset:
    """The header of a file whose values a strict reader would warn of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dcmread(BytesIO(content), stop_before_pixels=True)


def raw_element(tag: int, vr: str, content: bytes) -> RawDataElement:
    """An element as its bytes stood in a file, not yet converted."""
    return RawDataElement(Tag(tag), vr, len(content), content, 0, is_implicit_VR=False, is_little_endian=True)


def read_back(result: Dataset) -> Dataset:
    """The result as whoever receives its bytes reads it."""
    return dcmread(BytesIO(part10(result)))


@cache
def small_display() -> Stored:
    return phantom(160, 144, bits=8)


def make_read_image(header: Dataset, probability: float = 0.87, threshold: float = 0.5) -> ReadImage:
    """A reading of the header's image, whose upper left quarter speaks for the class."""
    heat = np.zeros((14, 14), np.float32)
    heat[:7, :7] = 1.0
    return ReadImage(
        header=header,
        reading=Reading(
            classification=Classification(probability=probability, threshold=threshold),
            heat_map=HeatMap(values=heat),
        ),
        display=small_display(),
    )


def make_results(
    header: Dataset,
    probability: float = 0.87,
    *,
    author: Author = AUTHOR,
    policy: HeatMapPolicy = "positive",
    revision: int = 1,
) -> tuple[Dataset, Dataset]:
    """Capture and report of a study of one image."""
    image = make_read_image(header, probability, author.threshold)
    capture = build_capture(image, author, policy, WHEN)
    return capture, build_report([(image, capture)], author, Edition(revision=revision, when=WHEN))


def make_reader(**changes: Any) -> Reader:
    classifier = TinyClassifier()
    reader = Reader(
        classifier=classifier,
        author=replace(AUTHOR, model=classifier.identity, threshold=classifier.threshold),
        opening=OpeningTerms(gate=CHILDREN, films=FILMS, input_size=classifier.input_size, max_bytes=64 << 20),
        priority=PRIORITY,
        heat_map="positive",
        setup=SETUP,
    )
    opening = {key: changes.pop(key) for key in ("gate", "films", "max_bytes") if key in changes}
    return replace(reader, opening=replace(reader.opening, **opening), **changes)


def lay(folder: Path, *instances: Dataset) -> list[InstanceFile]:
    """The instances as files, ready to be read."""
    files = []
    folder.mkdir(exist_ok=True)
    for number, instance in enumerate(instances):
        path = folder / f"{number}.dcm"
        path.write_bytes(part10(instance))
        files.append(InstanceFile(path=path, sop_instance_uid=str(instance.SOPInstanceUID), when=WHEN))
    return files


def bright(**changes: Any) -> Dataset:
    """A film that the tiny classifier calls positive."""
    return make_instance(stored=_flat(3800), **changes)


def dark(**changes: Any) -> Dataset:
    """A film that the tiny classifier calls negative."""
    return make_instance(stored=_flat(200), **changes)


def content_items(report: Dataset, value: str) -> list[Dataset]:
    """Every content item, at any depth, whose concept name has the code value."""
    found: list[Dataset] = []
    for item in report.get("ContentSequence") or []:
        if item.get("ConceptNameCodeSequence") and item.ConceptNameCodeSequence[0].CodeValue == value:
            found.append(item)
        found += content_items(item, value)
    return found


def make_dirty(**changes: Any) -> Dataset:
    """The header of a film whose values break their VR, as devices write them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return header_of_bytes(part10(make_film(**changes)))

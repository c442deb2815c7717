"""Of an instance that cannot be opened, what came before the damage is enough to answer for it."""

import struct
from pathlib import Path

import pytest
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)

from pacs_ai.findings import Outcome, RefusalReason
from pacs_ai.imaging.film import read_header
from pacs_ai.imaging.front import read_front
from pacs_ai.process import read_study
from tests.builders import Stored, make_instance, part10

from .making import FIRST, content_items, dark, lay, make_reader


def _without_end(content: bytes) -> bytes:
    """The file with a sequence, behind the identifiers, in the middle of which it ends."""
    at = content.index(struct.pack("<HH", 0x0020, 0x0013) + b"IS")
    sequence = struct.pack("<HH2sHIHHI", 0x0020, 0x0012, b"SQ", 0, 0xFFFFFFFF, 0xFFFE, 0xE000, 0xFFFFFFFF)
    return content[:at] + sequence + content[at : at + 30]


@pytest.mark.parametrize(
    "syntax",
    [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        JPEG2000Lossless,
    ],
)
def test_the_front_of_a_sound_file_is_its_header(syntax: UID, film_path: Path, small: Stored) -> None:
    film_path.write_bytes(part10(make_instance(stored=small, syntax=syntax)))

    front, header = read_front(film_path), read_header(film_path, max_bytes=1 << 24)

    assert front is not None
    assert front == header


def test_what_came_before_the_damage_is_there(film_path: Path, small: Stored) -> None:
    instance = make_instance(stored=small)
    film_path.write_bytes(_without_end(part10(instance)))

    front = read_front(film_path)

    assert front is not None
    assert (front.SOPInstanceUID, front.PatientID) == (instance.SOPInstanceUID, instance.PatientID)
    assert "Rows" not in front


@pytest.mark.parametrize("content", [b"", b"no instance at all", b"\0" * 128 + b"DICM", b"\xff" * 5000])
def test_what_is_no_instance_has_no_front(content: bytes, film_path: Path) -> None:
    film_path.write_bytes(content)

    assert read_front(film_path) is None


def test_a_radiograph_whose_header_is_damaged_is_answered_in_the_report(tmp_path: Path) -> None:
    damaged, sound = dark(), dark()
    damaged.StudyInstanceUID = sound.StudyInstanceUID
    files = lay(tmp_path, damaged, sound)
    files[0].path.write_bytes(_without_end(files[0].path.read_bytes()))

    reading = read_study(files, make_reader(), FIRST)

    report = reading.objects[-1].dataset
    assert [item.refusal.reason for item in reading.readings if item.refusal] == [RefusalReason.NOT_DICOM]
    assert reading.outcome.outcome is Outcome.NEGATIVE
    assert [item.ConceptCodeSequence[0].CodeValue for item in content_items(report, "NA")] == ["NA01"]
    assert len(content_items(report, "125007")) == 2


def test_a_radiograph_that_is_too_large_is_answered_in_the_report(tmp_path: Path) -> None:
    files = lay(tmp_path, dark())

    reading = read_study(files, make_reader(max_bytes=1000), FIRST)

    assert [item.kind for item in reading.objects] == ["report"]
    codes = [item.ConceptCodeSequence[0].CodeValue for item in content_items(reading.objects[0].dataset, "NA")]
    assert codes == ["NA15"]

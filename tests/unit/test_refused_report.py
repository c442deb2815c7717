"""What a report says of radiographs that were not analysed: never a probability, never a finding, always why."""

import re
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from pacs_ai.findings import Refusal, RefusalReason
from pacs_ai.results.capture import build_capture
from pacs_ai.results.facts import Edition, RefusedImage
from pacs_ai.results.refusal_codes import CODES
from pacs_ai.results.report import build_report

from .making import AUTHOR, FIRST, WHEN, content_items, make_film, make_header, make_read_image, read_back
from .peers import dump_report, validation_errors
from .sources import SOURCES, make_source

STUDY = "1.2.3.4"
UNDETERMINED, PNEUMONIA = "373068000", "233604007"
DETAIL = "View Position is LL."


def _refused(header: Dataset, reason: RefusalReason = RefusalReason.NOT_FRONTAL, detail: str = DETAIL) -> RefusedImage:
    return RefusedImage(header=header, refusal=Refusal(reason=reason, detail=detail))


def _report(*refused: RefusedImage, revision: int = 1) -> Dataset:
    return read_back(build_report([], AUTHOR, Edition(revision=revision, when=WHEN), refused=refused))


def _header() -> Dataset:
    return make_header(make_film(StudyInstanceUID=STUDY))


@pytest.mark.parametrize("reason", RefusalReason)
def test_every_reason_is_coded_and_the_report_valid(reason: RefusalReason, tmp_path: Path) -> None:
    report = _report(_refused(_header(), reason))

    assert validation_errors(report, tmp_path) == []
    assert dump_report(report, tmp_path).returncode == 0
    (item,) = content_items(report, "NA")
    code = item.ConceptCodeSequence[0]
    assert (code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning) == (
        CODES[reason][0],
        "99PACSAI",
        CODES[reason][1],
    )
    assert report.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == "99PACSAI"


@pytest.mark.parametrize("name", SOURCES)
def test_whatever_the_header_is_like_the_report_is_valid(name: str, tmp_path: Path) -> None:
    report = _report(_refused(make_source(name)))

    assert validation_errors(report, tmp_path) == []
    assert dump_report(report, tmp_path).returncode == 0


def test_a_refused_image_is_undetermined_with_its_reason_in_words_and_has_no_probability() -> None:
    header = _header()

    report = _report(_refused(header))

    (evaluation,) = content_items(report, PNEUMONIA)
    assert evaluation.ConceptCodeSequence[0].CodeValue == UNDETERMINED
    assert [item.TextValue for item in content_items(report, "121106")] == [DETAIL]
    assert content_items(report, "111012") == content_items(report, "121071") == []
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0]
    (series,) = evidence.ReferencedSeriesSequence
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == header.SOPInstanceUID


def test_read_and_refused_images_of_a_study_are_in_one_report(tmp_path: Path) -> None:
    read, lateral, hand = _header(), _header(), _header()
    image = make_read_image(read, 0.9)
    capture = build_capture(image, AUTHOR, "positive", WHEN)
    refused = [_refused(lateral), _refused(hand, RefusalReason.NOT_CHEST, "Body Part Examined is HAND.")]

    report = read_back(build_report([(image, capture)], AUTHOR, FIRST, refused=refused))

    assert validation_errors(report, tmp_path) == []
    assert len(content_items(report, "125007")) == 3
    assert [item.ConceptCodeSequence[0].CodeValue for item in content_items(report, "NA")] == ["NA11", "NA10"]
    assert len(content_items(report, "111012")) == 1
    assert len({item.UID for item in content_items(report, "112040")}) == 3


def test_a_refused_image_has_a_region_that_is_the_whole_of_it() -> None:
    header = _header()

    (group,) = content_items(_report(_refused(header)), "125007")

    (region,) = [item for item in group.ContentSequence if item.ValueType == "SCOORD"]
    corners = np.reshape(region.GraphicData, (-1, 2))
    assert corners.min(axis=0).tolist() == [0, 0]
    assert corners.max(axis=0).tolist() == [header.Columns, header.Rows]
    (image,) = region.ContentSequence
    assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == header.SOPInstanceUID


def test_a_report_without_a_reading_says_so_in_a_series_of_its_own() -> None:
    read, lateral = _header(), _header()
    image = make_read_image(read, 0.9)
    images = [(image, build_capture(image, AUTHOR, "positive", WHEN))]

    with_reading = build_report(images, AUTHOR, Edition(revision=2, when=WHEN), refused=[_refused(lateral)])
    without, later = _report(_refused(lateral)), _report(_refused(lateral), revision=3)

    assert without.SeriesDescription == "AI: not analysed (not for diagnosis)"
    assert with_reading.SeriesDescription == "AI pneumonia report (not for diagnosis)"
    assert without.SeriesInstanceUID == later.SeriesInstanceUID != with_reading.SeriesInstanceUID


def test_another_reason_or_revision_is_another_report_and_the_same_again_the_same() -> None:
    header = _header()
    changed = [
        _report(_refused(header)),
        _report(_refused(header, RefusalReason.VIEW_UNKNOWN)),
        _report(_refused(header, detail="View Position is RL.")),
        _report(_refused(header), revision=2),
    ]

    assert len({report.SOPInstanceUID for report in changed}) == 4
    assert _report(_refused(header)) == changed[0]


def test_an_image_without_rows_is_reported_without_them(tmp_path: Path) -> None:
    header = _header()
    del header.Rows

    report = _report(_refused(header, RefusalReason.UNDECODABLE))

    assert validation_errors(report, tmp_path) == []
    assert content_items(report, "110910") == []


def test_a_detail_that_quotes_garbage_is_written_in_ascii(tmp_path: Path) -> None:
    header = make_header(make_film(SpecificCharacterSet="ISO_IR 144", PatientName="Люк", ReferringPhysicianName=""))

    report = _report(_refused(header, detail="Body Part Examined is BRAÇO\x07."))

    assert dump_report(report, tmp_path).returncode == 0
    assert [item.TextValue for item in content_items(report, "121106")] == ["Body Part Examined is BRA?O?."]


def test_the_codes_written_down_are_those_in_use() -> None:
    text = (Path(__file__).parents[2] / "docs" / "codes.md").read_text(encoding="utf-8")

    rows = re.findall(r"^\| (NA\d+) \| (.+?) \| `(\w+)` \|$", text, re.MULTILINE)

    assert rows == [(code, meaning, reason.value) for reason, (code, meaning) in CODES.items()]
    assert set(CODES) == set(RefusalReason)

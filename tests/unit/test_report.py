"""The Structured Report, read back, judged as its IOD, and row by row as TID 1500."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage, ExplicitVRLittleEndian

from pacs_ai.results.capture import build_capture
from pacs_ai.results.facts import Author, Edition
from pacs_ai.results.report import build_report
from pacs_ai.results.verification import check_report
from tests.builders import code, part10

from .dirty import make_dirty_header
from .making import (
    AUTHOR,
    FIRST,
    WHEN,
    content_items,
    make_film,
    make_header,
    make_read_image,
    make_results,
    raw_element,
    read_back,
)
from .peers import dump_report, validation_errors
from .sources import SOURCES, make_source

PNEUMONIA, PRESENT, ABSENT = "233604007", "52101004", "272519000"


def _report(source: Dataset, probability: float = 0.87, author: Author = AUTHOR, revision: int = 1) -> Dataset:
    return read_back(make_results(source, probability, author=author, revision=revision)[1])


def _study_report(*probabilities: float) -> tuple[list[Dataset], list[Dataset], Dataset]:
    """Headers, captures and the report of one study of several films."""
    headers = [make_header(make_film(StudyInstanceUID="1.2.3.4")) for _ in probabilities]
    images = [make_read_image(header, probability) for header, probability in zip(headers, probabilities, strict=True)]
    captures = [build_capture(image, AUTHOR, "positive", WHEN) for image in images]
    report = build_report(list(zip(images, captures, strict=True)), AUTHOR, FIRST)
    return headers, captures, read_back(report)


def _one(report: Dataset, value: str) -> Dataset:
    (item,) = content_items(report, value)
    return item


def _codes(report: Dataset, value: str) -> list[str]:
    return [item.ConceptCodeSequence[0].CodeValue for item in content_items(report, value)]


def _texts(report: Dataset, value: str) -> list[str]:
    return [item.TextValue for item in content_items(report, value)]


def _evidence(report: Dataset) -> set[str]:
    return {
        reference.ReferencedSOPInstanceUID
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for reference in series.ReferencedSOPSequence
    }


@pytest.mark.parametrize("probability", [0.87, 0.13])
@pytest.mark.parametrize("name", SOURCES)
def test_a_report_is_a_valid_structured_report(name: str, probability: float, tmp_path: Path) -> None:
    report = _report(make_source(name), probability)

    assert validation_errors(report, tmp_path) == []
    assert dump_report(report, tmp_path).returncode == 0
    assert report.SOPClassUID == Comprehensive3DSRStorage
    assert report.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


def test_a_report_of_three_films_is_valid_and_has_a_group_for_each(tmp_path: Path) -> None:
    headers, captures, report = _study_report(0.9, 0.1, 0.6)

    assert validation_errors(report, tmp_path) == []
    assert dump_report(report, tmp_path).returncode == 0
    assert len(content_items(report, "125007")) == 3
    assert len({item.UID for item in content_items(report, "112040")}) == 3
    assert _codes(report, PNEUMONIA) == [PRESENT, ABSENT, PRESENT]
    assert _evidence(report) == {item.SOPInstanceUID for item in (*headers, *captures)}


def test_a_positive_report_has_the_finding(header: Dataset) -> None:
    report = _report(header, 0.87)

    assert _codes(report, "121071") == [PNEUMONIA]
    assert _codes(report, PNEUMONIA) == [PRESENT]


def test_a_negative_report_never_has_the_finding(header: Dataset) -> None:
    report = _report(header, 0.13)

    assert content_items(report, "121071") == []
    assert _codes(report, PNEUMONIA) == [ABSENT]


def test_a_probability_at_the_operating_point_is_positive(header: Dataset) -> None:
    assert _codes(_report(header, 0.5), PNEUMONIA) == [PRESENT]


@pytest.mark.parametrize(
    ("probability", "percent"),
    [
        (0.8734, 87.34),
        (0.0, 0.0),
        (1.0, 100.0),
        (0.99999, 100.0),
        (1 / 3, 33.33),
        (0.499996, 49.9996),
        (0.500004, 50.0),
    ],
)
def test_the_certainty_is_in_percent(header: Dataset, probability: float, percent: float) -> None:
    (measured,) = _one(_report(header, probability), "111012").MeasuredValueSequence

    assert float(measured.NumericValue) == percent
    assert measured.MeasurementUnitsCodeSequence[0].CodeValue == "%"
    assert measured.MeasurementUnitsCodeSequence[0].CodingSchemeDesignator == "UCUM"


def test_the_certainty_is_inferred_from_the_whole_film(header: Dataset) -> None:
    (region,) = _one(_report(header), "111012").ContentSequence
    (image,) = region.ContentSequence

    assert (region.ValueType, region.RelationshipType) == ("SCOORD", "INFERRED FROM")
    corners = np.reshape(region.GraphicData, (-1, 2))
    assert corners.min(axis=0).tolist() == [0, 0]
    assert corners.max(axis=0).tolist() == [header.Columns, header.Rows]
    assert (image.ValueType, image.RelationshipType) == ("IMAGE", "SELECTED FROM")
    assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == header.SOPInstanceUID


def test_the_border_begins_where_its_words_are_on_the_film(header: Dataset) -> None:
    (region,) = _one(_report(header), "111012").ContentSequence

    first, second = np.reshape(region.GraphicData, (-1, 2))[:2]

    assert first.tolist() == [0, header.Rows]
    assert second[0] == 0
    assert header.Rows / 2 < second[1] < header.Rows


def test_the_algorithm_says_all_that_changes_its_answer(header: Dataset) -> None:
    report = _report(header)

    assert _texts(report, "111001") == ["tiny"]
    assert _texts(report, "111003") == ["0.0.1"]
    assert _texts(report, "111002") == ["operating_point=0.500000", f"weights_sha256={AUTHOR.model.sha256}"]
    assert _codes(report, "111000") == ["123110"]


def test_the_algorithm_says_that_the_population_was_not_checked(header: Dataset) -> None:
    report = _report(header, author=replace(AUTHOR, outside_population_allowed=True))

    assert "allow_outside_population=true" in _texts(report, "111002")


def test_the_observer_is_a_device_and_another_one_for_other_weights(header: Dataset) -> None:
    retrained = replace(AUTHOR, model=replace(AUTHOR.model, sha256="f" * 64))

    first, second = _report(header), _report(header, author=retrained)

    assert _codes(first, "121005") == ["121007"]
    assert AUTHOR.device_uid == _one(first, "121012").UID
    assert _one(second, "121012").UID == retrained.device_uid != AUTHOR.device_uid
    assert _texts(first, "121013") == ["tiny"]


def test_the_device_stays_the_same_for_another_operating_point() -> None:
    assert replace(AUTHOR, threshold=0.1).device_uid == AUTHOR.device_uid


def test_the_visual_explanation_is_the_capture(header: Dataset) -> None:
    capture, report = make_results(header)

    explanation = _one(read_back(report), "130401")

    assert (explanation.ValueType, explanation.RelationshipType) == ("IMAGE", "CONTAINS")
    assert explanation.ReferencedSOPSequence[0].ReferencedSOPClassUID == capture.SOPClassUID
    assert explanation.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == capture.SOPInstanceUID


def test_film_and_capture_are_the_evidence(header: Dataset) -> None:
    capture, report = make_results(header)

    assert _evidence(read_back(report)) == {header.SOPInstanceUID, capture.SOPInstanceUID}


def test_the_equipment_that_contributed_is_named_with_its_device_uid(header: Dataset) -> None:
    (equipment,) = _report(header).ContributingEquipmentSequence

    assert equipment.Manufacturer == "pacs-ai"
    assert equipment.ManufacturerModelName == "tiny"
    assert equipment.SoftwareVersions == ["9.8.7", "0.0.1"]
    assert equipment.DeviceUID == AUTHOR.device_uid
    assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"


def test_the_template_is_1500_and_its_groups_are_1501(header: Dataset) -> None:
    report = _report(header)

    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert _one(report, "125007").ContentTemplateSequence[0].TemplateIdentifier == "1501"
    assert report.ConceptNameCodeSequence[0].CodeValue == "126000"


def test_the_rows_of_the_template_are_in_their_order(header: Dataset) -> None:
    rows = [item.ConceptNameCodeSequence[0].CodeValue for item in _report(header).ContentSequence]

    assert rows == ["121049", "121005", "121012", "121013", "121014", "121015", "121016", "121058", "111028", "126010"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("399208008", "SCT", "Chest X-ray")),
        ({"ProcedureCodeSequence": None}, ("399208008", "SCT", "Plain chest X-ray")),
    ],
)
def test_the_procedure_is_that_of_the_film_or_a_plain_chest_radiograph(changes: dict, expected: tuple) -> None:
    report = _report(make_header(make_film(**changes)))

    (code,) = _one(report, "121058").ConceptCodeSequence
    told = (code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning)
    assert told == expected


def test_the_library_describes_the_film(header: Dataset) -> None:
    report = _report(header)

    assert _codes(report, "121139") == ["DX"]
    assert [int(_one(report, row).MeasuredValueSequence[0].NumericValue) for row in ("110910", "110911")] == [640, 576]
    assert float(_one(report, "111026").MeasuredValueSequence[0].NumericValue) == pytest.approx(0.168)
    assert _texts(report, "111044") == ["L"]


def test_a_report_is_complete_final_and_not_verified_by_anyone(header: Dataset) -> None:
    report = _report(header)

    assert (report.CompletionFlag, report.VerificationFlag, report.PreliminaryFlag) == (
        "COMPLETE",
        "UNVERIFIED",
        "FINAL",
    )
    assert "not for diagnosis" in report.SeriesDescription


def test_the_same_arguments_give_the_same_bytes(header: Dataset) -> None:
    first, second = (make_results(header)[1] for _ in range(2))

    assert part10(first) == part10(second)


def test_whatever_changes_the_report_changes_the_uid(header: Dataset) -> None:
    model = AUTHOR.model
    reports = [
        make_results(header)[1],
        make_results(header, revision=2)[1],
        make_results(header, policy="never")[1],
        make_results(make_header(make_film()))[1],
        make_results(header, author=replace(AUTHOR, threshold=0.4))[1],
        make_results(header, author=replace(AUTHOR, software_version="9.8.8"))[1],
        make_results(header, author=replace(AUTHOR, outside_population_allowed=True))[1],
        make_results(header, author=replace(AUTHOR, model=replace(model, name="other")))[1],
        make_results(header, author=replace(AUTHOR, model=replace(model, version="0.0.2")))[1],
        make_results(header, author=replace(AUTHOR, model=replace(model, sha256="f" * 64)))[1],
    ]

    assert len({report.SOPInstanceUID for report in reports}) == len(reports)


def test_a_revision_is_the_next_instance_of_the_same_series(header: Dataset) -> None:
    first, second = _report(header, revision=1), _report(header, revision=2)

    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    assert (first.InstanceNumber, second.InstanceNumber) == (1, 2)


def test_a_later_report_names_the_one_before_and_is_another(header: Dataset, tmp_path: Path) -> None:
    capture, first = make_results(header)
    image = make_read_image(header)

    second = build_report([(image, capture)], AUTHOR, Edition(revision=2, when=WHEN, predecessor=first))
    again = build_report([(image, capture)], AUTHOR, Edition(revision=2, when=WHEN, predecessor=first, rerun=1))

    (predecessor,) = second.PredecessorDocumentsSequence
    (series,) = predecessor.ReferencedSeriesSequence
    assert (predecessor.StudyInstanceUID, series.SeriesInstanceUID) == (
        header.StudyInstanceUID,
        first.SeriesInstanceUID,
    )
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert len({item.SOPInstanceUID for item in (first, second, again)}) == 3
    assert validation_errors(second, tmp_path) == []
    assert check_report(read_back(second)) == []


@pytest.mark.parametrize("meaning", [b"Chest X-ray\x7f", b"\xff\xfest X-ray", b""])
def test_a_procedure_whose_meaning_is_damaged_is_a_chest_radiograph(meaning: bytes, tmp_path: Path) -> None:
    source = make_header(make_film())
    source.ProcedureCodeSequence[0][0x00080104] = raw_element(0x00080104, "LO", meaning)

    report = _report(source)

    assert _codes(report, "121058") == ["399208008"]
    assert [item.ConceptCodeSequence[0].CodeMeaning for item in content_items(report, "121058")] == [
        "Plain chest X-ray"
    ]
    assert validation_errors(report, tmp_path) == []


def test_a_procedure_code_without_its_scheme_is_left_out(tmp_path: Path) -> None:
    source = make_header(make_film())
    del source.ProcedureCodeSequence[0].CodingSchemeDesignator

    report = _report(source)

    assert "ProcedureCodeSequence" not in report
    assert validation_errors(report, tmp_path) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("procedure in UTF-8 without a character set", "Tórax"),
        ("procedure in UTF-8 within Latin-1", "Tórax"),
        ("procedure in Latin-1 within UTF-8", "Tórax"),
        ("procedure in Latin-1 within ASCII", "Tórax"),
        ("procedure in Latin-1 within Cyrillic", "Plain chest X-ray"),
        ("procedure with a long code", "Thorax"),
        ("procedure with a URN", "Plain chest X-ray"),
        ("procedure with a scheme too long", "Plain chest X-ray"),
        ("procedure with a meaning too long", "Plain chest X-ray"),
    ],
)
def test_the_procedure_reported_is_the_one_that_the_report_carries(name: str, expected: str) -> None:
    report = _report(make_dirty_header(name))

    assert _one(report, "121058").ConceptCodeSequence[0].CodeMeaning == expected


def test_the_procedure_of_another_image_is_reported_in_the_character_set_of_the_report() -> None:
    without = make_film(SpecificCharacterSet="ISO_IR 100", ProcedureCodeSequence=None, StudyInstanceUID="1.2.3.4")
    procedure = [code("399208008", "SCT", "Tórax")]
    reported = []
    for declared in ("ISO_IR 100", "ISO_IR 192"):
        other = make_film(SpecificCharacterSet=declared, ProcedureCodeSequence=procedure, StudyInstanceUID="1.2.3.4")
        images = [make_read_image(make_header(film)) for film in (without, other)]
        captures = [build_capture(image, AUTHOR, "positive", WHEN) for image in images]
        report = read_back(build_report(list(zip(images, captures, strict=True)), AUTHOR, FIRST))
        reported.append(_one(report, "121058").ConceptCodeSequence[0].CodeMeaning)

    assert reported == ["Tórax", "Plain chest X-ray"]

"""The report in lower SR classes: valid as their IODs, in words where there are no numbers, the same each time."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import BasicTextSRStorage, Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage

from pacs_ai.findings import Refusal, RefusalReason
from pacs_ai.results.capture import build_capture
from pacs_ai.results.facts import Author, RefusedImage
from pacs_ai.results.ladder import RUNGS, lowered, lowered_file
from pacs_ai.results.report import build_report
from tests.builders import part10

from .making import AUTHOR, FIRST, WHEN, content_items, make_film, make_header, make_read_image, read_back
from .peers import dump_report, validation_errors
from .sources import SOURCES, make_source

LOWER = RUNGS[1:]
WITH_NUMBERS = (ComprehensiveSRStorage, EnhancedSRStorage)
rungs = pytest.mark.parametrize("rung", LOWER, ids=lambda rung: rung.keyword)
REFUSAL = Refusal(reason=RefusalReason.NOT_FRONTAL, detail="The view is LL, not PA or AP.")


def _report(*probabilities: float, refused: int = 0, author: Author = AUTHOR) -> Dataset:
    headers = [make_header(make_film(StudyInstanceUID="1.2.3.4")) for _ in range(len(probabilities) + refused)]
    images = [make_read_image(header, said) for header, said in zip(headers, probabilities, strict=False)]
    pairs = [(image, build_capture(image, author, "positive", WHEN)) for image in images]
    unread = [RefusedImage(header=header, refusal=REFUSAL) for header in headers[len(images) :]]
    return read_back(build_report(pairs, author, FIRST, refused=unread))


@cache
def mixed() -> Dataset:
    """A positive, a negative and a refused image; no test changes it."""
    return _report(0.874, 0.13, refused=1)


def _sentences(report: Dataset) -> list[str]:
    return [item.TextValue for item in content_items(report, "121077")]


def _of_source(name: str) -> Dataset:
    image = make_read_image(make_source(name))
    return read_back(build_report([(image, build_capture(image, AUTHOR, "positive", WHEN))], AUTHOR, FIRST))


def test_the_ladder_goes_from_comprehensive_3d_to_basic_text() -> None:
    assert (Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage, BasicTextSRStorage) == RUNGS


@rungs
def test_each_rung_is_valid_as_its_iod(rung: str, tmp_path: Path) -> None:
    lower = lowered(mixed(), rung)

    assert validation_errors(lower, tmp_path) == []
    assert dump_report(lower, tmp_path).returncode == 0
    assert lower.SOPClassUID == lower.file_meta.MediaStorageSOPClassUID == rung


@pytest.mark.parametrize("name", SOURCES)
def test_basic_text_is_valid_whatever_the_source_was(name: str, tmp_path: Path) -> None:
    lower = lowered(_of_source(name), BasicTextSRStorage)

    assert validation_errors(lower, tmp_path) == []
    assert dump_report(lower, tmp_path).returncode == 0


def test_dcmtk_shows_the_words_of_basic_text(tmp_path: Path) -> None:
    shown = dump_report(lowered(_report(0.874), BasicTextSRStorage), tmp_path).stdout.decode()

    assert "Basic Text SR Document" in shown
    assert "The image: pneumonia PRESEN" in shown


@rungs
def test_each_rung_has_a_uid_of_its_own_and_always_the_same_bytes(rung: str) -> None:
    first, second = lowered(mixed(), rung), lowered(mixed(), rung)

    assert part10(first) == part10(second)
    assert first.SOPInstanceUID == first.file_meta.MediaStorageSOPInstanceUID


def test_no_two_rungs_and_no_two_reports_share_a_uid() -> None:
    reports = [mixed(), _report(0.7)]

    uids = {lowered(report, rung).SOPInstanceUID for report in reports for rung in LOWER}

    assert len(uids | {report.SOPInstanceUID for report in reports}) == 8


def test_what_is_lowered_is_not_changed_itself() -> None:
    report = _report(0.7)
    before = part10(report)

    for rung in LOWER:
        lowered(report, rung)

    assert part10(report) == before


def test_a_kept_file_is_lowered_to_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "report.dcm"
    path.write_bytes(part10(mixed()))

    assert part10(lowered_file(path, BasicTextSRStorage)) == part10(lowered(mixed(), BasicTextSRStorage))


@pytest.mark.parametrize("rung", WITH_NUMBERS, ids=lambda rung: rung.keyword)
def test_comprehensive_and_enhanced_say_exactly_what_the_report_says(rung: str) -> None:
    lower = lowered(mixed(), rung)

    own = {"SOPClassUID", "SOPInstanceUID"}
    assert [element for element in lower if element.keyword not in own] == [
        element for element in mixed() if element.keyword not in own
    ]


@rungs
def test_each_rung_keeps_patient_study_dates_evidence_and_author(rung: str) -> None:
    lower = lowered(mixed(), rung)

    for keyword in (
        "PatientName",
        "PatientID",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "ContentDate",
        "ContentTime",
        "InstanceCreationDate",
        "CurrentRequestedProcedureEvidenceSequence",
        "ContributingEquipmentSequence",
        "CompletionFlag",
    ):
        assert lower[keyword] == mixed()[keyword]


def test_basic_text_says_finding_probability_operating_point_and_network_of_every_image() -> None:
    positive, negative, refused = _sentences(lowered(mixed(), BasicTextSRStorage))

    assert positive.startswith(
        "Image 1 of 3: pneumonia PRESENT. Probability 87.4 %, operating point 50.0 %. Network tiny 0.0.1, "
        "weights SHA-256 0123456789abcdef"
    )
    assert negative.startswith("Image 2 of 3: pneumonia ABSENT. Probability 13.0 %, operating point 50.0 %. ")
    assert refused.startswith(
        "Image 3 of 3: pneumonia UNDETERMINED. Not analysed: Not a frontal view (NA11, 99PACSAI). "
        "The view is LL, not PA or AP. Network tiny 0.0.1"
    )
    assert "Probability" not in refused
    assert all("Not for diagnosis." in sentence for sentence in (positive, negative, refused))


def test_each_sentence_of_basic_text_refers_to_its_image_and_names_it() -> None:
    lower = lowered(mixed(), BasicTextSRStorage)
    expected = [item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in content_items(mixed(), "121112")]

    conclusions = content_items(lower, "121077")

    referred = [item.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in conclusions]
    assert referred == expected
    assert [sentence.rsplit(" ", 1)[1] for sentence in _sentences(lower)] == expected


def test_basic_text_shows_the_captures_of_the_read_images() -> None:
    lower = lowered(mixed(), BasicTextSRStorage)

    assert content_items(lower, "130401") == content_items(mixed(), "130401")


def test_basic_text_has_the_finding_in_code_only_where_it_is_positive() -> None:
    assert len(content_items(lowered(_report(0.9), BasicTextSRStorage), "121071")) == 1
    assert content_items(lowered(_report(0.1), BasicTextSRStorage), "121071") == []
    assert content_items(lowered(_report(refused=1), BasicTextSRStorage), "121071") == []


def test_basic_text_follows_tid_2000_and_holds_no_number_and_no_region() -> None:
    lower = lowered(mixed(), BasicTextSRStorage)
    types = {element.value for element in lower.iterall() if element.keyword == "ValueType"}

    assert types == {"CONTAINER", "CODE", "TEXT", "UIDREF", "IMAGE"}
    assert lower.ContentTemplateSequence[0].TemplateIdentifier == "2000"
    assert lower.ConceptNameCodeSequence[0].CodeValue == "18748-4"
    assert [item.ConceptNameCodeSequence[0].CodeValue for item in lower.ContentSequence] == [
        "121058",
        "121049",
        "121005",
        *("121012", "121013", "121014", "121015", "121016"),
        *["59776-5"] * 3,
    ]


def test_basic_text_says_when_the_check_of_the_population_was_off() -> None:
    switched_off = replace(AUTHOR, outside_population_allowed=True)

    (said,) = _sentences(lowered(_report(0.9, author=switched_off), BasicTextSRStorage))
    (other,) = _sentences(lowered(_report(0.9), BasicTextSRStorage))

    assert "The check of the population was switched off." in said
    assert "population" not in other


@rungs
def test_a_predecessor_is_named_as_it_was_sent_in_the_same_class(rung: str, tmp_path: Path) -> None:
    before, after = _report(0.7), _report(0.8)
    reference, series, study = Dataset(), Dataset(), Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = before.SOPClassUID, before.SOPInstanceUID
    series.SeriesInstanceUID, series.ReferencedSOPSequence = before.SeriesInstanceUID, [reference]
    study.StudyInstanceUID, study.ReferencedSeriesSequence = before.StudyInstanceUID, [series]
    after.PredecessorDocumentsSequence = [study]

    lower = lowered(after, rung)

    named = lower.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    earlier = lowered(before, rung)
    assert (named.ReferencedSOPClassUID, named.ReferencedSOPInstanceUID) == (rung, earlier.SOPInstanceUID)
    assert validation_errors(lower, tmp_path) == []

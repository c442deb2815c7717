"""The checker of our profile: quiet on what we write, and a match for each of forty defects."""

from collections.abc import Callable

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from pacs_ai.findings import Refusal, RefusalReason
from pacs_ai.results.capture import build_capture
from pacs_ai.results.facts import RefusedImage
from pacs_ai.results.report import build_report
from pacs_ai.results.verification import check_report

from .making import AUTHOR, FIRST, WHEN, content_items, make_film, make_header, make_read_image, read_back
from .sources import SOURCES, make_source


def _report(probability: float = 0.9) -> Dataset:
    """A positive or negative film, and a lateral that was not analysed."""
    read, lateral = (make_header(make_film(StudyInstanceUID="1.2.3.4")) for _ in range(2))
    image = make_read_image(read, probability)
    capture = build_capture(image, AUTHOR, "positive", WHEN)
    refusal = Refusal(reason=RefusalReason.NOT_FRONTAL, detail="View Position is LL.")
    refused = [RefusedImage(header=lateral, refusal=refusal)]
    return read_back(build_report([(image, capture)], AUTHOR, FIRST, refused=refused))


def _first(report: Dataset, code: str) -> Dataset:
    return content_items(report, code)[0]


def _without(report: Dataset, code: str) -> None:
    """The first item of that name is gone, at whatever depth it stood."""
    victim = _first(report, code)

    def prune(item: Dataset) -> None:
        if "ContentSequence" in item:
            item.ContentSequence = Sequence([child for child in item.ContentSequence if child is not victim])
            for child in item.ContentSequence:
                prune(child)

    prune(report)


def _moved_to_the_end(report: Dataset, code: str) -> None:
    item = _first(report, code)
    _without(report, code)
    report.ContentSequence.append(item)


def _twice(report: Dataset, code: str) -> None:
    group = _first(report, "125007")
    group.ContentSequence.append(_first(group, code))


def _set(code: str, keyword: str, value: object) -> Callable[[Dataset], None]:
    return lambda report: setattr(_first(report, code), keyword, value)


def _coded(code: str, keyword: str, attribute: str, value: str) -> Callable[[Dataset], None]:
    return lambda report: setattr(_first(report, code)[keyword].value[0], attribute, value)


def _document(keyword: str, value: object) -> Callable[[Dataset], None]:
    return lambda report: setattr(report, keyword, value)


def _measured(keyword: str, value: object) -> Callable[[Dataset], None]:
    def change(report: Dataset) -> None:
        measured = _first(report, "111012").MeasuredValueSequence[0]
        if keyword == "unit":
            measured.MeasurementUnitsCodeSequence[0].CodeValue = value
        else:
            measured.NumericValue = value

    return change


def _less_evidence(report: Dataset) -> None:
    study = report.CurrentRequestedProcedureEvidenceSequence[0]
    study.ReferencedSeriesSequence = study.ReferencedSeriesSequence[1:]


def _more_evidence(report: Dataset) -> None:
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1", "1.2.3"
    series = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    series.ReferencedSOPSequence.append(reference)


def _one_tracking_uid(report: Dataset) -> None:
    first, second = content_items(report, "112040")
    second.UID = first.UID


def _no_template(report: Dataset) -> None:
    del _first(report, "125007").ContentTemplateSequence


def _probability_of_a_refused_image(report: Dataset) -> None:
    groups = content_items(report, "125007")
    groups[1].ContentSequence.append(_first(groups[0], "111012"))


def _no_region_of_a_refused_image(report: Dataset) -> None:
    _without(content_items(report, "125007")[1], "260753009")


def _region_of_a_read_image(report: Dataset) -> None:
    read, refused = content_items(report, "125007")
    read.ContentSequence.append(_first(refused, "260753009"))


def _open_region(report: Dataset) -> None:
    region = _first(_first(report, "111012"), "260753009")
    region.GraphicData = [*region.GraphicData[:-1], 0.0]


def _not_empty(report: Dataset, keyword: str) -> None:
    delattr(report, keyword)


DEFECTS: dict[str, tuple[Callable[[Dataset], None], str]] = {
    "a Type 1 attribute is missing": (lambda report: _not_empty(report, "InstanceNumber"), "InstanceNumber is missing"),
    "evidence is missing": (_less_evidence, "referred to and no evidence"),
    "there is no evidence at all": (
        lambda report: _not_empty(report, "CurrentRequestedProcedureEvidenceSequence"),
        "not of the report's own study",
    ),
    "evidence of nothing": (_more_evidence, "evidence of nothing"),
    "an empty code": (_coded("233604007", "ConceptCodeSequence", "CodeValue", ""), "none of those that may stand"),
    "a number that is none": (_measured("value", None), "no number that may stand here"),
    "a probability above 100 %": (_measured("value", "101"), "no number that may stand here"),
    "a probability without its unit": (_measured("unit", "1"), "the unit is"),
    "a wrong relationship": (_set("112039", "RelationshipType", "CONTAINS"), "relationship is 'CONTAINS'"),
    "a wrong value type": (_set("112039", "ValueType", "CODE"), "value type is 'CODE'"),
    "a wrong code meaning": (
        _coded("233604007", "ConceptCodeSequence", "CodeMeaning", "Absent"),
        "a code means 'Absent', not 'Present'",
    ),
    "a wrong title": (
        lambda report: setattr(report.ConceptNameCodeSequence[0], "CodeValue", "126001"),
        "concept name is ('126001', 'DCM')",
    ),
    "no algorithm version": (lambda report: _without(report, "111003"), "0 items ('111003', 'DCM')"),
    "no algorithm name": (lambda report: _without(report, "111001"), "0 items ('111001', 'DCM')"),
    "no operating point": (lambda report: _without(report, "111002"), "1 items ('111002', 'DCM')"),
    "no root template": (lambda report: _not_empty(report, "ContentTemplateSequence"), "not TID 1500"),
    "no group template": (_no_template, "not TID 1501"),
    "no tracking identifier": (lambda report: _without(report, "112039"), "0 items ('112039', 'DCM')"),
    "no tracking UID": (lambda report: _without(report, "112040"), "0 items ('112040', 'DCM')"),
    "one tracking UID for two images": (_one_tracking_uid, "the same tracking UID"),
    "no observer": (lambda report: _without(report, "121005"), "0 items ('121005', 'DCM')"),
    "no device observer UID": (lambda report: _without(report, "121012"), "0 items ('121012', 'DCM')"),
    "a person as the observer": (
        _coded("121005", "ConceptCodeSequence", "CodeValue", "121006"),
        "none of those that may stand",
    ),
    "no procedure reported": (lambda report: _without(report, "121058"), "0 items ('121058', 'DCM')"),
    "no image library": (lambda report: _without(report, "111028"), "0 items ('111028', 'DCM')"),
    "rows out of order": (lambda report: _moved_to_the_end(report, "111028"), "not in the order of the template"),
    "no evaluation": (lambda report: _without(report, "233604007"), "0 items ('233604007', 'SCT')"),
    "an evaluation twice": (lambda report: _twice(report, "233604007"), "2 items ('233604007', 'SCT')"),
    "a finding that the evaluation denies": (
        _coded("233604007", "ConceptCodeSequence", "CodeValue", "272519000"),
        "contradict each other",
    ),
    "a positive image without its finding": (lambda report: _without(report, "121071"), "contradict each other"),
    "no region for the number": (lambda report: _without(_first(report, "111012"), "260753009"), "260753009"),
    "no visual explanation": (lambda report: _without(report, "130401"), "Visual explanation is missing"),
    "no source image": (lambda report: _without(report, "121112"), "0 items ('121112', 'DCM')"),
    "a probability of an image that was not analysed": (
        _probability_of_a_refused_image,
        "Certainty of Finding of an image that was not analysed",
    ),
    "no reason why it was not analysed": (lambda report: _without(report, "NA"), "no reason why"),
    "a refused image without its region": (_no_region_of_a_refused_image, "no region that was not analysed"),
    "a region of its own beside a number": (_region_of_a_read_image, "a region that was not analysed"),
    "a region that is not closed": (_open_region, "no closed line around the image"),
    "a reason that is none of ours": (_coded("NA", "ConceptCodeSequence", "CodeValue", "NA99"), "none of those"),
    "a report that claims to be verified": (_document("VerificationFlag", "VERIFIED"), "VerificationFlag"),
    "no contributing equipment": (
        lambda report: _not_empty(report, "ContributingEquipmentSequence"),
        "no contributing equipment",
    ),
}


@pytest.mark.parametrize("probability", [0.9, 0.1])
def test_a_report_of_ours_has_no_defect(probability: float) -> None:
    assert check_report(_report(probability)) == []


@pytest.mark.parametrize("name", SOURCES)
def test_no_header_makes_a_report_of_ours_defective(name: str) -> None:
    header = make_source(name)
    image = make_read_image(header, 0.9)
    capture = build_capture(image, AUTHOR, "positive", WHEN)

    assert check_report(read_back(build_report([(image, capture)], AUTHOR, FIRST))) == []


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_found_and_named(defect: str) -> None:
    report = _report()
    harm, words = DEFECTS[defect]

    harm(report)

    assert any(words in line for line in check_report(report)), check_report(report)

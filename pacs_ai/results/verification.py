"""Reports held to our profile, row by row.

The validators of the field look at the IOD and at some rows of some templates; a report that lacks its algorithm's
version or its observer passes them all.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage

from pacs_ai.header import items, text, texts

from .profile import (
    CERTAINTY,
    COMMENT,
    EXPLANATION,
    FINDING,
    FINDING_SITE,
    MEANINGS,
    MEASUREMENT_GROUP,
    MEASUREMENTS,
    PERCENT,
    PNEUMONIA,
    PRESENT,
    ROOT,
    SOURCE,
    TRACKING,
    UNDETERMINED,
    Code,
    Row,
)
from .refusal_codes import REASON

_REQUIRED = (
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "InstanceNumber",
    "ContentDate",
    "ContentTime",
    "Manufacturer",
    "ManufacturerModelName",
    "DeviceSerialNumber",
    "SoftwareVersions",
)


def check_file(path: str) -> list[str]:
    """The same of a report on disk."""
    return check_report(dcmread(path))


def check_report(report: Dataset) -> list[str]:
    """What is wrong with a report, one sentence for each defect; none for every report that this package writes."""
    return [
        *_document(report),
        *_item(report, ROOT, "report"),
        *_evidence(report),
        *(found for number, group in enumerate(_groups(report), start=1) for found in _sense(group, f"group {number}")),
        *_tracking(report),
        *_meanings([report]),
    ]


def _document(report: Dataset) -> Iterator[str]:
    expected = {
        "SOPClassUID": Comprehensive3DSRStorage,
        "Modality": "SR",
        "CompletionFlag": "PARTIAL" if text(report, "CompletionFlagDescription") else "COMPLETE",
        "VerificationFlag": "UNVERIFIED",
    }
    for keyword, value in expected.items():
        if text(report, keyword) != value:
            yield f"report: {keyword} is {text(report, keyword)!r}, not {value!r}"
    for keyword in _REQUIRED:
        if not text(report, keyword):
            yield f"report: {keyword} is missing"
    if not any(text(item, "DeviceUID") for item in items(report, "ContributingEquipmentSequence")):
        yield "report: no contributing equipment with a Device UID names the algorithm"


def _item(item: Dataset, row: Row, where: str) -> Iterator[str]:
    if text(item, "ValueType") != row.type:
        yield f"{where}: value type is {text(item, 'ValueType')!r}, not {row.type}"
    if text(item, "RelationshipType") != row.relation:
        yield f"{where}: relationship is {text(item, 'RelationshipType')!r}, not {row.relation!r}"
    if _code(item, "ConceptNameCodeSequence") != row.name:
        yield f"{where}: concept name is {_code(item, 'ConceptNameCodeSequence')}, not {row.name}"
    yield from _template(item, row, where)
    yield from _VALUES[row.type](item, row, where)
    yield from _children(item, row, where)


def _template(item: Dataset, row: Row, where: str) -> Iterator[str]:
    said = [
        (text(one, "MappingResource"), text(one, "TemplateIdentifier"))
        for one in items(item, "ContentTemplateSequence")
    ]
    if row.template and said != [("DCMR", row.template)]:
        yield f"{where}: Content Template Sequence says {said}, not TID {row.template}"


def _children(item: Dataset, row: Row, where: str) -> Iterator[str]:
    children = items(item, "ContentSequence")
    names = [_code(child, "ConceptNameCodeSequence") for child in children]
    counts = Counter(names)
    known = {one.name: place for place, one in enumerate(row.rows)}
    for one in row.rows:
        if not one.least <= counts[one.name] <= one.most:
            yield f"{where}: {counts[one.name]} items {one.name}, expected {one.least} to {one.most}"
    for name in counts:
        if name not in known:
            yield f"{where}: an item {name} that the profile does not have"
    places = [known[name] for name in names if name in known]
    if places != sorted(places):
        yield f"{where}: items are not in the order of the template"
    for child, name in zip(children, names, strict=True):
        if name in known:
            yield from _item(child, row.rows[known[name]], f"{where}, {name[0]}")


def _nothing(_item: Dataset, _row: Row, _where: str) -> Iterator[str]:
    yield from ()


def _code_value(item: Dataset, row: Row, where: str) -> Iterator[str]:
    found = _code(item, "ConceptCodeSequence")
    if not all(found) or (row.values is not None and found not in row.values):
        yield f"{where}: the code {found} is none of those that may stand here"
    if not any(text(code, "CodeMeaning") for code in items(item, "ConceptCodeSequence")):
        yield f"{where}: a code without Code Meaning"


def _text_value(item: Dataset, _row: Row, where: str) -> Iterator[str]:
    if not text(item, "TextValue"):
        yield f"{where}: empty text"


def _uid_value(item: Dataset, _row: Row, where: str) -> Iterator[str]:
    if not text(item, "UID"):
        yield f"{where}: empty UID"


def _number_value(item: Dataset, row: Row, where: str) -> Iterator[str]:
    measured = items(item, "MeasuredValueSequence")
    values = [text(one, "NumericValue") for one in measured]
    units = [_code(one, "MeasurementUnitsCodeSequence") for one in measured]
    if units != [row.unit]:
        yield f"{where}: the unit is {units}, not {row.unit}"
    if len(values) != 1 or not _is_between(values[0], 0, 100 if row.unit == PERCENT else 1e6):
        yield f"{where}: the value {values} is no number that may stand here"


def _is_between(said: str, low: float, high: float) -> bool:
    try:
        return low <= float(said) <= high
    except ValueError:
        return False


def _image_value(item: Dataset, _row: Row, where: str) -> Iterator[str]:
    found = items(item, "ReferencedSOPSequence")
    if len(found) != 1 or not (text(found[0], "ReferencedSOPClassUID") and text(found[0], "ReferencedSOPInstanceUID")):
        yield f"{where}: no reference to one instance"


def _region_value(item: Dataset, _row: Row, where: str) -> Iterator[str]:
    points = texts(item, "GraphicData")
    if text(item, "GraphicType") != "POLYLINE" or len(points) != 12 or points[:2] != points[-2:]:
        yield f"{where}: no closed line around the image"


_VALUES: dict[str, Callable[[Dataset, Row, str], Iterator[str]]] = {
    "CONTAINER": _nothing,
    "CODE": _code_value,
    "TEXT": _text_value,
    "UIDREF": _uid_value,
    "NUM": _number_value,
    "IMAGE": _image_value,
    "SCOORD": _region_value,
}


def _sense(group: Dataset, where: str) -> Iterator[str]:
    """What a group says must hang together: a finding only where it is present, a probability only of a read image."""
    held = {_code(item, "ConceptNameCodeSequence")[0]: item for item in items(group, "ContentSequence")}
    said = _code(held[PNEUMONIA[0]], "ConceptCodeSequence") if PNEUMONIA[0] in held else ("", "")
    if (FINDING in held) != (said == PRESENT):
        yield f"{where}: Finding and evaluation contradict each other"
    is_read = said != UNDETERMINED
    for code, what in (
        (CERTAINTY, "Certainty of Finding"),
        (EXPLANATION, "Visual explanation"),
        (FINDING_SITE, "Finding Site"),
    ):
        if (code in held) != is_read:
            yield f"{where}: {what} {'is missing' if is_read else 'of an image that was not analysed'}"
    for code, what in (
        (REASON[0], "reason why it was not analysed"),
        (COMMENT, "comment why it was not analysed"),
        (SOURCE, "region that was not analysed"),
    ):
        if (code in held) == is_read:
            yield f"{where}: {'a' if is_read else 'no'} {what}"


def _tracking(report: Dataset) -> Iterator[str]:
    found = [text(item, "UID") for group in _groups(report) for item in _named(group, TRACKING)]
    if len(set(found)) != len(found):
        yield "report: two groups have the same tracking UID"


def _evidence(report: Dataset) -> Iterator[str]:
    """Everything that is referred to is evidence of this study, and nothing else is (PS3.3 C.17.2.3)."""
    studies = items(report, "CurrentRequestedProcedureEvidenceSequence")
    if [text(one, "StudyInstanceUID") for one in studies] != [text(report, "StudyInstanceUID")]:
        yield "report: the evidence is not of the report's own study"
    listed = {
        text(reference, "ReferencedSOPInstanceUID")
        for study in studies
        for series in items(study, "ReferencedSeriesSequence")
        for reference in items(series, "ReferencedSOPSequence")
    }
    referred = set(_referred(items(report, "ContentSequence")))
    for found, words in (
        (referred - listed, "referred to and no evidence"),
        (listed - referred, "evidence of nothing"),
    ):
        if found:
            yield f"report: {len(found)} instances are {words}"


def _referred(content: Sequence[Dataset]) -> Iterator[str]:
    for item in content:
        for reference in items(item, "ReferencedSOPSequence"):
            yield text(reference, "ReferencedSOPInstanceUID")
        yield from _referred(items(item, "ContentSequence"))


def _groups(report: Dataset) -> list[Dataset]:
    return [group for measurements in _named(report, MEASUREMENTS) for group in _named(measurements, MEASUREMENT_GROUP)]


def _named(item: Dataset, code: str) -> list[Dataset]:
    return [one for one in items(item, "ContentSequence") if _code(one, "ConceptNameCodeSequence")[0] == code]


def _meanings(content: Sequence[Dataset]) -> Iterator[str]:
    """Code Meaning of every coded entry whose code the profile knows."""
    for item in content:
        for keyword in ("ConceptNameCodeSequence", "ConceptCodeSequence", "MeasurementUnitsCodeSequence"):
            for code in items(item, keyword):
                expected = MEANINGS.get((text(code, "CodeValue"), text(code, "CodingSchemeDesignator")))
                if expected is not None and text(code, "CodeMeaning") != expected:
                    yield f"report: a code means {text(code, 'CodeMeaning')!r}, not {expected!r}"
        yield from _meanings([*items(item, "ContentSequence"), *items(item, "MeasuredValueSequence")])


def _code(item: Dataset, keyword: str) -> Code:
    """Value and scheme of the first code; the value is one of three attributes (PS3.3 8.8)."""
    found = items(item, keyword)
    if not found:
        return "", ""
    values = (text(found[0], one) for one in ("CodeValue", "LongCodeValue", "URNCodeValue"))
    return next(filter(None, values), ""), text(found[0], "CodingSchemeDesignator")

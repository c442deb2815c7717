"""The report in lower SR classes, for nodes that take no Comprehensive 3D SR (PS3.3 A.35).

Comprehensive and Enhanced SR carry the same content, template TID 1500 and all. Basic Text SR knows neither numbers nor
regions: there the finding is said in words, after TID 2000, and each sentence refers to its image.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    BasicTextSRStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
)

from pacs_ai.header import items, number, text, texts

from .equipment import code_item
from .profile import (
    ABSENT,
    CERTAINTY,
    COMMENT,
    EXPLANATION,
    FINDING,
    MEASUREMENT_GROUP,
    MEASUREMENTS,
    PNEUMONIA,
    PRESENT,
    UNDETERMINED,
)
from .refusal_codes import DESIGNATOR, REASON
from .uids import derive_uid

# The highest first: what the report is built as, and what else it can be sent as.
RUNGS: tuple[UID, ...] = (Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage, BasicTextSRStorage)

TITLE = ("18748-4", "LN", "Diagnostic Imaging Report")
HEADING = ("59776-5", "LN", "Findings")
CONCLUSION = ("121077", "DCM", "Conclusion")
_ALGORITHM_NAME, _ALGORITHM_VERSION, _ALGORITHM_PARAMETERS = "111001", "111003", "111002"
_PROCEDURE, _SOURCE_OF_MEASUREMENT = "121058", "121112"
_WORDS = {PRESENT[0]: "PRESENT", ABSENT[0]: "ABSENT", UNDETERMINED[0]: "UNDETERMINED"}


def lower_uid(sop_instance_uid: str, sop_class_uid: str) -> UID:
    """The SOP Instance UID of a report in a lower class: no UID stands for two objects, and each has one for ever."""
    return derive_uid("report-as", sop_instance_uid, sop_class_uid)


def lowered(report: Dataset, sop_class_uid: str) -> Dataset:
    """The report as an instance of a lower class, with a UID of its own; the same report gives the same bytes.

    Dates, author, series, evidence and tracking are the report's. A predecessor is named as it was sent in this class.
    """
    lower = deepcopy(report)
    lower.SOPClassUID = UID(sop_class_uid)
    lower.SOPInstanceUID = lower_uid(text(report, "SOPInstanceUID"), sop_class_uid)
    lower.file_meta.MediaStorageSOPClassUID = lower.SOPClassUID
    lower.file_meta.MediaStorageSOPInstanceUID = lower.SOPInstanceUID
    _rename_predecessors(lower, sop_class_uid)
    if sop_class_uid == BasicTextSRStorage:
        _say_in_words(lower)
    return lower


def lowered_file(path: Path, sop_class_uid: str) -> Dataset:
    """The same of a report on disk."""
    return lowered(dcmread(path), sop_class_uid)


def _rename_predecessors(lower: Dataset, sop_class_uid: str) -> None:
    for study in items(lower, "PredecessorDocumentsSequence"):
        for series in items(study, "ReferencedSeriesSequence"):
            for reference in items(series, "ReferencedSOPSequence"):
                if text(reference, "ReferencedSOPClassUID") == Comprehensive3DSRStorage:
                    before = text(reference, "ReferencedSOPInstanceUID")
                    reference.ReferencedSOPClassUID = UID(sop_class_uid)
                    reference.ReferencedSOPInstanceUID = lower_uid(before, sop_class_uid)


def _say_in_words(lower: Dataset) -> None:
    """The content is that of TID 2000: who speaks, and a heading with its sentence for each image."""
    measurements = _children(lower, MEASUREMENTS)
    groups = [group for parent in measurements for group in _children(parent, MEASUREMENT_GROUP)]
    context = [item for item in items(lower, "ContentSequence") if text(item, "RelationshipType") != "CONTAINS"]
    # The order of TID 2000 is significant: the procedure comes before language and observer.
    context.sort(key=lambda item: _concept(item) != _PROCEDURE)
    lower.ConceptNameCodeSequence = [code_item(*TITLE)]
    lower.ContentTemplateSequence[0].TemplateIdentifier = "2000"
    lower.ContentSequence = [*context, *(_section(group, place, len(groups)) for place, group in enumerate(groups, 1))]
    if "CodingSchemeIdentificationSequence" in lower:
        del lower.CodingSchemeIdentificationSequence  # its codes are words here


def _section(group: Dataset, place: int, of: int) -> Dataset:
    """TID 2002 of one image; Finding is there only where the report has it."""
    section = _item("CONTAINS", "CONTAINER", HEADING)
    section.ContinuityOfContent = "SEPARATE"
    conclusion = _item("CONTAINS", "TEXT", CONCLUSION)
    conclusion.TextValue = _sentence(group, place, of)
    sources = [deepcopy(item) for item in _children(group, _SOURCE_OF_MEASUREMENT)]
    for source in sources:
        source.RelationshipType = "INFERRED FROM"
    conclusion.ContentSequence = sources
    section.ContentSequence = [
        *(deepcopy(item) for item in _children(group, FINDING)),
        conclusion,
        *(deepcopy(item) for item in _children(group, EXPLANATION)),
    ]
    return section


def _sentence(group: Dataset, place: int, of: int) -> str:
    said = _said(group)
    image = f"Image {place} of {of}" if of > 1 else "The image"
    network = " ".join(_first(group, code) for code in (_ALGORITHM_NAME, _ALGORITHM_VERSION))
    parts = [f"{image}: pneumonia {said.evaluation}.", said.grounds, f"Network {network}, weights {said.weights}."]
    if said.is_unchecked:
        parts.append("The check of the population was switched off.")
    parts += ["Not for diagnosis.", f"SOP Instance UID of the image: {said.image}"]
    return " ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What a measurement group says, as words; `grounds` is the probability, or why there is none."""

    evaluation: str
    grounds: str
    weights: str
    is_unchecked: bool
    image: str


def _said(group: Dataset) -> _Said:
    parameters = dict(
        str(item.TextValue).split("=", 1) for item in _children(group, _ALGORITHM_PARAMETERS) if "=" in item.TextValue
    )
    return _Said(
        evaluation=_WORDS[_value(_children(group, PNEUMONIA[0])[0])[0]],
        grounds=_grounds(group, parameters.get("operating_point", "")),
        weights=f"SHA-256 {parameters.get('weights_sha256', 'not said')}",
        is_unchecked=parameters.get("allow_outside_population") == "true",
        image=", ".join(
            text(reference, "ReferencedSOPInstanceUID")
            for item in _children(group, _SOURCE_OF_MEASUREMENT)
            for reference in items(item, "ReferencedSOPSequence")
        ),
    )


def _grounds(group: Dataset, operating_point: str) -> str:
    certainty = _children(group, CERTAINTY)
    if certainty:
        percent = number(items(certainty[0], "MeasuredValueSequence")[0], "NumericValue")
        return f"Probability {percent:.1f} %, operating point {100 * float(operating_point):.1f} %."
    code, meaning = _value(_children(group, REASON[0])[0])
    return f"Not analysed: {meaning} ({code}, {DESIGNATOR}). {_first(group, COMMENT)}".rstrip()


def _children(parent: Dataset, code: str) -> Sequence[Dataset]:
    return [item for item in items(parent, "ContentSequence") if _concept(item) == code]


def _concept(item: Dataset) -> str:
    return next((text(name, "CodeValue") for name in items(item, "ConceptNameCodeSequence")), "")


def _value(item: Dataset) -> tuple[str, str]:
    code = items(item, "ConceptCodeSequence")[0]
    return text(code, "CodeValue"), text(code, "CodeMeaning")


def _first(group: Dataset, code: str) -> str:
    return next((" ".join(texts(item, "TextValue")) for item in _children(group, code)), "")


def _item(relation: str, value_type: str, concept: tuple[str, str, str]) -> Dataset:
    item = Dataset()
    item.RelationshipType = relation
    item.ValueType = value_type
    item.ConceptNameCodeSequence = [code_item(*concept)]
    return item

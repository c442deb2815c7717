"""What results take over from the image they speak of, cleaned so that they are valid whatever the source was."""

import re
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from pacs_ai.header import PARSE_ERRORS, number, numbers, quietly, text, texts, value

from .character_set import CharacterSet, character_set, encodings_read
from .elements import content_of, element_of, stated_vr, valid, verbatim
from .repair import Mended, Repair
from .sequences import drop_half_contexts, texts_in, valid_items
from .validity import TEXT, Invalid

# Carried as they are, even where they break the rules of their VR: archives match on them.
IDENTITY = ("PatientName", "PatientID", "IssuerOfPatientID", "AccessionNumber", "StudyInstanceUID", "StudyID")
# Patient, General Study and Patient Study modules: PS3.3 C.7.1.1, C.7.2.1, C.7.2.2. No species: it would require breed,
# owner and more, and the network is for people.
_SIMPLE = (
    "TypeOfPatientID",
    "PatientBirthDate",
    "PatientBirthTime",
    "PatientSex",
    "OtherPatientNames",
    "EthnicGroup",
    "PatientComments",
    "QualityControlSubject",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyDescription",
    "ConsultingPhysicianName",
    "PhysiciansOfRecord",
    "NameOfPhysiciansReadingStudy",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "Occupation",
    "AdditionalPatientHistory",
    "MedicalAlerts",
    "Allergies",
    "SmokingStatus",
    "PregnancyStatus",
    "PatientState",
    "AdmissionID",
    "ServiceEpisodeID",
    "AdmittingDiagnosesDescription",
    "TimezoneOffsetFromUTC",
)
_SEQUENCES = (
    "IssuerOfPatientIDQualifiersSequence",
    "OtherPatientIDsSequence",
    "DeidentificationMethodCodeSequence",
    "IssuerOfAccessionNumberSequence",
    "ProcedureCodeSequence",
    "ReasonForPerformedProcedureCodeSequence",
    "ReferencedStudySequence",
)
TAKEN_OVER = (*IDENTITY, *_SIMPLE, *_SEQUENCES)
_TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "AccessionNumber",
)
# One of them has to be there where the identity was removed (PS3.3 C.7.1.1).
_HOW_REMOVED = ("DeidentificationMethod", "DeidentificationMethodCodeSequence")
_DIRECTIONS = 2
_AXES = ("LR", "AP", "HF")


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """The attributes for results, and what of them is not as the source has it."""

    attributes: Dataset
    repairs: tuple[Repair, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Origin:
    """A source, the encodings in which pydicom has read it, and the character set in which its texts are."""

    source: Dataset
    read_as: list[str]
    chosen: CharacterSet


def patient_and_study(source: Dataset) -> Dataset:
    """The patient and study attributes of the source, valid, in a character set that can hold them.

    Identity keys are verbatim; other invalid values are left out; Type 2 attributes are there, empty where unknown.
    """
    return _carry(source).attributes


def repairs(source: Dataset) -> tuple[Repair, ...]:
    """What results of the source do not carry as it has it, in the order of the modules; no value is quoted."""
    return (*_carry(source).repairs, *_of_the_image(source))


def _carry(source: Dataset) -> Carried:
    read_as = encodings_read(source)
    chosen = character_set(source, _texts_of(source, IDENTITY, read_as), _other_texts(source, read_as))
    origin = _Origin(source=source, read_as=read_as, chosen=chosen)
    kept, made = Dataset(), []
    for keyword in (*IDENTITY, *_SIMPLE, *_SEQUENCES):
        element, repair = _carried(origin, keyword)
        if element is not None:
            kept[element.tag] = element
        elif keyword in _TYPE_2:
            kept.add(DataElement(keyword, dictionary_VR(keyword), None))
            repair = repair or Repair(keyword=keyword, mended=Mended.ADDED, why="missing")
        if repair is not None:
            made.append(repair)
    if kept.get("PatientIdentityRemoved") == "YES" and not any(keyword in kept for keyword in _HOW_REMOVED):
        del kept.PatientIdentityRemoved
        made.append(Repair(keyword="PatientIdentityRemoved", mended=Mended.LEFT_OUT, why="without the method"))
    if any(chosen.terms):
        kept.SpecificCharacterSet = list(chosen.terms)
    if chosen.why:
        made.append(Repair(keyword="SpecificCharacterSet", mended=Mended.REWRITTEN, why=chosen.why))
    return Carried(attributes=kept, repairs=tuple(made))


def _carried(origin: _Origin, keyword: str) -> tuple[DataElement | None, Repair | None]:
    """The element for the results, None where there is none, and what was mended of it."""
    found = element_of(origin.source, keyword, origin.read_as)
    if found is None:
        return None, None
    try:
        if keyword in IDENTITY:
            return _identity(origin, keyword, found)
        if keyword in _SEQUENCES:
            return _sequence(origin, keyword, found)
        return valid(origin.source, found, origin.chosen), None
    except Invalid as invalid:
        mended = Mended.EMPTIED if keyword in _TYPE_2 else Mended.LEFT_OUT
        return None, Repair(keyword=keyword, mended=mended, why=str(invalid))


def _identity(origin: _Origin, keyword: str, found: DataElement | RawDataElement) -> tuple[DataElement, Repair | None]:
    """The identifier byte for byte, also where it breaks its VR or stands under a wrong one."""
    vr, stated = dictionary_VR(keyword), stated_vr(found)
    kept = verbatim(content_of(origin.source, found), vr, origin.chosen)
    with quietly():
        element = DataElement(found.tag, vr, kept, already_converted=True)
    if stated == vr:
        return element, None
    return element, Repair(keyword=keyword, mended=Mended.REWRITTEN, why=f"VR {stated}, not {vr}")


def _sequence(
    origin: _Origin, keyword: str, found: DataElement | RawDataElement
) -> tuple[DataElement | None, Repair | None]:
    """A sequence all of whose items are valid; None for an empty one."""
    if not found.value:
        return None, None
    items = value(origin.source, keyword)
    if not isinstance(items, Sequence):
        message = "cannot be read as SQ"
        raise Invalid(message)
    copies = valid_items(keyword, items, origin.chosen, origin.read_as)
    why = "an incomplete context group of a code is left out"
    repair = Repair(keyword=keyword, mended=Mended.REWRITTEN, why=why) if drop_half_contexts(copies) else None
    return (DataElement(found.tag, "SQ", copies) if copies else None), repair


def _texts_of(source: Dataset, keywords: Iterable[str], read_as: list[str]) -> Iterator[bytes]:
    """The bytes of every text among the attributes."""
    for keyword in keywords:
        if dictionary_VR(keyword) in TEXT and (found := element_of(source, keyword, read_as)) is not None:
            try:
                yield content_of(source, found)
            except Invalid:
                continue


def _other_texts(source: Dataset, read_as: list[str]) -> Iterator[bytes]:
    """The bytes of every text that results take over beside the identity keys."""
    yield from _texts_of(source, _SIMPLE, read_as)
    for keyword in _SEQUENCES:
        items = value(source, keyword)
        if isinstance(items, Sequence):
            for item in items:
                yield from texts_in(item, read_as)


def _of_the_image(source: Dataset) -> Iterator[Repair]:
    """What a capture and the Image Library say of the image, where the header cannot be understood."""
    if texts(source, "PatientOrientation") and not patient_orientation(source):
        yield Repair(keyword="PatientOrientation", mended=Mended.LEFT_OUT, why="not the terms of two directions")
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        if _is_stated(source, keyword) and not pixel_spacing(source, keyword):
            yield Repair(keyword=keyword, mended=Mended.LEFT_OUT, why="not two positive numbers")
    if _is_stated(source, "InstanceNumber") and number(source, "InstanceNumber") is None:
        yield Repair(keyword="InstanceNumber", mended=Mended.REWRITTEN, why="no number")


def _is_stated(source: Dataset, keyword: str) -> bool:
    try:
        found = source.get_item(keyword)
    except PARSE_ERRORS:
        return True
    return found is not None and bool(found.value)


def take_over(attributes: Dataset, target: Dataset) -> None:
    """The target carries the attributes, over whatever it had; those it should not have stay out."""
    if "SpecificCharacterSet" in target and "SpecificCharacterSet" not in attributes:
        del target.SpecificCharacterSet
    with quietly():
        for element in attributes:
            target[element.tag] = deepcopy(element)


def patient_orientation(source: Dataset) -> list[str]:
    """Row and column direction where both are stated in the terms of PS3.3 C.7.6.1.1.1; else nothing.

    The first letter is that of the axis to which a direction is nearest; rows and columns cannot share one.
    """
    stated = texts(source, "PatientOrientation")
    is_known = len(stated) == _DIRECTIONS and all(map(_is_direction, stated))
    return stated if is_known and _axis(stated[0]) != _axis(stated[1]) else []


def _is_direction(stated: str) -> bool:
    """One to three of the letters, no two of them opposite or the same."""
    is_known = re.fullmatch("[LRAPHF]{1,3}", stated) is not None
    return is_known and all(sum(map(stated.count, pair)) <= 1 for pair in _AXES)


def _axis(direction: str) -> str:
    return next(pair for pair in _AXES if direction[0] in pair)


def pixel_spacing(source: Dataset, *keywords: str) -> list[float]:
    """Between rows and between columns, in mm, of the first attribute that holds two positive numbers (PS3.3 10.7)."""
    stated = (numbers(source, keyword) for keyword in keywords)
    return next((found for found in stated if len(found) == _DIRECTIONS and min(found) > 0), [])


def naming(headers: list[Dataset]) -> Dataset:
    """The header whose patient a report of all of them is about: the first that names one, or else the first."""
    return next((header for header in headers if text(header, "PatientID")), headers[0])


def is_lossy(source: Dataset) -> bool:
    """Whether the source says that it has been compressed with loss."""
    return text(source, "LossyImageCompression") == "01"

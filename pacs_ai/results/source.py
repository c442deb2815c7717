"""What results take over from the image they speak of, cleaned so that they are valid whatever the source was."""

import re
import warnings
from collections.abc import Iterable
from copy import deepcopy

from pydicom import config
from pydicom.charset import encode_string, python_encoding
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.valuerep import PersonName, validate_value

from pacs_ai.header import PARSE_ERRORS, items, quietly, text, texts

# Carried as they are, even where they break the rules of their VR: archives match on them.
IDENTITY = ("PatientName", "PatientID", "IssuerOfPatientID", "AccessionNumber", "StudyInstanceUID", "StudyID")
# Patient, General Study and Patient Study modules: PS3.3 C.7.1.1, C.7.2.1, C.7.2.2.
_SIMPLE = (
    "TypeOfPatientID",
    "PatientBirthDate",
    "PatientBirthTime",
    "PatientSex",
    "OtherPatientNames",
    "EthnicGroup",
    "PatientComments",
    "PatientSpeciesDescription",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyDescription",
    "PhysiciansOfRecord",
    "NameOfPhysiciansReadingStudy",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "Occupation",
    "AdditionalPatientHistory",
    "AdmissionID",
    "AdmittingDiagnosesDescription",
    "TimezoneOffsetFromUTC",
)
_SEQUENCES = (
    "IssuerOfPatientIDQualifiersSequence",
    "OtherPatientIDsSequence",
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
_DIRECTIONS = 2
_CHECKED = {"AE", "AS", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UI", "DS", "IS"}


def patient_and_study(source: Dataset) -> Dataset:
    """The patient and study attributes of the source, valid, in a character set that can hold them.

    Identity keys are verbatim; other invalid values are left out; Type 2 attributes are there, empty where unknown.
    """
    kept = Dataset()
    for keyword in IDENTITY:
        _copy(source, kept, keyword, must_be_valid=False)
    for keyword in _SIMPLE:
        _copy(source, kept, keyword, must_be_valid=True)
    for keyword in _SEQUENCES:
        found = _sound_copies(source, keyword)
        if found:
            setattr(kept, keyword, found)
    for keyword in _TYPE_2:
        if keyword not in kept:
            kept.add(DataElement(keyword, dictionary_VR(keyword), None))
    character_set = _character_set(source, kept)
    if character_set:
        kept.SpecificCharacterSet = character_set
    return kept


def take_over(attributes: Dataset, target: Dataset) -> None:
    """The target carries the attributes, over whatever it had; those it should not have stay out."""
    if "SpecificCharacterSet" in target and "SpecificCharacterSet" not in attributes:
        del target.SpecificCharacterSet
    for element in attributes:
        target[element.tag] = deepcopy(element)


def _sound_copies(source: Dataset, keyword: str) -> list[Dataset]:
    """Copies of the items of a sequence; none when one of them could not be written again."""
    copies = [deepcopy(item) for item in items(source, keyword)]
    try:
        with quietly():
            for item in copies:
                item.walk(lambda _dataset, element: element.value)
    except PARSE_ERRORS:
        return []
    return copies


def _copy(source: Dataset, kept: Dataset, keyword: str, *, must_be_valid: bool) -> None:
    element = _element(source, keyword)
    if element is None or (must_be_valid and not _is_valid(element)):
        return
    if dictionary_VR(keyword) == element.VR:
        kept[element.tag] = deepcopy(element)
    elif not must_be_valid:  # an identifier under a wrong VR is still the identifier
        kept.add(DataElement(keyword, dictionary_VR(keyword), str(element.value or "")))


def _element(source: Dataset, keyword: str) -> DataElement | None:
    with quietly():
        try:
            found = source.get_item(keyword)
            return None if found is None else source[keyword]
        except PARSE_ERRORS:
            return None


def _is_valid(element: DataElement) -> bool:
    if dictionary_VR(element.tag) != element.VR:
        return False
    if element.value in (None, "") or element.VR not in _CHECKED:
        return True
    if element.keyword == "PatientSex" and element.value not in ("M", "F", "O"):
        return False
    many = element.value if isinstance(element.value, MultiValue | list) else [element.value]
    try:
        for item in many:
            validate_value(element.VR, item if isinstance(item, PersonName) else str(item), config.RAISE)
    except ValueError:
        return False
    return True


def _character_set(source: Dataset, kept: Dataset) -> list[str]:
    """The source's character set where it is known and holds every text; UTF-8 where it is not or does not."""
    declared = _declared(source)
    known = all(part in python_encoding for part in declared)
    if known and _holds(declared, _texts_of(kept)):
        return declared
    return ["ISO_IR 192"]


def _declared(source: Dataset) -> list[str]:
    declared = texts(source, "SpecificCharacterSet")
    return declared if any(declared) else []


def _texts_of(dataset: Dataset) -> Iterable[str]:
    for element in dataset.iterall():
        if element.VR in {"LO", "LT", "PN", "SH", "ST", "UC", "UT"} and element.value is not None:
            many = element.value if isinstance(element.value, MultiValue | list) else [element.value]
            yield from (str(item) for item in many)


def _holds(declared: list[str], found: Iterable[str]) -> bool:
    encodings = [python_encoding[part] for part in declared]
    try:
        for item in found:
            if item.isascii():
                continue
            if not encodings:
                return False  # the default repertoire is ASCII (PS3.5 6.1.2.1)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                encode_string(item, encodings)
    except (UserWarning, UnicodeError, LookupError):
        return False
    return True


def patient_orientation(source: Dataset) -> list[str]:
    """Row and column direction where both are stated in the terms of PS3.3 C.7.6.1.1.1; else nothing."""
    stated = texts(source, "PatientOrientation")
    is_known = len(stated) == _DIRECTIONS and all(re.fullmatch("[LRAPHF]{1,3}", direction) for direction in stated)
    return stated if is_known else []


def is_lossy(source: Dataset) -> bool:
    """Whether the source says that it has been compressed with loss."""
    return text(source, "LossyImageCompression") == "01"

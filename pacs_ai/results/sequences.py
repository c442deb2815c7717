"""Sequences of a source: copies of their items, where each of these is valid and has what it needs."""

from collections.abc import Iterable, Iterator, Sequence

from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from pacs_ai.header import PARSE_ERRORS, text

from .character_set import CharacterSet, encodings_read, own_set
from .elements import Element, content_of, element_of, stated_vr, valid
from .validity import TEXT, Invalid

_SPECIFIC_CHARACTER_SET = 0x00080005
# Type 1 attributes of the items; of a code and of an issuer one of several (PS3.3 8.8, C.7.1.1, 10.14).
_OF_A_CODE = (
    ("CodeValue", "LongCodeValue", "URNCodeValue"),
    ("CodeMeaning",),
    ("CodingSchemeDesignator", "URNCodeValue"),
)
_OF_AN_ISSUER = (("LocalNamespaceEntityID", "UniversalEntityID"),)
_REQUIRED = {
    "OtherPatientIDsSequence": (("PatientID",), ("TypeOfPatientID",)),
    "IssuerOfAccessionNumberSequence": _OF_AN_ISSUER,
    "AssigningFacilitySequence": _OF_AN_ISSUER,
    "ReferencedStudySequence": (("ReferencedSOPClassUID",), ("ReferencedSOPInstanceUID",)),
}
_OF_ONE_ITEM = frozenset(
    {
        "IssuerOfAccessionNumberSequence",
        "IssuerOfPatientIDQualifiersSequence",
        "AssigningFacilitySequence",
        "AssigningJurisdictionCodeSequence",
        "AssigningAgencyOrDepartmentCodeSequence",
    }
)
# The context group from which a code was chosen (PS3.3 table 8.8-1); without it, the code means the same.
_OF_A_GROUP = ("MappingResource", "ContextGroupVersion")
_OF_AN_EXTENSION = ("ContextGroupLocalVersion", "ContextGroupExtensionCreatorUID")
_CONTEXT = (
    "ContextIdentifier",
    "ContextUID",
    "MappingResourceUID",
    "MappingResourceName",
    "ContextGroupExtensionFlag",
    *_OF_A_GROUP,
    *_OF_AN_EXTENSION,
)


def valid_items(
    keyword: str,
    found: Iterable[Dataset],
    chosen: CharacterSet,
    read_as: Sequence[str],
    own: CharacterSet | None = None,
) -> list[Dataset]:
    """Copies of a sequence's items with their standard attributes; raises Invalid where one of these is not valid.

    `own` is the character set of the item above them, where it declares one.
    """
    copies = [_valid_item(item, chosen, read_as, own) for item in found]
    if keyword in _OF_ONE_ITEM and len(copies) > 1:
        message = "more than one item"
        raise Invalid(message)
    for item in copies:
        for required in _required(keyword, item):
            if not any(text(item, one) for one in required):
                message = f"an item has no {' or '.join(required)}"
                raise Invalid(message)
    return copies


def _required(keyword: str, item: Dataset) -> Iterator[tuple[str, ...]]:
    yield from _OF_A_CODE if keyword.endswith("CodeSequence") else _REQUIRED.get(keyword, ())
    if "UniversalEntityID" in item:
        yield ("UniversalEntityIDType",)


def _valid_item(item: Dataset, chosen: CharacterSet, read_as: Sequence[str], own: CharacterSet | None) -> Dataset:
    own, read_as = _declared(item, read_as, own)
    copied = Dataset()
    for tag in _standard_tags(item):
        try:
            if dictionary_VR(tag) == "SQ":
                items = valid_items(keyword_for_tag(tag), item[tag].value or [], chosen, read_as, own)
                copied[tag] = DataElement(tag, "SQ", items)
            elif (found := element_of(item, tag, read_as)) is not None:
                copied[tag] = valid(item, found if own is None else _rewritten(found, own, chosen), chosen)
        except PARSE_ERRORS as error:
            message = "an item cannot be read"
            raise Invalid(message) from error
    return copied


def _declared(
    item: Dataset, read_as: Sequence[str], own: CharacterSet | None
) -> tuple[CharacterSet | None, Sequence[str]]:
    """The character set of an item's own and the encodings in which pydicom reads it; else those from above."""
    declared = own_set(item)
    return (own, read_as) if declared is None else (declared, encodings_read(item))


def _rewritten(found: Element, own: CharacterSet, chosen: CharacterSet) -> Element:
    """A text of an item that has a set of its own, in that of the results."""
    if stated_vr(found) not in TEXT or not isinstance(found, RawDataElement) or own.terms == chosen.terms:
        return found
    decoded = own.decode(found.value or b"")
    encoded = None if decoded is None else chosen.encode(decoded)
    if encoded is None:
        message = "an item in another character set"
        raise Invalid(message)
    return found._replace(value=encoded, length=len(encoded))


def drop_half_contexts(items: Iterable[Dataset]) -> bool:
    """Whether a code in the items named a part of its context group alone, which is then gone."""
    is_dropped = False
    for item in items:
        if not _has_whole_context(item):
            is_dropped = True
            for keyword in _CONTEXT:
                if keyword in item:
                    delattr(item, keyword)
        for element in item:
            if element.VR == "SQ":
                is_dropped |= drop_half_contexts(element.value)
    return is_dropped


def _has_whole_context(item: Dataset) -> bool:
    """Whether what a context group requires is there, and not where it may not be (PS3.3 table 8.8-1)."""
    conditions = (
        (_OF_A_GROUP, "ContextIdentifier" in item),
        (_OF_AN_EXTENSION, text(item, "ContextGroupExtensionFlag") == "Y"),
    )
    return all(
        bool(text(item, keyword)) if is_required else keyword not in item
        for keywords, is_required in conditions
        for keyword in keywords
    )


def texts_in(dataset: Dataset, read_as: Sequence[str], own: CharacterSet | None = None) -> Iterator[bytes]:
    """The bytes of every text in an item and in the items below it, as far as they can be read.

    Those of an item with a character set of its own are in UTF-8: whichever set is chosen, they will be rewritten.
    """
    own, read_as = _declared(dataset, read_as, own)
    for tag in _standard_tags(dataset):
        try:
            if dictionary_VR(tag) == "SQ":
                for item in dataset[tag].value or []:
                    yield from texts_in(item, read_as, own)
            elif dictionary_VR(tag) in TEXT and (found := element_of(dataset, tag, read_as)) is not None:
                content = content_of(dataset, found)
                yield content if own is None else (own.decode(content) or "").encode()
        except (Invalid, *PARSE_ERRORS):
            continue


def _standard_tags(item: Dataset) -> list[BaseTag]:
    return [
        tag
        for tag in sorted(item.keys())
        if not tag.is_private and tag != _SPECIFIC_CHARACTER_SET and dictionary_has_tag(tag)
    ]

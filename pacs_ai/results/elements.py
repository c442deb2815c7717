"""One element of a source: the bytes it stood in, and its value where that is valid."""

from collections.abc import Sequence
from copy import deepcopy

from pydicom.charset import encode_string
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag
from pydicom.uid import UID
from pydicom.valuerep import PersonName

from pacs_ai.header import PARSE_ERRORS, quietly

from .character_set import CharacterSet
from .validity import FORMATTED, TEXT, Invalid, check

Element = DataElement | RawDataElement
_NUMBERS = frozenset({"AT", "FD", "FL", "OD", "OF", "OL", "OV", "SL", "SS", "SV", "UL", "US", "UV"})


def element_of(dataset: Dataset, tag: BaseTag | str, read_as: Sequence[str]) -> Element | None:
    """The element as it stood in the file, also where its text has been read before; None where there is none.

    `read_as` are the encodings in which pydicom reads the dataset.
    """
    with quietly():
        try:
            found = dataset.get_item(tag)
        except PARSE_ERRORS:
            return None
    if found is None or isinstance(found, RawDataElement) or found.VR not in TEXT:
        return found
    content = b"\\".join(_bytes_of(item, read_as) for item in _many(found.value))
    return RawDataElement(found.tag, found.VR, len(content), content, 0, is_implicit_VR=False, is_little_endian=True)


def _bytes_of(item: object, read_as: Sequence[str]) -> bytes:
    if isinstance(item, bytes):
        return item
    with quietly():
        return item.encode() if isinstance(item, PersonName) else encode_string(str(item), read_as)


def _many(value: object) -> list[object]:
    if value is None:
        return []
    return list(value) if isinstance(value, MultiValue | list) else [value]


def stated_vr(found: Element) -> str:
    """The VR under which the element stands; that of the dictionary where it stands under none or UN."""
    return dictionary_VR(found.tag) if found.VR in (None, "UN") else str(found.VR)


def content_of(dataset: Dataset, found: Element) -> bytes:
    """The bytes of an element that holds text, or ought to; numbers as text. Raises Invalid for a sequence."""
    vr = stated_vr(found)
    if vr == "SQ":
        message = "a sequence"
        raise Invalid(message)
    if isinstance(found, RawDataElement) and vr not in _NUMBERS:
        return found.value or b""
    converted = _converted(dataset, found) if isinstance(found, RawDataElement) else found
    return "\\".join(str(item) for item in _many(converted.value)).encode("latin-1", "replace")


def verbatim(content: bytes, vr: str, chosen: CharacterSet) -> object:
    """A value that is written as these bytes. One space at the end is padding; more are kept (PS3.5 6.2)."""
    bare = content.rstrip(b"\0")
    bare = bare[:-1] if bare.endswith(b" ") and not bare.endswith(b"  ") else bare
    with quietly():
        if vr == "UI":
            return UID(bare.decode("latin-1").strip())
        if vr == "PN":
            return PersonName(bare, chosen.encodings)
    decoded = chosen.decode(bare)
    return decoded if decoded is not None and chosen.encode(decoded) == bare else bare


def valid(dataset: Dataset, found: Element, chosen: CharacterSet) -> DataElement:
    """The element, a text byte for byte in the character set; raises Invalid where it is not valid as its VR."""
    expected, stated = dictionary_VR(found.tag).split(" or "), stated_vr(found)
    if stated not in expected:
        message = f"VR {stated}, not {' or '.join(expected)}"
        raise Invalid(message)
    if stated in TEXT:
        return _valid_text(found.tag, stated, content_of(dataset, found), chosen)
    element = _converted(dataset, found) if isinstance(found, RawDataElement) else deepcopy(found)
    check(element.tag, element.VR, [str(item) for item in _many(element.value)])
    return element


def _valid_text(tag: BaseTag, vr: str, content: bytes, chosen: CharacterSet) -> DataElement:
    """The text without the padding behind it; a backslash in one of its bytes parts no values (PS3.5 6.1.2.3)."""
    bare = content.rstrip(b"\0 ")
    decoded = chosen.decode(bare)
    if decoded is None:
        message = "bytes that are not of the character set"
        raise Invalid(message)
    check(tag, vr, [decoded] if vr in FORMATTED else decoded.split("\\"))
    with quietly():
        return DataElement(tag, vr, verbatim(bare, vr, chosen), already_converted=True)


def _converted(dataset: Dataset, found: RawDataElement) -> DataElement:
    """The element with its value, which is no text."""
    try:
        with quietly():
            return convert_raw_data_element(found, encoding=["iso8859"], ds=dataset)
    except PARSE_ERRORS as error:
        message = f"cannot be read as {stated_vr(found)}"
        raise Invalid(message) from error

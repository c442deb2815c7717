"""Attributes as real devices write them: an invalid value reads as absent, never as an exception."""

import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from pydicom import config
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

# What pydicom raises on a data set that is not one, or on a value that does not fit its VR (conversion is at access).
PARSE_ERRORS = (
    InvalidDicomError,
    BytesLengthException,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
    NotImplementedError,
    MemoryError,
    RecursionError,  # sequences nested without end
    OSError,  # pydicom's word for "no tag where one should be"
    struct.error,
    zlib.error,
)
# Values of a wrong form are for us to judge; pydicom's warnings quote them, and switching them off for a while, as
# `quietly` does, is not safe while other threads read.
config.settings.reading_validation_mode = config.IGNORE

_LEAST, _MOST = 1e-15, 1e15
_OF_EACH_ELEMENT = 256  # bytes that pydicom takes for one, at the least
_SHORT = _OF_EACH_ELEMENT + 1024
_ENCODED = {"LO", "LT", "PN", "SH", "ST", "UC", "UT"}  # in a character set, PS3.5 6.1.2.3
_DATES = ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")
_AGE = re.compile(r"(\d{3})([DWMY])")
# A child of 365 days is one year old; a year of 365.25 would make it younger.
_DAYS = {"D": 1, "W": 7, "M": 365 / 12, "Y": 365}


@contextmanager
def quietly() -> Iterator[None]:
    """Without pydicom's warnings, which quote the values of patients; what is wrong shows in what is read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def value(header: Dataset, keyword: str) -> object:
    """The value of an attribute; None when it is absent, empty or cannot be converted. Texts stay as they were read."""
    try:
        with quietly():
            read = header.get_item(keyword)
            found = header.get(keyword)
            if read is not None and read.is_raw and _loses_bytes(header[read.tag].VR, keyword):
                header[read.tag] = read  # pydicom keeps the converted one
    except PARSE_ERRORS:
        return None
    return None if found is None or found == "" else found


def _loses_bytes(vr: str, keyword: str) -> bool:
    """Whether a converted value is not what was read: a text may hold bytes that nobody can decode, a wrong VR too."""
    return vr in _ENCODED or vr != dictionary_VR(keyword)


def texts(header: Dataset, keyword: str) -> list[str]:
    """Every value of an attribute as stripped text."""
    found = value(header, keyword)
    if found is None:
        return []
    many = list(found) if isinstance(found, MultiValue | list | tuple) else [found]
    return [str(item).strip() for item in many]


def text(header: Dataset, keyword: str) -> str:
    """The first value as stripped text; empty when there is none."""
    return next(iter(texts(header, keyword)), "")


def numbers(header: Dataset, keyword: str) -> list[float]:
    """Every value of an attribute; none when one is no number, or of a size that nothing in an image has."""
    found = []
    for item in texts(header, keyword):
        try:
            found.append(float(item))
        except ValueError:
            return []
    return found if all(map(_is_plausible, found)) else []


def _is_plausible(found: float) -> bool:
    # Beyond these, which 32-bit floats and their squares still hold, greys come out as NaN.
    return found == 0 or _LEAST <= abs(found) <= _MOST


def number(header: Dataset, keyword: str) -> float | None:
    """The first value as a number; None when there is none."""
    return next(iter(numbers(header, keyword)), None)


def items(header: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence; none when it is absent or not a sequence."""
    found = value(header, keyword)
    return list(found) if isinstance(found, Sequence) else []


def code_values(header: Dataset, keyword: str) -> set[str]:
    """The code values of a code sequence."""
    return {text(item, "CodeValue") for item in items(header, keyword)} - {""}


def held_to(most_bytes: int, header: Dataset) -> Dataset:
    """The same header, in place, without its largest elements where it is larger: no result takes one of those over.

    Encapsulated documents and private elements may be as large as an instance, and a study has many. A short value of
    an attribute that the standard knows stays in any case: it may say whose image it is.
    """
    # `items`, unlike the iterator of a data set, takes the elements as they were read.
    sizes = {tag: _bytes_in(element.value) for tag, element in header.items()}
    left = sum(sizes.values())
    may_go = [tag for tag, size in sizes.items() if size > _SHORT or not dictionary_has_tag(tag)]
    for tag in sorted(may_go, key=sizes.__getitem__, reverse=True):
        if left <= most_bytes:
            break
        left -= sizes[tag]
        del header[tag]
    return header


def _bytes_in(value: object) -> int:
    if isinstance(value, bytes):
        return _OF_EACH_ELEMENT + len(value)
    if isinstance(value, Sequence):
        return _OF_EACH_ELEMENT + sum(_bytes_in(element.value) for item in value for element in item.values())
    return _OF_EACH_ELEMENT


def age_in_years(header: Dataset) -> float | None:
    """From Patient's Age when it is a valid AS, else from birth and study date; None when the header is silent.

    Study Date may be empty (PS3.3 C.7.2.1); then another date of the image says when the patient was that old.
    """
    stated = _AGE.fullmatch(text(header, "PatientAge"))
    if stated:
        return int(stated[1]) * _DAYS[stated[2]] / _DAYS["Y"]
    born, studied = _date(header, "PatientBirthDate"), _date(header, *_DATES)
    if not (born and studied) or born > studied:
        return None
    had_no_birthday_yet = studied[4:] < born[4:]
    return float(int(studied[:4]) - int(born[:4]) - had_no_birthday_yet)


def _date(header: Dataset, *keywords: str) -> str:
    """The first of the attributes that has the form of a DA; empty when none has."""
    return next((found for keyword in keywords if re.fullmatch(r"\d{8}", found := text(header, keyword))), "")

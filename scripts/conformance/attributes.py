"""Which attributes are read, and which are written with what."""

import re
from collections.abc import Callable
from pathlib import Path

from pydicom.datadict import dictionary_description, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

import pacs_ai
from pacs_ai.results.source import IDENTITY, TAKEN_OVER

from .examples import results
from .tables import table

_PACKAGE = Path(pacs_ai.__file__).parent
_READ_FROM_SOURCE = re.compile(
    r'(?:text|texts|number|numbers|items|pixel_spacing)\((?:source|header|image\.header|first|instance), "(\w+)"'
)


_RESULTS = ("results/source.py", "results/report.py", "results/capture.py")


def say_used() -> str:
    """The attributes that the code of each step names."""
    named = {
        "receiving": _named("dimse/listener.py"),
        "deciding what is read": _named("imaging/gate.py", "header.py"),
        "decoding and display": _named("imaging/pixels.py", "imaging/decoders.py"),
        "results": [*TAKEN_OVER, *_matches(_READ_FROM_SOURCE, *_RESULTS)],
    }
    steps: dict[str, list[str]] = {}
    for step, keywords in named.items():
        for keyword in keywords:
            if step not in steps.setdefault(keyword, []):
                steps[keyword].append(step)
    rows = [(_tag(keyword), _name(keyword), ", ".join(steps[keyword])) for keyword in sorted(steps, key=_number)]
    return table(("tag", "attribute", "used for"), rows)


def _named(*modules: str) -> list[str]:
    return [
        found
        for found in _matches(re.compile(r'["\.]([A-Z]\w+)\b'), *modules)
        if tag_for_keyword(found) is not None and (tag_for_keyword(found) or 0) >= 0x00080000
    ]


def _matches(pattern: re.Pattern[str], *modules: str) -> list[str]:
    sources = [(_PACKAGE / module).read_text(encoding="utf-8") for module in modules]
    return [found for source in sources for found in pattern.findall(source)]


def _number(keyword: str) -> int:
    return tag_for_keyword(keyword) or 0


def _tag(keyword: str) -> str:
    return str(Tag(_number(keyword)))


def _name(keyword: str) -> str:
    return dictionary_description(_number(keyword))


def say_verbatim() -> str:
    """What is taken over even where it is invalid."""
    return ", ".join(_name(keyword) for keyword in IDENTITY)


def say_report() -> str:
    """The attributes of a report."""
    return _produced(lambda number: results(number)[1])


def say_capture() -> str:
    """The attributes of a capture."""
    return _produced(lambda number: results(number)[0])


def _produced(build: Callable[[int], Dataset]) -> str:
    """Every attribute of two objects made of different images: what is equal in both is a constant of ours."""
    first, second = build(1), build(2)
    rows = [(str(element.tag), element.name, element.VR, _value(element, second)) for element in first]
    return table(("tag", "attribute", "VR", "value"), rows)


def _value(element: DataElement, other: Dataset) -> str:
    if element.keyword in TAKEN_OVER or element.keyword == "SpecificCharacterSet":
        return "of the source"
    if element.VR == "SQ":
        return "see the text" if len(element.value) else "empty"
    if element.keyword == "PixelData":
        return "the picture"
    if element.tag in other and other[element.tag].value == element.value:
        return "empty" if element.is_empty else f"`{constant(element)}`"
    return "differs from object to object"


def constant(element: DataElement) -> str:
    """The value as the tables show it."""
    value = element.value
    return "\\".join(map(str, value)) if element.VM > 1 else str(value)

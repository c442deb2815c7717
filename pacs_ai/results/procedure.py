"""The procedure that a report names: that of its images, as the report carries it."""

from collections.abc import Sequence
from copy import deepcopy

from pydicom.dataset import Dataset

from pacs_ai.header import items, text

from .source import patient_and_study

_VALUES = ("CodeValue", "LongCodeValue", "URNCodeValue")


def procedure_code(carried: Dataset, others: Sequence[Dataset]) -> Dataset | None:
    """The first procedure code of what a report carries of its first image, or would carry of the others.

    That of another image counts only where its texts are in the character set of the report.
    """
    for source in (carried, *(patient_and_study(other) for other in others if items(other, "ProcedureCodeSequence"))):
        is_same_set = source.get("SpecificCharacterSet") == carried.get("SpecificCharacterSet")
        for item in items(source, "ProcedureCodeSequence"):
            if is_same_set and text(item, "CodingSchemeDesignator"):
                return _code(item)
    return None


def _code(item: Dataset) -> Dataset:
    """Value, scheme and meaning, its texts byte for byte; the value is one of three attributes (PS3.3 8.8)."""
    code = Dataset()
    value = next(keyword for keyword in _VALUES if text(item, keyword))
    for keyword in (value, "CodingSchemeDesignator", "CodeMeaning"):
        code[keyword] = deepcopy(item[keyword])
    return code

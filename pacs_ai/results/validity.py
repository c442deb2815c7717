"""Whether a value is valid as its VR, and as its attribute (PS3.5 6.2)."""

import re
from collections.abc import Sequence

from pydicom import config
from pydicom.datadict import keyword_for_tag
from pydicom.tag import BaseTag
from pydicom.valuerep import validate_value

TEXT = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
# Of the default repertoire alone, which pydicom forgets: its \d and float() take digits of every script.
_ASCII = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"})
# Values that are narrower than their VR (PS3.3 C.7.1.1, C.12.1).
_NARROWER = {
    "PatientSex": ("[MFO]", "not one of M, F, O"),
    "TimezoneOffsetFromUTC": (r"[+-]\d{4}", "not an offset like +0100"),
}
_DELETE = "\x7f"  # of the control characters the one that pydicom lets pass (PS3.5 6.1.3)


class Invalid(Exception):
    """An attribute cannot be carried; the message is why, without its value."""


def check(tag: BaseTag, vr: str, values: Sequence[str]) -> None:
    """Raises Invalid where these are no valid values of the attribute; an empty one is valid."""
    if vr not in TEXT | _ASCII or not any(values):
        return
    pattern, why = _NARROWER.get(keyword_for_tag(tag), ("", ""))
    if pattern and not re.fullmatch(pattern, "\\".join(values).strip(), re.ASCII):
        raise Invalid(why)
    for value in values:
        _check_value(vr, value)


def _check_value(vr: str, value: str) -> None:
    if vr in TEXT and _DELETE in value:
        message = "a control character"
        raise Invalid(message)
    message = f"no valid {vr}"
    if vr in _ASCII and not value.isascii():
        raise Invalid(message)
    try:
        validate_value(vr, value, config.RAISE)
    except ValueError as error:
        raise Invalid(message) from error

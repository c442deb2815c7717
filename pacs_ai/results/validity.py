"""Whether a value is valid as its VR, and as its attribute (PS3.5 6.2)."""

import re
from collections.abc import Sequence
from datetime import date

from pydicom import config
from pydicom.datadict import dictionary_VM, keyword_for_tag
from pydicom.tag import BaseTag
from pydicom.valuerep import validate_value

TEXT = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
FORMATTED = frozenset({"LT", "ST", "UT"})  # of one value, in lines
# Of the default repertoire alone, which pydicom forgets: its \d and float() take digits of every script.
_ASCII = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"})
# Values that are narrower than their VR (PS3.3 C.7.1.1, C.12.1).
_NARROWER = {
    "PatientSex": ("[MFO]", "not one of M, F, O"),
    "PatientIdentityRemoved": ("YES|NO", "neither YES nor NO"),
    "QualityControlSubject": ("YES|NO", "neither YES nor NO"),
    "SmokingStatus": ("YES|NO|UNKNOWN", "none of YES, NO, UNKNOWN"),
    "TimezoneOffsetFromUTC": (
        r"\+((0\d|1[0-3])[0-5]\d|1400)|-(?!0000)((0\d|1[01])[0-5]\d|1200)",
        "not an offset like +0100",
    ),
}
# One date or time; pydicom takes ranges too, which stand in queries only.
_ONE_TIME = {
    # Of the year 1 is what programs write that know no date; no validator takes such a year.
    "DA": r"[1-9]\d{7}",
    "TM": r"\d\d(\d\d(\d\d(\.\d{1,6})?)?)?",
    "DT": r"[1-9]\d{3}(\d\d(\d\d(\d\d(\d\d(\d\d(\.\d{1,6})?)?)?)?)?)?([+-][01]\d{3})?",
}
_COMPONENTS = 5  # of a group of a person's name (PS3.5 6.2.1.1), which pydicom does not count
# Formatted texts may hold TAB, LF, FF and CR; others hold no control character (PS3.5 6.1.3).
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CONTROL_OF_FORMATTED = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")


class Invalid(Exception):
    """An attribute cannot be carried; the message is why, without its value."""


def check(tag: BaseTag, vr: str, values: Sequence[str]) -> None:
    """Raises Invalid where these are no valid values of the attribute; an empty one is valid."""
    if vr not in TEXT | _ASCII or (len(values) < 2 and not any(values)):
        return
    pattern, why = _NARROWER.get(keyword_for_tag(tag), ("", ""))
    if pattern and not re.fullmatch(pattern, "\\".join(values).strip(), re.ASCII):
        raise Invalid(why)
    if len(values) > 1 and dictionary_VM(tag) == "1":
        message = "more than one value"
        raise Invalid(message)
    check_one = _check_text if vr in TEXT else _check_code
    for value in values:
        check_one(vr, value)


def _check_text(vr: str, value: str) -> None:
    if (_CONTROL_OF_FORMATTED if vr in FORMATTED else _CONTROL).search(value):
        message = "a control character"
        raise Invalid(message)
    if vr == "PN" and any(group.count("^") >= _COMPONENTS for group in value.split("=")):
        message = "no valid PN"
        raise Invalid(message)
    _check_form(vr, value)


def _check_code(vr: str, value: str) -> None:
    """Of what is written in the default repertoire, and in a form of its own."""
    _check_form(vr, value)
    is_one = vr not in _ONE_TIME or not value or re.fullmatch(_ONE_TIME[vr], value.strip(" "), re.ASCII)
    if not (value.isascii() and is_one and (vr != "DA" or not value or _is_of_the_calendar(value))):
        message = f"no valid {vr}"
        raise Invalid(message)


def _is_of_the_calendar(value: str) -> bool:
    try:
        date.fromisoformat(value.strip(" "))
    except ValueError:
        return False
    return True


def _check_form(vr: str, value: str) -> None:
    try:
        validate_value(vr, value, config.RAISE)
    except ValueError as error:
        message = f"no valid {vr}"
        raise Invalid(message) from error

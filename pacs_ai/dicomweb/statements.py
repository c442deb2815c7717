"""What a node says in DICOM JSON (PS3.18 F.2) of what it was sent and of what it has; read leniently, in bounds."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

_SOP_INSTANCE_UID, _REFERENCED_SOP_INSTANCE_UID = "00080018", "00081155"
_REFERENCED_SOP_SEQUENCE, _FAILED_SOP_SEQUENCE, _FAILURE_REASON = "00081199", "00081198", "00081197"
_PROCESSING_FAILURE = 0x0110


@dataclass(frozen=True, slots=True, kw_only=True)
class Statements:
    """The SOP Instance UIDs that were stored, and those that were not with their Failure Reasons (PS3.18 10.5.3)."""

    stored: frozenset[str] = frozenset()
    failed: dict[str, int] = field(default_factory=dict)


def read_statements(body: bytes) -> Statements:
    """What the response to STOW-RS says of instances; nothing where it is no DICOM JSON."""
    items = read_items(body) or []
    failed = {
        instance: _reason(item)
        for response in items
        for item in _sequence(response, _FAILED_SOP_SEQUENCE)
        if (instance := _text(item, _REFERENCED_SOP_INSTANCE_UID))
    }
    stored = {
        _text(item, _REFERENCED_SOP_INSTANCE_UID)
        for response in items
        for item in _sequence(response, _REFERENCED_SOP_SEQUENCE)
    }
    return Statements(stored=frozenset(stored - failed.keys() - {""}), failed=failed)


def read_matches(body: bytes) -> frozenset[str] | None:
    """The SOP Instance UIDs of the matches of QIDO-RS; None where it is no DICOM JSON."""
    items = read_items(body) if body.strip() else []
    return None if items is None else frozenset(_text(item, _SOP_INSTANCE_UID) for item in items) - {""}


def read_items(body: bytes) -> list[dict[str, Any]] | None:
    """The data sets of a response as dictionaries by tag; None where it is no DICOM JSON."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    items = [found] if isinstance(found, dict) else found
    is_read = isinstance(items, list) and all(isinstance(item, dict) for item in items)
    return items if is_read else None


def _sequence(item: dict[str, Any], tag: str) -> Iterator[dict[str, Any]]:
    return (inner for inner in _values(item, tag) if isinstance(inner, dict))


def _text(item: dict[str, Any], tag: str) -> str:
    return next((value.strip("\0 ") for value in _values(item, tag) if isinstance(value, str)), "")


def _reason(item: dict[str, Any]) -> int:
    """Never 0, which would be success: what stands among the failed was not stored."""
    try:
        return int(next(iter(_values(item, _FAILURE_REASON)), 0)) or _PROCESSING_FAILURE
    except (TypeError, ValueError, OverflowError):  # of infinity, which Python's JSON knows
        return _PROCESSING_FAILURE


def _values(item: dict[str, Any], tag: str) -> list[Any]:
    element = item.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return values if isinstance(values, list) else []

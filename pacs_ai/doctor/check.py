"""The answer to one question."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How it stands."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What was asked, how it stands, what was found, and what to do about it; nothing to do where all is well."""

    name: str
    verdict: Verdict
    detail: str
    advice: str = ""
    is_unreachable_node: bool = False


def ok(name: str, detail: str) -> Check:
    """All is well."""
    return Check(name=name, verdict=Verdict.OK, detail=detail)


def warning(name: str, detail: str, advice: str) -> Check:
    """The service runs, and somebody should know."""
    return Check(name=name, verdict=Verdict.WARNING, detail=detail, advice=advice)


def failed(name: str, detail: str, advice: str, *, is_unreachable_node: bool = False) -> Check:
    """The service cannot do its work."""
    return Check(
        name=name,
        verdict=Verdict.FAILED,
        detail=detail,
        advice=advice,
        is_unreachable_node=is_unreachable_node,
    )


def exit_code(checks: Iterable[Check]) -> int:
    """0 when nothing failed, 4 when a node was not reached, else 1."""
    failures = [check for check in checks if check.verdict is Verdict.FAILED]
    if any(check.is_unreachable_node for check in failures):
        return 4
    return 1 if failures else 0

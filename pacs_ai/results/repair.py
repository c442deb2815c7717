"""What was mended of a source's attributes: named by keyword and reason, never by value."""

from dataclasses import dataclass
from enum import StrEnum


class Mended(StrEnum):
    """What became of the attribute in the results."""

    LEFT_OUT = "left out"
    EMPTIED = "emptied"
    ADDED = "added empty"
    REWRITTEN = "rewritten"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """An attribute that results do not carry as the source has it, and why."""

    keyword: str
    mended: Mended
    why: str

    def __str__(self) -> str:
        return f"{self.keyword} {self.mended}: {self.why}"

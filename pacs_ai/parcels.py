"""What goes to a node and what came of it, whichever way the node is spoken to."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from pydicom.dataset import Dataset

from .errors import PeerUnreachable


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """Another way to say what a file says, for a node that does not take the file; `name` is for people."""

    name: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    build: Callable[[], Dataset]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A Part 10 file to send, with what its presentation context needs; `fallbacks` are its other forms, best first.

    What has the same `study_instance_uid` may go out in one request.
    """

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    fallbacks: tuple[Form, ...] = ()
    study_instance_uid: str = ""


class Answer(StrEnum):
    """What a try came to: accepted, perhaps later, or never as things are."""

    ACCEPTED = "accepted"
    TRANSIENT = "transient"
    PERMANENT = "permanent"


@dataclass(frozen=True, slots=True, kw_only=True)
class SendOutcome:
    """What the node said to one instance; `form` is the fallback that it was said of, None for the file itself.

    `status` is that of the C-STORE response, None where none came or the node is spoken to over the web.
    """

    parcel: Parcel
    answer: Answer
    detail: str
    form: Form | None = None
    status: int | None = None

    @property
    def is_accepted(self) -> bool:
        """Whether the node took the instance."""
        return self.answer is Answer.ACCEPTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An instance that a node is asked for, with the unique keys of the levels above it."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str


@dataclass(slots=True, kw_only=True)
class Found:
    """What a node said when it was asked for instances: the UIDs of those that it has, and why it said nothing of some.

    What is in neither it does not have.
    """

    known: set[str] = field(default_factory=set)
    unanswered: dict[str, PeerUnreachable] = field(default_factory=dict)

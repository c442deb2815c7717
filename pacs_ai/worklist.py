"""The reading order: how urgent a study is, why, and for how long it may wait at most."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from operator import attrgetter, itemgetter
from typing import NamedTuple

from .findings import Classification, Outcome, Priority, PriorityLevel, Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorityPolicy:
    """From which probability a positive study is STAT, and the longest wait of each level."""

    stat_probability: float
    limits: dict[PriorityLevel, timedelta]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyOutcome:
    """The most urgent thing said of a study's images."""

    outcome: Outcome
    probability: float | None


class WaitingStudy(NamedTuple):
    """A study that nobody has read yet; a tuple, as its place is, because there may be ten thousand of them."""

    study_instance_uid: str
    accession_number: str
    received_at: datetime
    level: PriorityLevel
    reasons: tuple[str, ...]
    outcome: str
    probability: float | None


class WorklistEntry(NamedTuple):
    """A place in the reading order; `is_overdue` when the study has waited past the limit of its level."""

    place: int
    study: WaitingStudy
    read_by: datetime
    is_overdue: bool


def summarise(classifications: Sequence[Classification]) -> StudyOutcome:
    """One positive image makes the study positive; a study without a reading is not analysed."""
    if not classifications:
        return StudyOutcome(outcome=Outcome.NOT_ANALYSED, probability=None)
    most_urgent = max(classifications, key=lambda found: (found.is_positive, found.probability))
    return StudyOutcome(outcome=most_urgent.outcome, probability=most_urgent.probability)


def prioritise(study: StudyOutcome, refusals: Sequence[Refusal], policy: PriorityPolicy) -> Priority:
    """STAT for a positive study of high probability, HIGH for a positive one, else ROUTINE; each with its reasons."""
    refused = tuple(sorted({f"not analysed: {refusal.reason}" for refusal in refusals}))
    if study.probability is None:
        return Priority(level=PriorityLevel.ROUTINE, reasons=refused or ("nothing to analyse",))
    said = f"pneumonia {study.outcome}, {study.probability:.1%}"
    if study.outcome is not Outcome.POSITIVE:
        return Priority(level=PriorityLevel.ROUTINE, reasons=(said, *refused))
    if study.probability >= policy.stat_probability:
        reason = f"{said}, at least {policy.stat_probability:.0%}"
        return Priority(level=PriorityLevel.STAT, reasons=(reason, *refused))
    return Priority(level=PriorityLevel.HIGH, reasons=(said, *refused))


def order(studies: Sequence[WaitingStudy], policy: PriorityPolicy, now: datetime) -> list[WorklistEntry]:
    """Who has waited past the limit comes first, longest overdue first; then by level, then by arrival.

    Without the limit, ordering by urgency lets the rest wait for ever (PMC8128725: the longest wait rose from
    890 to 1,293 minutes until one was set).
    """
    overdue: list[tuple[datetime, WaitingStudy]] = []
    in_time: dict[PriorityLevel, list[tuple[datetime, WaitingStudy]]] = {level: [] for level in PriorityLevel}
    # Sorting keeps what is equal in the order of before: what came in that order is only looked through.
    for study in sorted(studies, key=attrgetter("received_at", "study_instance_uid")):
        level = study.level
        read_by = study.received_at + policy.limits[level]
        (overdue if read_by <= now else in_time[level]).append((read_by, study))
    overdue.sort(key=itemgetter(0))
    late = len(overdue)
    return [
        WorklistEntry(place, study, read_by, place <= late)
        for place, (read_by, study) in enumerate(chain(overdue, *in_time.values()), start=1)
    ]

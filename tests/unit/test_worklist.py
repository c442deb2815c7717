"""How urgent a study is, and the reading order."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacs_ai.findings import Classification, Outcome, PriorityLevel, Refusal, RefusalReason
from pacs_ai.worklist import StudyOutcome, WaitingStudy, order, prioritise, summarise

from .making import PRIORITY

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
STAT, HIGH, ROUTINE = PriorityLevel.STAT, PriorityLevel.HIGH, PriorityLevel.ROUTINE


def _said(probability: float, threshold: float = 0.5) -> Classification:
    return Classification(probability=probability, threshold=threshold)


def _refused(reason: RefusalReason) -> Refusal:
    return Refusal(reason=reason, detail="A sentence.")


def _study(level: PriorityLevel, waited_minutes: float, uid: str = "1.2.3") -> WaitingStudy:
    return WaitingStudy(
        study_instance_uid=uid,
        accession_number="A1",
        received_at=NOW - timedelta(minutes=waited_minutes),
        level=level,
        reasons=(),
        outcome="positive",
        probability=0.9,
    )


def test_one_positive_film_makes_the_study_positive() -> None:
    summary = summarise([_said(0.1), _said(0.7), _said(0.4)])

    assert summary == StudyOutcome(outcome=Outcome.POSITIVE, probability=0.7)


def test_a_study_of_negative_films_is_negative_with_the_highest_probability() -> None:
    assert summarise([_said(0.1), _said(0.4)]) == StudyOutcome(outcome=Outcome.NEGATIVE, probability=0.4)


def test_a_study_without_a_reading_is_not_analysed() -> None:
    assert summarise([]) == StudyOutcome(outcome=Outcome.NOT_ANALYSED, probability=None)


def test_a_probability_at_the_operating_point_is_positive() -> None:
    assert summarise([_said(0.5)]).outcome is Outcome.POSITIVE


@pytest.mark.parametrize(
    ("outcome", "probability", "level"),
    [
        (Outcome.POSITIVE, 0.95, STAT),
        (Outcome.POSITIVE, 0.9, STAT),
        (Outcome.POSITIVE, 0.8999, HIGH),
        (Outcome.NEGATIVE, 0.95, ROUTINE),
        (Outcome.NEGATIVE, 0.1, ROUTINE),
        (Outcome.NOT_ANALYSED, None, ROUTINE),
    ],
)
def test_the_level_follows_outcome_and_probability(
    outcome: Outcome, probability: float | None, level: PriorityLevel
) -> None:
    priority = prioritise(StudyOutcome(outcome=outcome, probability=probability), [], PRIORITY)

    assert priority.level is level
    assert priority.reasons


def test_the_reasons_say_what_was_found_and_what_was_refused_once_each() -> None:
    refusals = [_refused(RefusalReason.NOT_FRONTAL), _refused(RefusalReason.NOT_CHEST)] * 2

    priority = prioritise(StudyOutcome(outcome=Outcome.POSITIVE, probability=0.95), refusals, PRIORITY)

    assert priority.reasons == (
        "pneumonia positive, 95.0%, at least 90%",
        "not analysed: NOT_CHEST",
        "not analysed: NOT_FRONTAL",
    )


def test_a_study_of_refusals_gives_them_as_its_reasons() -> None:
    nothing = StudyOutcome(outcome=Outcome.NOT_ANALYSED, probability=None)

    assert prioritise(nothing, [_refused(RefusalReason.NOT_CHEST)], PRIORITY).reasons == ("not analysed: NOT_CHEST",)
    assert prioritise(nothing, [], PRIORITY).reasons == ("nothing to analyse",)


def test_urgent_studies_come_first_and_equal_ones_in_order_of_arrival() -> None:
    studies = [
        _study(ROUTINE, 100, "1"),
        _study(HIGH, 5, "2"),
        _study(STAT, 1, "3"),
        _study(HIGH, 50, "4"),
        _study(STAT, 2, "5"),
    ]

    entries = order(studies, PRIORITY, NOW)

    assert [entry.study.study_instance_uid for entry in entries] == ["5", "3", "4", "2", "1"]
    assert [entry.place for entry in entries] == [1, 2, 3, 4, 5]


def test_who_has_waited_past_the_limit_goes_before_everyone_longest_overdue_first() -> None:
    studies = [
        _study(STAT, 10, "fresh"),
        _study(ROUTINE, 24 * 60 + 30, "routine, half an hour over"),
        _study(HIGH, 6 * 60, "high, two hours over"),
    ]

    entries = order(studies, PRIORITY, NOW)

    assert [entry.study.study_instance_uid for entry in entries] == [
        "high, two hours over",
        "routine, half an hour over",
        "fresh",
    ]
    assert [entry.is_overdue for entry in entries] == [True, True, False]


@pytest.mark.parametrize(("waited", "is_overdue"), [(59.99, False), (60, True), (61, True)])
def test_the_limit_is_reached_at_its_very_minute(waited: float, is_overdue: bool) -> None:
    (entry,) = order([_study(STAT, waited)], PRIORITY, NOW)

    assert entry.is_overdue is is_overdue
    assert entry.read_by == entry.study.received_at + timedelta(hours=1)


def test_nobody_is_in_an_empty_list() -> None:
    assert order([], PRIORITY, NOW) == []


@settings(derandomize=True, database=None, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PriorityLevel), st.integers(0, 3000)), max_size=20))
def test_the_order_loses_nobody_and_never_puts_a_fresh_study_before_an_overdue_one(
    waiting: list[tuple[PriorityLevel, int]],
) -> None:
    studies = [_study(level, minutes, str(number)) for number, (level, minutes) in enumerate(waiting)]

    entries = order(studies, PRIORITY, NOW)

    assert sorted(entry.study.study_instance_uid for entry in entries) == sorted(
        study.study_instance_uid for study in studies
    )
    assert [entry.place for entry in entries] == list(range(1, len(studies) + 1))
    assert sorted(not entry.is_overdue for entry in entries) == [not entry.is_overdue for entry in entries]
    assert order(list(reversed(studies)), PRIORITY, NOW) == entries

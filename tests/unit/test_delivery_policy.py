"""When a delivery is tried again, and when it is given up."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pacs_ai_storage.records import Delivery, DeliveryState, KeptFile, ResultObject

from pacs_ai.delivery import RetryPolicy

QUEUED = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
POLICY = RetryPolicy(first=timedelta(seconds=5), longest=timedelta(seconds=900), give_up_after=timedelta(hours=72))


def _delivery() -> Delivery:
    report = ResultObject(
        kind="report",
        sop_instance_uid="1.2.3",
        sop_class_uid="1.2",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        source_sop_instance_uid=None,
        file=KeptFile(path="ab/cd", size=1, sha256="0" * 64),
    )
    return Delivery(
        node="pacs",
        study_instance_uid="1",
        object=report,
        state=DeliveryState.PENDING,
        attempts=7,
        queued_at=QUEUED,
        next_attempt_at=QUEUED,
        accepted_at=None,
        detail=None,
    )


def test_each_pause_is_twice_the_one_before() -> None:
    assert [POLICY.pause(attempts).total_seconds() for attempts in range(5)] == [5, 10, 20, 40, 80]


@pytest.mark.parametrize("attempts", [8, 9, 30, 31, 1000, 10**6])
def test_no_pause_is_longer_than_the_longest(attempts: int) -> None:
    assert POLICY.pause(attempts) == timedelta(seconds=900)


@pytest.mark.parametrize("first", [timedelta(hours=1), timedelta(days=1), timedelta(days=30)])
def test_a_long_first_pause_never_runs_out_of_time(first: timedelta) -> None:
    policy = RetryPolicy(first=first, longest=timedelta(days=60), give_up_after=timedelta(days=9999))

    assert policy.pause(1000) == timedelta(days=60)


def test_a_first_pause_above_the_longest_is_the_longest() -> None:
    policy = RetryPolicy(first=timedelta(hours=2), longest=timedelta(hours=1), give_up_after=timedelta(days=1))

    assert policy.pause(0) == timedelta(hours=1)


@pytest.mark.parametrize(("drawn", "seconds"), [(0.0, 20.0), (0.5, 30.0), (1.0, 40.0)])
def test_chance_takes_up_to_half_of_a_pause_away(drawn: float, seconds: float) -> None:
    policy = replace(POLICY, chance=lambda: drawn)

    assert policy.pause(3).total_seconds() == seconds


def test_pauses_never_get_shorter() -> None:
    pauses = [POLICY.pause(attempts) for attempts in range(64)]

    assert pauses == sorted(pauses)


@pytest.mark.parametrize(
    ("waited", "is_over"),
    [
        (timedelta(0), False),
        (timedelta(hours=71, minutes=59), False),
        (timedelta(hours=72), True),
        (timedelta(days=30), True),
    ],
)
def test_a_delivery_is_over_when_its_time_has_passed_however_often_it_was_tried(
    waited: timedelta, is_over: bool
) -> None:
    assert POLICY.is_over(_delivery(), QUEUED + waited) is is_over


def test_a_node_is_tried_again_after_as_long_as_it_has_been_away() -> None:
    absences = (0, 5, 15, 35, 600, 86_400, -60)

    pauses = [POLICY.pause_after(timedelta(seconds=absence)).total_seconds() for absence in absences]

    assert pauses == [5, 10, 20, 40, 605, 900, 5]

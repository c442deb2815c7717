"""A node that is away for a day and comes back."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Barrier

import pytest
from pacs_ai_storage.records import DeliveryState

from tests.fakes import Clock

from .away import RETRY, Absence
from .peers import connection_refused, listening

DAY = timedelta(days=1)


@pytest.fixture
def day(tmp_path: Path, clock: Clock) -> Absence:
    day = Absence(tmp_path, clock)
    began, number = clock(), 0
    priorities = ("ROUTINE", "HIGH", "ROUTINE", "STAT")
    while clock() < began + DAY:
        if number < 24:
            day.read(number, priorities[number % 4])
            number += 1
        for _ in range(2):
            day.deliver()
            clock.pass_by(1798)
    return day


@connection_refused
def test_a_node_that_was_away_for_a_day_gets_everything_in_order_of_priority(day: Absence, clock: Clock) -> None:
    assert day.states() == {DeliveryState.PENDING}
    tried = day.tries()

    with listening(day.archive):
        clock.pass_by(RETRY.longest.total_seconds())
        assert day.deliver() == 24
        assert day.deliver() == 0

    assert day.archive.instances == day.in_order
    assert day.states() == {DeliveryState.ACCEPTED}
    assert 24 <= tried <= 50  # twice in each of the 25 rounds of that day, were it never put off
    day.database.close()


@connection_refused
def test_a_node_that_was_away_is_not_given_more_at_a_time_than_it_is_allowed_to(day: Absence, clock: Clock) -> None:
    associations, both = set(), Barrier(2)

    def note_the_association(event: object, _number: int) -> int:
        if event.assoc not in associations:
            associations.add(event.assoc)
            both.wait(60)  # so that neither is far ahead of the other
        return 0x0000

    day.archive.answers = note_the_association
    with listening(day.archive):
        clock.pass_by(RETRY.longest.total_seconds())
        day.deliver(replace(RETRY, associations=2))

    assert sorted(day.archive.instances) == sorted(day.in_order)
    assert set(day.archive.instances[:8]) <= set(day.in_order[:14])
    assert len(associations) == 2
    day.database.close()


@connection_refused
def test_what_is_older_than_its_time_is_given_up_while_the_node_is_away(tmp_path: Path, clock: Clock) -> None:
    day = Absence(tmp_path, clock)
    day.read(0, "STAT")
    clock.pass_by(timedelta(hours=71).total_seconds())
    day.read(1, "ROUTINE")
    day.deliver()
    clock.pass_by(timedelta(hours=1).total_seconds())

    day.deliver()
    with listening(day.archive):
        clock.pass_by(RETRY.longest.total_seconds())
        day.deliver()

    assert day.archive.instances == [day.expected[1][2]]
    assert day.states() == {DeliveryState.FAILED, DeliveryState.ACCEPTED}
    day.database.close()


@connection_refused
def test_a_node_that_is_back_and_takes_little_at_a_time_gets_the_urgent_first_and_everything_in_the_end(
    day: Absence, clock: Clock
) -> None:
    room = 0

    def answer(_event: object, _number: int) -> int:
        nonlocal room
        room -= 1
        return 0x0000 if room >= 0 else 0xA700

    taken: list[str] = []
    day.archive.answers = answer
    with listening(day.archive):
        for _ in range(40):
            room = 4
            clock.pass_by(RETRY.longest.total_seconds())
            before = len(day.archive.received)
            day.deliver()
            taken += day.archive.instances[before : before + 4]

    assert taken[:6] == day.in_order[:6]
    assert sorted(taken) == sorted(day.in_order)
    assert day.states() == {DeliveryState.ACCEPTED}
    day.database.close()

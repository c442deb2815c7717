"""A node that is away for a day and comes back."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pacs_ai_storage.audit import AuditFilter, query
from pacs_ai_storage.database import Database, sqlite_url
from pacs_ai_storage.instances import InstanceStore
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.migration import migrate
from pacs_ai_storage.outbox import Outbox
from pacs_ai_storage.records import DeliveryState, ResultObject
from pacs_ai_storage.views import list_deliveries

from pacs_ai.delivery import RetryPolicy
from pacs_ai.dimse.sender import Sender
from pacs_ai.process import deliver_results
from tests.builders import make_instance, part10, phantom
from tests.fakes import Clock

from .peers import Archive, connection_refused, listening, nobody
from .studies import STUDY, arrived, claim, read_as_positive

RETRY = RetryPolicy(first=timedelta(seconds=5), longest=timedelta(minutes=15), give_up_after=timedelta(hours=72))
DAY = timedelta(days=1)


class Day:
    """An outbox over a day, with studies that come in while the node is away."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.database = Database(sqlite_url(folder))
        migrate(self.database)
        self.clock = clock
        self.store = InstanceStore(folder / "instances")
        self.archive = Archive(port=nobody())
        self.priority: dict[str, str] = {}
        self.expected: list[tuple[int, int, str]] = []

    def read(self, number: int, priority: str) -> None:
        """A study of this priority with one result is in the outbox."""
        instance, study = make_instance(stored=phantom(64, 48, seed=number)), f"{STUDY}.{number}"
        item = ResultObject(
            kind="report",
            sop_instance_uid=instance.SOPInstanceUID,
            sop_class_uid=instance.SOPClassUID,
            transfer_syntax_uid=instance.file_meta.TransferSyntaxUID,
            source_sop_instance_uid=None,
            file=self.store.keep([part10(instance)]),
        )
        ledger = Ledger(self.database)
        ledger.record(arrived(study=study, at=self.clock()))
        claimed = claim(ledger, self.clock.pass_by(2))
        result = replace(read_as_positive(claimed, item), priority=priority)
        ledger.keep_results(claimed, result, ["archive"], self.clock())
        self.expected.append((["STAT", "HIGH", "ROUTINE"].index(priority), number, item.sop_instance_uid))

    def deliver(self, retry: RetryPolicy = RETRY) -> int:
        return deliver_results(
            self.archive.node, Outbox(self.database), self.store, Sender("PACS_AI"), retry, self.clock
        )

    @property
    def in_order(self) -> list[str]:
        return [sop_instance_uid for _, _, sop_instance_uid in sorted(self.expected)]

    def states(self) -> set[str]:
        with self.database.read() as connection:
            return {item.state for item in list_deliveries(connection)}

    def tries(self) -> int:
        with self.database.read() as connection:
            return len(query(connection, AuditFilter(outcome="unreachable", limit=10_000)))


@pytest.fixture
def day(tmp_path: Path, clock: Clock) -> Day:
    day = Day(tmp_path, clock)
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
def test_a_node_that_was_away_for_a_day_gets_everything_in_order_of_priority(day: Day, clock: Clock) -> None:
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
def test_a_node_that_was_away_is_not_given_more_at_a_time_than_it_is_allowed_to(day: Day, clock: Clock) -> None:
    associations = set()

    def note_the_association(event: object, _number: int) -> int:
        associations.add(id(event.assoc))
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
    day = Day(tmp_path, clock)
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

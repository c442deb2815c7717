"""The clock of the machine is set back by an hour, or forward by a day: nothing is stuck, and nothing is made twice."""

from datetime import timedelta

import pytest
from pacs_ai_storage.audit import trail
from pacs_ai_storage.database import Database
from pacs_ai_storage.ledger import LeaseLost, Ledger
from pacs_ai_storage.outbox import Outbox
from pacs_ai_storage.proofs import Proofs
from pacs_ai_storage.records import AuditEvent, StudyState
from pacs_ai_storage.tampering import verify

from pacs_ai.delivery import RetryPolicy, try_later, wait_for_node

from .studies import AT, STABLE, STUDY, TERMS, actions, arrived, capture, claim, read_as_positive, report, seen

# What holds on both databases is shown by some; a database of PostgreSQL takes half a second to make.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BACK = STABLE - HOUR
RETRY = RetryPolicy(first=timedelta(seconds=5), longest=timedelta(minutes=15), give_up_after=timedelta(hours=72))
# The longest that anything may wait after a jump: a lease, or a pause between two tries.
SOON = max(2 * TERMS.lease, RETRY.longest)


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database)


@pytest.fixture
def outbox(database: Database) -> Outbox:
    return Outbox(database)


def assert_chained(database: Database) -> None:
    with database.read() as connection:
        assert verify(connection, None).defect is None


def assert_read_once(database: Database, objects: int) -> None:
    view = seen(database)
    assert len(view.readings) == len({item.said.sop_instance_uid for item in view.readings}) == len(view.outcomes)
    assert len(view.objects) == len(view.deliveries) == objects
    assert [event for event in actions(database) if event == ("finish", "READY")] == [("finish", "READY")]
    assert_chained(database)


@on_sqlite
def test_a_study_that_arrived_before_the_clock_went_back_is_read_soon(ledger: Ledger, database: Database) -> None:
    ledger.record(arrived())

    assert ledger.claim_stable(BACK, TERMS) is None
    claimed = claim(ledger, BACK + TERMS.stable_after)

    ledger.keep_results(claimed, read_as_positive(claimed, report()), ["pacs"], BACK + TERMS.stable_after)
    assert ("retime", None) in actions(database)
    assert_read_once(database, objects=1)


@on_sqlite
def test_an_instance_that_comes_after_the_clock_went_back_is_of_the_same_revision(
    ledger: Ledger, database: Database
) -> None:
    ledger.record(arrived(1))
    ledger.record(arrived(2, at=BACK))

    claimed = claim(ledger, BACK + TERMS.stable_after)

    assert (claimed.revision, len(claimed.instances)) == (1, 2)
    assert [event.at for event in _events(database) if event.action == "receive"] == [AT, BACK]
    assert_chained(database)


def _events(database: Database) -> list[AuditEvent]:
    with database.read() as connection:
        return trail(connection, STUDY)


def test_a_study_whose_reader_died_before_the_clock_went_back_is_read_again_soon(
    ledger: Ledger, database: Database
) -> None:
    ledger.record(arrived())
    dead = claim(ledger)

    assert ledger.claim_stable(BACK, TERMS) is None
    claimed = claim(ledger, BACK + SOON)

    with pytest.raises(LeaseLost):
        ledger.keep_results(dead, read_as_positive(dead, report()), ["pacs"], BACK + SOON)
    ledger.keep_results(claimed, read_as_positive(claimed, report()), ["pacs"], BACK + SOON)
    assert_read_once(database, objects=1)


@on_sqlite
def test_a_reader_that_lives_keeps_its_study_when_the_clock_goes_back(ledger: Ledger, database: Database) -> None:
    ledger.record(arrived())
    claimed = claim(ledger)

    assert ledger.claim_stable(BACK, TERMS) is None
    ledger.renew([claimed], BACK + TERMS.lease)
    assert ledger.claim_stable(BACK + TERMS.lease, TERMS) is None

    ledger.keep_results(claimed, read_as_positive(claimed, report()), ["pacs"], BACK + TERMS.lease)
    assert_read_once(database, objects=1)


@on_sqlite
def test_a_postponed_study_is_read_soon_when_the_clock_goes_back(ledger: Ledger, database: Database) -> None:
    ledger.record(arrived())
    ledger.postpone(claim(ledger), STABLE + timedelta(seconds=30), "OutOfSpace", STABLE)

    ledger.claim_stable(BACK, TERMS)
    claimed = claim(ledger, BACK + TERMS.stable_after)

    ledger.keep_results(claimed, read_as_positive(claimed, report()), ["pacs"], BACK)
    assert_read_once(database, objects=1)


@on_sqlite
def test_a_study_that_is_read_while_the_clock_goes_forward_counts_once(ledger: Ledger, database: Database) -> None:
    ledger.record(arrived())
    first = claim(ledger)

    second = claim(ledger, STABLE + DAY)

    ledger.keep_results(second, read_as_positive(second, capture(), report()), ["pacs"], STABLE + DAY)
    with pytest.raises(LeaseLost):
        ledger.keep_results(first, read_as_positive(first, capture(), report()), ["pacs"], STABLE + DAY)
    assert_read_once(database, objects=2)


def _ready(ledger: Ledger) -> None:
    ledger.record(arrived())
    claimed = claim(ledger)
    ledger.keep_results(claimed, read_as_positive(claimed, report()), ["pacs"], STABLE)


def test_a_delivery_in_backoff_is_tried_soon_when_the_clock_goes_back(
    ledger: Ledger, outbox: Outbox, database: Database
) -> None:
    _ready(ledger)
    try_later(outbox.due("pacs", STABLE), "0xA700", outbox, RETRY, STABLE)

    due = outbox.due("pacs", BACK, farthest=RETRY.longest)
    assert len(due) == 1
    try_later(due, "0xA700", outbox, RETRY, BACK)

    assert outbox.due("pacs", BACK, farthest=RETRY.longest) == []
    (again,) = outbox.due("pacs", BACK + SOON, farthest=RETRY.longest)
    outbox.accept(again, BACK + SOON, "0x0000")
    assert outbox.due("pacs", STABLE + DAY, farthest=RETRY.longest) == []
    assert seen(database).study.state is StudyState.DELIVERED
    assert_read_once(database, objects=1)


@on_sqlite
def test_a_node_that_is_away_is_tried_at_its_pace_when_the_clock_goes_back(ledger: Ledger, outbox: Outbox) -> None:
    _ready(ledger)
    wait_for_node("pacs", "no answer", outbox, RETRY, STABLE)

    assert len(outbox.due("pacs", BACK, farthest=RETRY.longest)) == 1
    wait_for_node("pacs", "no answer", outbox, RETRY, BACK)

    assert outbox.due("pacs", BACK, farthest=RETRY.longest) == []
    assert len(outbox.due("pacs", BACK + RETRY.longest, farthest=RETRY.longest)) == 1


@on_sqlite
def test_a_delivery_in_backoff_is_not_given_up_when_the_clock_goes_forward(ledger: Ledger, outbox: Outbox) -> None:
    _ready(ledger)

    try_later(outbox.due("pacs", STABLE + DAY, farthest=RETRY.longest), "0xA700", outbox, RETRY, STABLE + DAY)

    assert len(outbox.due("pacs", STABLE + DAY + RETRY.longest, farthest=RETRY.longest)) == 1


@on_sqlite
def test_what_waits_for_its_proof_is_asked_for_soon_when_the_clock_goes_back(
    ledger: Ledger, outbox: Outbox, database: Database
) -> None:
    proofs = Proofs(database)
    _ready(ledger)
    (sent,) = outbox.due("pacs", STABLE)
    outbox.accept_unproved(sent, STABLE, "0x0000", prove_at=STABLE + timedelta(seconds=1))

    (due,) = proofs.due("pacs", BACK, farthest=RETRY.longest)
    assert (due.queued_at, due.sent_at) == (BACK, BACK)
    proofs.prove([due], BACK, "C-FIND")

    assert seen(database).study.state is StudyState.DELIVERED
    assert_read_once(database, objects=1)

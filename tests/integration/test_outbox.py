"""The outbox knows what is due to whom, and what became of it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from pacs_ai_storage.audit import trail
from pacs_ai_storage.database import Database
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.outbox import Outbox
from pacs_ai_storage.records import Delivery, DeliveryState, StudyState
from pacs_ai_storage.views import list_deliveries

from .studies import (
    STABLE,
    STUDY,
    actions,
    arrived,
    bring_to,
    capture,
    claim,
    read_as_positive,
    report,
    seen,
)

LATER = STABLE + timedelta(seconds=30)
ROUNDS = 12


@pytest.fixture
def outbox(database: Database) -> Outbox:
    return Outbox(database)


def ready(database: Database, study: str, *, nodes: tuple[str, ...] = ("pacs",), after: int = 0) -> None:
    """A study with two captures and a report in the outbox; the report was queued first."""
    ledger = Ledger(database)
    ledger.record(arrived(study=study))
    claimed = claim(ledger)
    objects = (report(study=study), capture(1, study=study), capture(2, study=study))
    ledger.keep_results(claimed, read_as_positive(claimed, *objects), nodes, STABLE + timedelta(seconds=after))


def row(database: Database, delivery: Delivery) -> Delivery:
    return next(item for item in seen(database).deliveries if item.object == delivery.object)


def test_captures_go_before_the_report_on_them_and_the_oldest_study_first(outbox: Outbox, database: Database) -> None:
    younger, older = f"{STUDY}.1", f"{STUDY}.2"
    ready(database, younger, after=1)
    ready(database, older)

    due = outbox.due("pacs", LATER)

    assert [(item.study_instance_uid, item.object.kind) for item in due] == [
        (study, kind) for study in (older, younger) for kind in ("capture", "capture", "report")
    ]


def test_what_is_due_carries_the_object_as_it_was_kept(outbox: Outbox, database: Database) -> None:
    bring_to(StudyState.READY, database)

    due = outbox.due("pacs", STABLE)

    assert [item.object for item in due] == [capture(), report()]
    assert {(item.node, item.state, item.attempts, item.queued_at) for item in due} == {
        ("pacs", DeliveryState.PENDING, 0, STABLE)
    }


def test_nothing_is_due_before_its_time_nor_to_another_node(outbox: Outbox, database: Database) -> None:
    bring_to(StudyState.READY, database)
    outbox.postpone([(item, LATER) for item in outbox.due("pacs", STABLE)], STABLE, "0xA700")

    assert outbox.due("pacs", LATER - timedelta(microseconds=1)) == []
    assert outbox.due("elsewhere", LATER) == []
    assert len(outbox.due("pacs", LATER)) == 2


def test_no_more_is_due_at_once_than_asked_for(outbox: Outbox, database: Database) -> None:
    bring_to(StudyState.READY, database)

    assert [item.object for item in outbox.due("pacs", STABLE, limit=1)] == [capture()]


def test_an_accepted_object_is_not_due_again(outbox: Outbox, database: Database) -> None:
    bring_to(StudyState.READY, database)
    first, second = outbox.due("pacs", STABLE)

    outbox.accept(first, LATER, "0x0000")

    found = row(database, first)
    assert (found.state, found.attempts, found.accepted_at, found.detail) == ("ACCEPTED", 1, LATER, "0x0000")
    assert outbox.due("pacs", LATER) == [second]
    assert actions(database)[-1] == ("deliver", "accepted")


def test_the_study_is_delivered_when_every_node_has_every_object(outbox: Outbox, database: Database) -> None:
    bring_to(StudyState.READY, database, nodes=("pacs", "archive"))
    states = []

    for node in ("pacs", "archive"):
        for delivery in outbox.due(node, STABLE):
            states.append(seen(database).study.state)
            outbox.accept(delivery, LATER, "0x0000")

    assert states == [StudyState.READY] * 4
    assert seen(database).study.state is StudyState.DELIVERED
    assert [event for event in actions(database) if event == ("finish", "DELIVERED")] == [("finish", "DELIVERED")]


def test_nodes_that_accept_at_the_same_moment_close_the_study(database: Database) -> None:
    nodes = ("pacs", "archive", "viewer", "teaching")
    together = Barrier(len(nodes))

    def accept_last(node: str, study: str) -> None:
        outbox = Outbox(database)
        for delivery in outbox.due(node, LATER):
            if delivery.study_instance_uid == study and delivery.object.kind == "report":
                together.wait()
            if delivery.study_instance_uid == study:
                outbox.accept(delivery, LATER, "0x0000")

    studies = [f"{STUDY}.{number}" for number in range(ROUNDS)]
    with ThreadPoolExecutor(len(nodes)) as pool:
        for study in studies:
            ready(database, study, nodes=nodes)
            for work in [pool.submit(accept_last, node, study) for node in nodes]:
                work.result()

    assert [seen(database, study).study.state for study in studies] == [StudyState.DELIVERED] * ROUNDS


def test_a_postponed_object_is_counted_and_due_at_its_time(outbox: Outbox, database: Database) -> None:
    bring_to(StudyState.READY, database)
    first, second = outbox.due("pacs", STABLE)

    outbox.postpone([(first, LATER)], STABLE, "0xA700 no space")

    found = row(database, first)
    assert (found.state, found.attempts, found.next_attempt_at) == (DeliveryState.PENDING, 1, LATER)
    assert (found.detail, found.object) == ("0xA700 no space", first.object)
    assert outbox.due("pacs", STABLE) == [second]
    assert actions(database)[-1] == ("deliver", "postponed")


def test_what_is_given_up_stays_listed_and_keeps_the_study_open(outbox: Outbox, database: Database) -> None:
    bring_to(StudyState.READY, database)
    first, second = outbox.due("pacs", STABLE)

    outbox.give_up([first], LATER, "no answer")
    outbox.accept(second, LATER, "0x0000")

    found = row(database, first)
    assert (found.state, found.attempts, found.detail) == (DeliveryState.FAILED, 1, "no answer")
    assert outbox.due("pacs", LATER + timedelta(days=365)) == []
    assert seen(database).study.state is StudyState.READY
    assert ("deliver", "given up") in actions(database)


def test_results_of_an_earlier_revision_do_not_close_a_study_that_was_reopened(
    outbox: Outbox, database: Database
) -> None:
    bring_to(StudyState.READY, database)
    Ledger(database).record(arrived(2, at=LATER))

    for delivery in outbox.due("pacs", LATER):
        outbox.accept(delivery, LATER, "0x0000")

    assert seen(database).study.state is StudyState.RECEIVING


def test_the_node_is_the_actor_of_its_deliveries(outbox: Outbox, database: Database) -> None:
    bring_to(StudyState.READY, database)
    first, second = outbox.due("pacs", STABLE)

    outbox.accept(first, LATER, "0x0000")
    outbox.postpone([(second, LATER)], LATER, "0xA700")

    with database.read() as connection:
        told = [event for event in trail(connection, STUDY) if event.action == "deliver"]
    assert [(event.actor, event.at, event.detail) for event in told] == [
        ("pacs", LATER, "0x0000"),
        ("pacs", LATER, "0xA700"),
    ]
    assert [event.sop_instance_uid for event in told] == [item.object.sop_instance_uid for item in (first, second)]


def test_deliveries_are_listed_by_node_state_and_study(outbox: Outbox, database: Database) -> None:
    studies = [f"{STUDY}.1", f"{STUDY}.2"]
    for after, study in enumerate(studies):
        ready(database, study, nodes=("pacs", "archive"), after=after)
    outbox.accept(outbox.due("pacs", LATER)[0], LATER, "0x0000")

    with database.read() as connection:
        accepted = list_deliveries(connection, state="ACCEPTED")
        of_a_node = list_deliveries(connection, node="archive")
        of_a_study = list_deliveries(connection, study_instance_uid=studies[1])
        newest = list_deliveries(connection, limit=1)

    assert [(item.node, item.study_instance_uid) for item in accepted] == [("pacs", studies[0])]
    assert [item.queued_at for item in of_a_node] == sorted(item.queued_at for item in of_a_node)
    assert (len(of_a_node), len(of_a_study)) == (6, 6)
    assert [item.study_instance_uid for item in newest] == [studies[1]]

"""Results go out until each is accepted, the same bytes at each try."""

import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from pacs_ai_storage.database import Database
from pacs_ai_storage.instances import InstanceStore
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.outbox import Choice, Outbox
from pacs_ai_storage.records import Delivery, DeliveryState, ResultObject, StudyState

from pacs_ai.delivery import RetryPolicy
from pacs_ai.dimse.sender import Sender
from pacs_ai.process import deliver_results
from pacs_ai.settings import Node
from tests.builders import make_instance, phantom
from tests.fakes import Clock

from .peers import HOST, Archive, connection_refused, data_set_of, listening, nobody
from .studies import STUDY, actions, arrived, claim, kept_object, read_as_positive, seen

RETRY = RetryPolicy(first=timedelta(seconds=5), longest=timedelta(seconds=30), give_up_after=timedelta(minutes=5))
STARTED = timedelta(seconds=2)


@pytest.fixture
def store(tmp_path: Path) -> InstanceStore:
    return InstanceStore(tmp_path / "instances")


@pytest.fixture
def kept(store: InstanceStore, database: Database, clock: Clock) -> list[ResultObject]:
    """Two captures and a report of one study, in the outbox for the archive."""
    objects = [
        kept_object(make_instance(stored=phantom(64, 48, seed=number)), kind, store)
        for number, kind in enumerate(("capture", "capture", "report"))
    ]
    ledger = Ledger(database)
    ledger.record(arrived(at=clock()))
    claimed = claim(ledger, clock.pass_by(STARTED.total_seconds()))
    ledger.keep_results(claimed, read_as_positive(claimed, *objects), ["archive"], clock())
    return objects


@pytest.fixture
def deliver(store: InstanceStore, database: Database, clock: Clock) -> Callable[[Node], int]:
    def once(node: Node) -> int:
        return deliver_results(node, Outbox(database), store, Sender("PACS_AI"), RETRY, clock)

    return once


def rows(database: Database) -> list[Delivery]:
    return list(seen(database).deliveries)


def test_everything_due_goes_out_in_one_association_and_the_study_is_delivered(
    kept: list[ResultObject], deliver: Callable[[Node], int], store: InstanceStore, database: Database
) -> None:
    associations = set()

    def note_the_association(event: object, _number: int) -> int:
        associations.add(event.assoc)
        return 0x0000

    with listening(Archive(answers=note_the_association)) as archive:
        assert deliver(archive.node) == 3
        assert deliver(archive.node) == 0

    sent = {instance: content for _, instance, content in archive.received}
    assert sent == {item.sop_instance_uid: data_set_of(store.locate(item.file)) for item in kept}
    assert archive.instances[-1] == kept[2].sop_instance_uid
    assert len(associations) == 1
    assert seen(database).study.state is StudyState.DELIVERED


def test_only_what_was_not_accepted_is_sent_again_and_with_the_same_bytes(
    kept: list[ResultObject], deliver: Callable[[Node], int], database: Database, clock: Clock
) -> None:
    with listening(Archive(answers=lambda _event, number: 0xA700 if number == 1 else 0x0000)) as archive:
        deliver(archive.node)
        assert deliver(archive.node) == 0
        clock.pass_by(5)
        assert deliver(archive.node) == 1

    assert len(archive.received) == 4
    assert archive.received[3] == archive.received[1]
    assert [item.state for item in rows(database)] == [DeliveryState.ACCEPTED] * 3
    assert sorted(item.attempts for item in rows(database)) == [1, 1, 2]
    assert seen(database).study.state is StudyState.DELIVERED


@connection_refused
def test_the_pauses_double_up_to_the_longest(
    kept: list[ResultObject], deliver: Callable[[Node], int], database: Database, clock: Clock
) -> None:
    node = Node(name="archive", ae_title="ARCHIVE", host=HOST, port=nobody())
    pauses = []

    for _ in range(5):
        deliver(node)
        pauses.append((rows(database)[0].next_attempt_at - clock()).total_seconds())
        clock.pass_by(pauses[-1] - 0.001)
        assert deliver(node) == 0
        clock.pass_by(0.001)

    assert pauses == [5, 10, 20, 30, 30]
    assert {item.attempts for item in rows(database)} == {5}


@connection_refused
def test_an_unreachable_archive_is_told_in_words_and_gets_everything_once_it_is_back(
    kept: list[ResultObject],
    deliver: Callable[[Node], int],
    database: Database,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    archive = Archive(port=nobody())
    assert deliver(archive.node) == 3
    assert f"{archive.port} cannot be reached: the connection is refused" in caplog.text
    details = {item.detail for item in rows(database)}
    clock.pass_by(5)

    with listening(archive):
        assert deliver(archive.node) == 3

    assert len(details) == 1
    assert "cannot be reached" in details.pop()
    assert sorted(archive.instances) == sorted(item.sop_instance_uid for item in kept)
    assert seen(database).study.state is StudyState.DELIVERED


@connection_refused
def test_a_node_that_is_away_and_what_is_given_up_are_told_in_the_log_without_the_nodes_own_words(
    kept: list[ResultObject],
    deliver: Callable[[Node], int],
    database: Database,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    archive = Archive(port=nobody())
    caplog.set_level(logging.WARNING, "pacs_ai")

    deliver(archive.node)
    clock.pass_by(RETRY.give_up_after.total_seconds())
    deliver(archive.node)

    told = [record.getMessage() for record in caplog.records if record.name == "pacs_ai.delivery"]
    assert told[0].startswith("node archive is away; what is due to it waits until 2026-")
    assert told[-1] == "given up: 3 deliveries to archive; `pacs-ai deliveries list --state failed` tells why"
    assert len(told) == 3


@pytest.mark.timeout(120)
def test_after_an_abort_what_was_accepted_is_not_sent_again(
    kept: list[ResultObject], deliver: Callable[[Node], int], clock: Clock, database: Database
) -> None:
    def abort_the_second(event: object, number: int) -> int:
        if number == 1:
            event.assoc.abort()
        return 0x0000

    with listening(Archive(answers=abort_the_second)) as archive:
        deliver(archive.node)
        clock.pass_by(5)
        assert deliver(archive.node) == 2

    assert archive.instances.count(archive.instances[0]) == 1
    assert len(archive.received) == 4
    assert seen(database).study.state is StudyState.DELIVERED


def test_after_its_time_a_delivery_is_given_up_and_the_others_stand(
    kept: list[ResultObject], deliver: Callable[[Node], int], database: Database, clock: Clock
) -> None:
    with listening(Archive(answers=lambda _event, number: 0x0000 if number == 0 else 0xA700)) as archive:
        deliver(archive.node)
        while deliver(archive.node) or clock() < rows(database)[0].queued_at + RETRY.give_up_after:
            clock.pass_by(100)
        tried = len(archive.received)
        clock.pass_by(86_400)
        assert deliver(archive.node) == 0

    assert len(archive.received) == tried
    assert sorted(item.state for item in rows(database)) == ["ACCEPTED", "FAILED", "FAILED"]
    assert seen(database).study.state is StudyState.READY
    assert actions(database).count(("deliver", "given up")) == 2


def test_what_will_never_be_accepted_is_given_up_at_once_with_its_reason(
    kept: list[ResultObject], deliver: Callable[[Node], int], database: Database, clock: Clock
) -> None:
    with listening(Archive(answers=lambda _event, number: 0xA900 if number == 0 else 0x0000)) as archive:
        deliver(archive.node)
        clock.pass_by(86_400)
        assert deliver(archive.node) == 0

    failed = [item for item in rows(database) if item.state is DeliveryState.FAILED]
    assert [item.detail for item in failed] == ["0xA900"]
    assert actions(database).count(("deliver", "given up")) == 1


def test_a_node_that_rejects_us_for_good_gets_everything_after_a_retry_by_command(
    kept: list[ResultObject], deliver: Callable[[Node], int], database: Database, clock: Clock
) -> None:
    with listening(Archive()) as archive:
        deliver(archive.node.model_copy(update={"ae_title": "MISNAMED"}))
        failed = [(item.state, str(item.detail)) for item in rows(database)]
        clock.pass_by(86_400)
        assert deliver(archive.node) == 0

        assert Outbox(database).retry(Choice(node="archive"), clock(), actor="operator") == 3
        assert deliver(archive.node) == 3

    assert {state for state, _ in failed} == {DeliveryState.FAILED}
    assert "Called AE" in failed[0][1]
    assert actions(database).count(("retry", "archive")) == 3
    assert seen(database).study.state is StudyState.DELIVERED


def test_what_is_cancelled_while_it_is_sent_in_vain_is_not_sent_again(
    kept: list[ResultObject], deliver: Callable[[Node], int], database: Database, clock: Clock
) -> None:
    def cancel_it(event: object, _number: int) -> int:
        choice = Choice(sop_instance_uid=str(event.request.AffectedSOPInstanceUID))
        Outbox(database).cancel(choice, clock(), actor="operator")
        return 0xA700

    with listening(Archive(answers=cancel_it)) as archive:
        deliver(archive.node)
        clock.pass_by(86_400)
        assert deliver(archive.node) == 0

    assert {item.state for item in rows(database)} == {DeliveryState.CANCELLED}
    assert seen(database).study.state is StudyState.READY


def test_a_study_is_delivered_when_what_the_node_did_not_take_is_cancelled(
    kept: list[ResultObject], deliver: Callable[[Node], int], database: Database, clock: Clock
) -> None:
    with listening(Archive(answers=lambda _event, number: 0xC000 if number == 0 else 0x0000)) as archive:
        deliver(archive.node)

    assert Outbox(database).cancel(Choice(study_instance_uid=STUDY), clock(), actor="operator") == 1

    assert seen(database).study.state is StudyState.DELIVERED
    assert [event for event in actions(database) if event[0] == "cancel"] == [("cancel", "archive")]


def test_a_result_whose_file_has_gone_is_told_and_holds_up_no_other(
    kept: list[ResultObject], deliver: Callable[[Node], int], store: InstanceStore, database: Database
) -> None:
    store.locate(kept[0].file).unlink()

    with listening(Archive()) as archive:
        assert deliver(archive.node) == 3

    assert sorted(archive.instances) == sorted(item.sop_instance_uid for item in kept[1:])
    assert {item.detail for item in rows(database) if item.state is DeliveryState.PENDING} == {
        "not sent: FileNotFoundError"
    }


def test_no_association_is_opened_when_nothing_is_due(deliver: Callable[[Node], int]) -> None:
    node = Node(name="archive", ae_title="ARCHIVE", host="host.invalid", port=104)

    assert deliver(node) == 0

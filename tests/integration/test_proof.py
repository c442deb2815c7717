"""Delivered means proved: by C-FIND or by storage commitment; what is not proved is sent again."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest
from pacs_ai_storage.audit import trail
from pacs_ai_storage.database import Database
from pacs_ai_storage.instances import InstanceStore
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.outbox import Choice, Outbox
from pacs_ai_storage.proofs import Proofs
from pacs_ai_storage.records import AuditEvent, DeliveryState, ResultObject, StudyState
from pacs_ai_storage.schema import objects
from pydicom.uid import BasicTextSRStorage, ExplicitVRLittleEndian, SecondaryCaptureImageStorage
from pynetdicom import evt
from pynetdicom.presentation import build_context
from sqlalchemy import update

from pacs_ai.delivery import RetryPolicy
from pacs_ai.dimse import finder
from pacs_ai.dimse.commitment import (
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    CommitmentReport,
    Reference,
    action_information,
    on_n_event_report,
)
from pacs_ai.dimse.commitment_scp import CommitmentScp
from pacs_ai.dimse.listener import listen
from pacs_ai.dimse.sender import Sender
from pacs_ai.process import deliver_results
from pacs_ai.proving import ProofPolicy, Prover, note_report
from pacs_ai.results.ladder import lower_uid
from pacs_ai.settings import DicomSettings
from tests.fakes import Clock

from .keepers import COMMIT, FIND, Keeper, keeping
from .peers import HOST, listening
from .studies import actions, arrived, read_study, seen
from .waiting import wait_until

RETRY = RetryPolicy(first=timedelta(seconds=5), longest=timedelta(seconds=30), give_up_after=timedelta(minutes=30))
WITHIN = 60
one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@dataclass
class Bench:
    """A capture and a report of one study in the outbox of a node that has to prove."""

    store: InstanceStore
    database: Database
    clock: Clock
    keeper: Keeper
    proof: str
    objects: list[ResultObject]
    linger: float = 0.2

    @property
    def prover(self) -> Prover:
        node = self.keeper.node.model_copy(update={"proof": self.proof})
        policy = ProofPolicy(within=timedelta(seconds=WITHIN), linger=self.linger, retry=RETRY)
        return Prover(
            node=node,
            proofs=Proofs(self.database),
            store=self.store,
            sender=Sender("PACS_AI"),
            policy=policy,
            now=self.clock,
        )

    def deliver(self) -> int:
        node = self.keeper.node.model_copy(update={"proof": self.proof})
        return deliver_results(node, Outbox(self.database), self.store, Sender("PACS_AI"), RETRY, self.clock)

    def prove(self, after: float = 1) -> int:
        self.clock.pass_by(after)
        return self.prover.prove_due()

    @property
    def states(self) -> list[DeliveryState]:
        return [item.state for item in seen(self.database).deliveries]

    @property
    def study(self) -> StudyState:
        return seen(self.database).study.state

    def proofs(self) -> list[str | None]:
        return [outcome for action, outcome in actions(self.database) if action == "prove"]


@contextmanager
def listener_of(bench: Bench) -> Iterator[int]:
    """The port on which the service hears reports of storage commitment."""
    scp = CommitmentScp(
        nodes=(),
        proofs=Proofs(bench.database),
        store=bench.store,
        ledger=Ledger(bench.database),
        sender=Sender("PACS_AI"),
    )
    handlers = scp.handlers(lambda report: note_report(report, Proofs(bench.database), RETRY, bench.clock()))
    settings = DicomSettings(host=HOST)
    listener = listen(settings, bench.store, Ledger(bench.database), port=0, commitment=handlers)
    try:
        yield listener.port
    finally:
        listener.stop()
        scp.stop()


@pytest.fixture
def bench(tmp_path: Path, database: Database, clock: Clock) -> Bench:
    store = InstanceStore(tmp_path / "instances")
    objects = read_study(store, Ledger(database), clock)
    return Bench(store=store, database=database, clock=clock, keeper=Keeper(), proof="c-find", objects=objects)


def test_a_study_is_delivered_only_when_the_node_finds_what_it_was_sent(bench: Bench) -> None:
    with keeping(bench.keeper, FIND):
        bench.deliver()
        before = (set(bench.states), bench.study)
        assert bench.prover.prove_due() == 0
        assert bench.prove() == 2

    assert before == ({DeliveryState.SENT}, StudyState.READY)
    assert (set(bench.states), bench.study) == ({DeliveryState.ACCEPTED}, StudyState.DELIVERED)
    assert bench.proofs() == ["proved", "proved"]
    assert actions(bench.database)[-1] == ("finish", "DELIVERED")
    assert len(bench.keeper.received) == 2


def test_a_result_whose_file_is_damaged_keeps_no_other_from_its_proof(bench: Bench) -> None:
    with keeping(bench.keeper, FIND):
        bench.deliver()
        bench.store.locate(bench.objects[0].file).write_bytes(b"")
        bench.prove()

    assert set(bench.states) == {DeliveryState.SENT, DeliveryState.ACCEPTED}


def test_a_result_whose_file_the_disk_will_not_give_keeps_no_other_from_its_proof(bench: Bench) -> None:
    with keeping(bench.keeper, FIND):
        bench.deliver()
        unreadable = "n" * 300  # too long a name: neither "there" nor "not there" is the answer
        with bench.database.change() as connection:
            this = objects.c.sop_instance_uid == bench.objects[0].sop_instance_uid
            connection.execute(update(objects).where(this).values(path=unreadable))
        bench.prove()

    assert set(bench.states) == {DeliveryState.SENT, DeliveryState.ACCEPTED}


def test_what_was_sent_counts_as_accepted_once_no_proof_is_asked_for(bench: Bench) -> None:
    with keeping(bench.keeper, FIND):
        bench.deliver()
    proofs = Proofs(bench.database)

    others = proofs.ask_no_more("another", bench.clock())
    before = set(bench.states)
    accepted = proofs.ask_no_more(bench.keeper.node.name, bench.clock())

    assert (others, before, accepted) == (0, {DeliveryState.SENT}, 2)
    assert (set(bench.states), bench.study) == ({DeliveryState.ACCEPTED}, StudyState.DELIVERED)
    assert bench.proofs() == ["not asked", "not asked"]
    assert proofs.ask_no_more(bench.keeper.node.name, bench.clock()) == 0


def test_a_node_that_forgets_gets_everything_again_with_the_same_bytes(bench: Bench) -> None:
    bench.keeper.forgets = True
    with keeping(bench.keeper, FIND):
        bench.deliver()
        bench.prove(after=WITHIN)
        lost = set(bench.states)
        bench.keeper.forgets = False
        bench.clock.pass_by(5)
        assert bench.deliver() == 2
        bench.prove()

    assert lost == {DeliveryState.PENDING}
    assert bench.keeper.received[:2] == bench.keeper.received[2:]
    assert bench.proofs() == ["not proved"] * 2 + ["proved"] * 2
    assert bench.study is StudyState.DELIVERED


@one_database
def test_a_query_that_fails_takes_no_proof_from_the_others(bench: Bench) -> None:
    bench.keeper.fails_to_find = {item.sop_instance_uid for item in bench.objects if item.kind == "capture"}
    with keeping(bench.keeper, FIND):
        bench.deliver()
        bench.prove()

    rows = {item.object.kind: item for item in seen(bench.database).deliveries}
    assert (rows["report"].state, rows["capture"].state) == (DeliveryState.ACCEPTED, DeliveryState.SENT)
    assert "ended the C-FIND with 0xC000" in str(rows["capture"].detail)


@one_database
def test_a_node_that_never_ends_its_answer_has_not_answered(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finder, "_MOST_ANSWERS", 50)
    bench.keeper.never_ends = True
    with keeping(bench.keeper, FIND):
        bench.deliver()
        bench.prove()

    assert set(bench.states) == {DeliveryState.SENT}
    assert "did not end the C-FIND" in str(seen(bench.database).deliveries[0].detail)


def test_a_node_has_time_to_find_what_it_was_sent(bench: Bench) -> None:
    with keeping(bench.keeper, FIND):
        bench.deliver()
        held, bench.keeper.holds = bench.keeper.holds, {}
        asked = [bench.prove(after=1) for _ in range(8)]
        bench.keeper.holds = held
        bench.prove(after=8)

    assert asked == [2, 2, 0, 2, 0, 0, 0, 2]
    assert len(bench.keeper.received) == 2
    assert bench.study is StudyState.DELIVERED


def test_a_node_that_forgets_for_ever_gets_no_more_after_its_time_and_the_reason_is_listed(bench: Bench) -> None:
    bench.keeper.forgets = True
    with keeping(bench.keeper, FIND):
        while DeliveryState.FAILED not in bench.states:
            bench.deliver()
            bench.prove(after=WITHIN)

    assert {item.detail for item in seen(bench.database).deliveries} == {"accepted and not proved: not found by C-FIND"}
    assert bench.study is StudyState.READY
    assert len(bench.keeper.received) > 10


def test_a_node_that_takes_no_queries_is_told_and_given_up_when_its_time_is_over(bench: Bench) -> None:
    with keeping(bench.keeper):
        bench.deliver()
        bench.prove()
        waiting = seen(bench.database).deliveries
        bench.prove(after=RETRY.give_up_after.total_seconds())

    assert {item.state for item in waiting} == {DeliveryState.SENT}
    assert "accepted none of the proposed presentation contexts" in str(waiting[0].detail)
    assert set(bench.states) == {DeliveryState.FAILED}
    assert len(bench.keeper.received) == 2


def test_proof_asks_for_the_report_under_the_uid_that_the_node_has_it_by(bench: Bench) -> None:
    basic = [
        build_context(found, ExplicitVRLittleEndian) for found in (BasicTextSRStorage, SecondaryCaptureImageStorage)
    ]
    with listening(bench.keeper, contexts=basic):
        bench.deliver()
    with keeping(bench.keeper, FIND):
        bench.prove()

    report = bench.objects[1].sop_instance_uid
    asked = {str(query.SOPInstanceUID) for query in bench.keeper.queries}
    assert asked == {str(lower_uid(report, BasicTextSRStorage)), bench.objects[0].sop_instance_uid}


def test_a_report_on_the_same_association_proves(bench: Bench) -> None:
    bench.proof, bench.linger = "commitment", 30
    with keeping(bench.keeper, COMMIT):
        bench.deliver()
        bench.prove()
        wait_until(lambda: bench.keeper.reported)

    assert bench.keeper.reported == [0x0000]
    assert bench.proofs() == ["asked", "asked", "proved", "proved"]
    assert bench.study is StudyState.DELIVERED


def test_a_report_that_is_being_noted_is_answered_before_the_association_is_released(bench: Bench) -> None:
    heard, ended = Event(), Event()
    still_there: list[bool] = []

    def note(_report: CommitmentReport) -> None:
        heard.set()
        still_there.append(not ended.wait(0.5))

    asked = action_information("1.2.4", [Reference(sop_class_uid=BasicTextSRStorage, sop_instance_uid="1.2.3")])
    with keeping(bench.keeper, COMMIT):
        handlers = [(evt.EVT_N_EVENT_REPORT, on_n_event_report, [note])]
        with Sender("PACS_AI").association(bench.keeper.node, [COMMIT], handlers=handlers) as association:
            association.send_n_action(asked, 1, PUSH_MODEL, PUSH_MODEL_INSTANCE)
            heard.wait()
        ended.set()
        wait_until(lambda: bench.keeper.reported)

    assert (still_there, bench.keeper.reported, association.is_released) == ([True], [0x0000], True)


def test_a_report_on_the_nodes_own_association_proves(bench: Bench) -> None:
    bench.proof = "commitment"
    with listener_of(bench) as port, keeping(bench.keeper, COMMIT):
        bench.keeper.reports_to = port
        bench.deliver()
        bench.prove()
        wait_until(lambda: bench.keeper.reported)

    assert bench.keeper.reported == [0x0000]
    assert bench.study is StudyState.DELIVERED
    assert {event.detail for event in events(bench, "proved")} == {
        f"storage commitment, transaction {bench.keeper.transactions[0]}"
    }


def test_the_transaction_uid_is_kept_before_it_is_sent(bench: Bench) -> None:
    bench.proof, bench.linger = "commitment", 30
    known = []

    class Asking(Keeper):
        def commit(self, event: object) -> object:
            known.append(len(Proofs(bench.database).asked(event.action_information.TransactionUID)))
            return super().commit(event)

    bench.keeper = Asking()
    with keeping(bench.keeper, COMMIT):
        bench.deliver()
        bench.prove()
        wait_until(lambda: bench.keeper.reported)

    assert known == [2]


def test_what_a_node_does_not_commit_itself_to_is_sent_again_and_nothing_else(bench: Bench) -> None:
    bench.proof, bench.linger = "commitment", 30
    bench.keeper.lacks = {bench.objects[1].sop_instance_uid}
    with keeping(bench.keeper, COMMIT):
        bench.deliver()
        bench.prove()
        wait_until(lambda: bench.keeper.reported)
        half = set(bench.states)
        bench.keeper.lacks = set()
        bench.clock.pass_by(5)
        assert bench.deliver() == 1
        bench.prove()
        wait_until(lambda: len(bench.keeper.reported) == 2)

    assert half == {DeliveryState.ACCEPTED, DeliveryState.PENDING}
    assert [event.detail for event in events(bench, "not proved")] == ["storage commitment refused: 0x0112"]
    assert bench.keeper.received[1] == bench.keeper.received[2]
    assert bench.study is StudyState.DELIVERED


def test_a_node_that_never_reports_is_asked_again_under_another_uid_and_then_sent_everything_again(
    bench: Bench,
) -> None:
    bench.proof = "commitment"
    bench.keeper.silent = True
    with keeping(bench.keeper, COMMIT):
        bench.deliver()
        bench.prove()
        assert bench.prove(after=WITHIN - 1) == 0
        asked = [bench.prove(after=1), bench.prove(after=WITHIN), bench.prove(after=WITHIN)]
        bench.clock.pass_by(5)
        assert bench.deliver() == 2

    assert asked == [2, 2, 2]
    assert len(set(bench.keeper.transactions)) == 3
    assert bench.keeper.received[:2] == bench.keeper.received[2:]


def test_a_node_that_does_not_take_the_request_is_asked_again_and_sent_nothing(bench: Bench) -> None:
    bench.proof, bench.keeper.status = "commitment", 0x0110
    with keeping(bench.keeper, COMMIT):
        bench.deliver()
        asked = [bench.prove(after=30) for _ in range(6)]

    assert asked == [2] * 6
    assert set(bench.states) == {DeliveryState.SENT}
    assert {"0x0110" in str(item.detail) for item in seen(bench.database).deliveries} == {True}
    assert len(bench.keeper.received) == 2


@pytest.mark.parametrize("status", [0x0001, 0x0107, 0x0116, 0xB000])
def test_a_node_that_takes_the_request_with_a_warning_has_its_time_to_report(bench: Bench, status: int) -> None:
    bench.proof, bench.keeper.silent, bench.keeper.status = "commitment", True, status
    with keeping(bench.keeper, COMMIT):
        bench.deliver()
        asked = [bench.prove(), bench.prove(after=WITHIN - 1), bench.prove()]

    assert asked == [2, 0, 2]
    assert len(set(bench.keeper.transactions)) == 2


def test_a_report_of_an_unknown_transaction_changes_nothing(bench: Bench) -> None:
    bench.proof = "commitment"
    bench.keeper.silent = True
    with keeping(bench.keeper, COMMIT):
        bench.deliver()
        bench.prove()
    report = replace(_report_of(bench), transaction_uid="1.2.3")

    bench.prover.note_report(report)

    assert set(bench.states) == {DeliveryState.SENT}


def test_a_report_that_comes_twice_counts_once(bench: Bench) -> None:
    bench.proof = "commitment"
    bench.keeper.silent = True
    with keeping(bench.keeper, COMMIT):
        bench.deliver()
        bench.prove()

    for _ in range(2):
        bench.prover.note_report(_report_of(bench))

    assert bench.proofs() == ["asked", "asked", "proved", "proved"]


def test_what_was_cancelled_before_its_proof_stays_cancelled(bench: Bench) -> None:
    with keeping(bench.keeper, FIND):
        bench.deliver()
        assert Outbox(bench.database).cancel(Choice(node="archive"), bench.clock(), actor="operator") == 2
        assert bench.prove() == 0

    assert set(bench.states) == {DeliveryState.CANCELLED}


def _report_of(bench: Bench) -> CommitmentReport:
    kept = tuple(
        Reference(sop_class_uid=item.sop_class_uid, sop_instance_uid=item.sop_instance_uid) for item in bench.objects
    )
    return CommitmentReport(transaction_uid=bench.keeper.transactions[0], kept=kept)


def events(bench: Bench, outcome: str) -> list[AuditEvent]:
    with bench.database.read() as connection:
        found = trail(connection, arrived().study_instance_uid)
    return [event for event in found if (event.action, event.outcome) == ("prove", outcome)]

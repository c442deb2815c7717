"""Results of a study go to a DICOMweb node through the outbox: accepted once, proved by QIDO-RS, sent again if not."""

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from pacs_ai_storage.database import Database
from pacs_ai_storage.instances import InstanceStore
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.negotiations import negotiated
from pacs_ai_storage.outbox import Outbox
from pacs_ai_storage.proofs import Proofs
from pacs_ai_storage.records import Delivery, DeliveryState, ResultObject, StudyState
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage

from pacs_ai.delivery import RetryPolicy
from pacs_ai.dicomweb.client import WebLimits
from pacs_ai.dicomweb.sender import WebSender
from pacs_ai.dimse.sender import Sender
from pacs_ai.process import deliver_results
from pacs_ai.proving import ProofPolicy, Prover
from tests.fakes import Clock

from .studies import STUDY, actions, read_study, seen
from .web_archive import WebArchive, taking

RETRY = RetryPolicy(first=timedelta(seconds=5), longest=timedelta(seconds=30), give_up_after=timedelta(minutes=30))
WITHIN = 60
one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@dataclass
class Bench:
    """A capture and a report of one study in the outbox of a web node."""

    store: InstanceStore
    database: Database
    clock: Clock
    archive: WebArchive
    objects: list[ResultObject]
    proof: str = "qido"
    retry: RetryPolicy = RETRY

    def __post_init__(self) -> None:
        limits = WebLimits(connect=60, silence=60, answer=60)
        self.sender = WebSender(limits, clock=lambda: self.clock().timestamp())

    def deliver(self, after: float = 0) -> int:
        self.clock.pass_by(after)
        node, outbox = self.archive.node_with(proof=self.proof), Outbox(self.database)
        return deliver_results(node, outbox, self.store, self.sender, self.retry, self.clock)

    def prove(self, after: float = 1) -> int:
        self.clock.pass_by(after)
        prover = Prover(
            node=self.archive.node_with(proof=self.proof),
            proofs=Proofs(self.database),
            store=self.store,
            sender=Sender("PACS_AI"),
            policy=ProofPolicy(within=timedelta(seconds=WITHIN), retry=RETRY),
            now=self.clock,
        )
        return prover.prove_due()

    @property
    def rows(self) -> dict[str, Delivery]:
        return {item.object.kind: item for item in seen(self.database).deliveries}

    @property
    def states(self) -> set[DeliveryState]:
        return {item.state for item in self.rows.values()}

    @property
    def study(self) -> StudyState:
        return seen(self.database).study.state


@pytest.fixture
def bench(tmp_path: Path, database: Database, clock: Clock) -> Bench:
    store = InstanceStore(tmp_path / "instances")
    objects = read_study(store, Ledger(database), clock)
    return Bench(store=store, database=database, clock=clock, archive=WebArchive(), objects=objects)


def test_a_study_is_delivered_when_the_web_node_finds_what_it_was_sent(bench: Bench) -> None:
    with taking(bench.archive):
        bench.deliver()
        before = (bench.states, bench.study)
        assert bench.prove() == 2

    assert before == ({DeliveryState.SENT}, StudyState.READY)
    assert (bench.states, bench.study) == ({DeliveryState.ACCEPTED}, StudyState.DELIVERED)
    assert actions(bench.database)[-3:] == [("prove", "proved"), ("prove", "proved"), ("finish", "DELIVERED")]
    assert [len(request) for request in bench.archive.requests] == [2]


@one_database
def test_a_web_node_that_forgets_gets_everything_again_with_the_same_bytes(bench: Bench) -> None:
    bench.archive.forgets = True
    with taking(bench.archive):
        bench.deliver()
        bench.prove()
        waiting = bench.states
        bench.prove(after=WITHIN)
        lost = bench.states
        bench.archive.forgets = False
        assert bench.deliver(after=5) == 2
        bench.prove()

    assert (waiting, lost) == ({DeliveryState.SENT}, {DeliveryState.PENDING})
    assert bench.archive.requests[0] == bench.archive.requests[1]
    assert bench.study is StudyState.DELIVERED


@one_database
def test_a_web_node_that_takes_no_queries_keeps_the_study_open_and_gets_nothing_twice(bench: Bench) -> None:
    bench.archive.query_status = 404
    with taking(bench.archive):
        bench.deliver()
        bench.prove(after=WITHIN)
        waiting = bench.rows["report"]
        bench.prove(after=RETRY.give_up_after.total_seconds())

    assert waiting.state is DeliveryState.SENT
    assert "answered QIDO-RS with 404" in str(waiting.detail)
    assert bench.states == {DeliveryState.FAILED}
    assert len(bench.archive.requests) == 1


@one_database
def test_only_what_a_web_node_did_not_take_is_sent_again(bench: Bench) -> None:
    bench.proof = "none"
    bench.archive.reasons = lambda item: 0xA700 if item.SOPClassUID == Comprehensive3DSRStorage else None
    with taking(bench.archive):
        bench.deliver()
        half = {kind: item.state for kind, item in bench.rows.items()}
        bench.archive.reasons = lambda _item: None
        bench.deliver(after=5)

    report, capture = bench.rows["report"].object, bench.rows["capture"].object
    assert half == {"capture": DeliveryState.ACCEPTED, "report": DeliveryState.PENDING}
    assert bench.archive.instances == [
        *(item.sop_instance_uid for item in (capture, report)),
        report.sop_instance_uid,
    ]
    assert bench.archive.requests[0][1] == bench.archive.requests[1][0]
    assert bench.study is StudyState.DELIVERED


@one_database
def test_a_web_node_that_lets_nobody_in_or_is_busy_is_waited_for_as_long_as_it_asks(bench: Bench) -> None:
    bench.archive.statuses, bench.archive.headers = [503], {"Retry-After": "600"}
    with taking(bench.archive):
        bench.deliver()
        asked, busy = bench.clock(), bench.rows["report"]
        assert bench.deliver(after=599) == 0
        bench.archive.statuses = [401]
        bench.deliver(after=1)
        locked = bench.rows["report"]
        bench.archive.headers = {}
        bench.deliver(after=30)

    assert busy.next_attempt_at == asked + timedelta(minutes=10)
    assert (busy.state, locked.state) == (DeliveryState.PENDING, DeliveryState.PENDING)
    assert "answered STOW-RS with 503" in str(busy.detail)
    assert "401: it does not accept" in str(locked.detail)
    assert bench.states == {DeliveryState.SENT}
    assert len(bench.archive.requests) == 1


@one_database
@pytest.mark.parametrize("associations", [1, 2])
def test_nothing_shortens_the_hour_for_which_a_web_node_asks(bench: Bench, associations: int) -> None:
    bench.archive.statuses, bench.archive.headers = [503], {"Retry-After": "3600"}
    bench.retry = replace(RETRY, associations=associations)
    with taking(bench.archive):
        bench.deliver()
        assert [bench.deliver(after=0.1) for _ in range(5)] == [0] * 5
        read_study(bench.store, Ledger(bench.database), bench.clock, study=f"{STUDY}.2")
        tried = [bench.deliver(after=1) for _ in range(2)]
        early = len(bench.archive.instances)
        bench.archive.headers = {}
        bench.deliver(after=3600)

    assert tried[0] > 0
    assert early == 0
    assert bench.states == {DeliveryState.SENT}


@one_database
def test_what_a_web_node_names_among_the_failed_is_not_accepted_whatever_the_reason(bench: Bench) -> None:
    bench.archive.reasons = lambda _instance: 0
    with taking(bench.archive):
        bench.deliver()

    assert bench.states == {DeliveryState.PENDING}
    assert "409 0x0110" in str(bench.rows["report"].detail)


@one_database
def test_a_question_that_fails_takes_no_proof_from_the_others(bench: Bench) -> None:
    bench.archive.fails_to_find = {item.sop_instance_uid for item in bench.objects if item.kind == "capture"}
    with taking(bench.archive):
        bench.deliver()
        bench.prove()

    proved, asked = bench.rows["report"], bench.rows["capture"]
    assert (proved.state, asked.state) == (DeliveryState.ACCEPTED, DeliveryState.SENT)
    assert "answered QIDO-RS with 500" in str(asked.detail)


@one_database
def test_what_a_web_node_answers_to_a_question_too_is_to_be_left_alone_for_as_long_as_it_says(bench: Bench) -> None:
    with taking(bench.archive):
        bench.deliver()
        bench.archive.query_status, bench.archive.headers = 503, {"Retry-After": "600"}
        bench.prove()
        asked = len(bench.archive.queries)
        bench.archive.query_status = 200
        assert bench.prove(after=598) == 0
        bench.prove(after=2)

    assert asked == 1
    assert bench.states == {DeliveryState.ACCEPTED}


@one_database
def test_a_web_node_without_the_service_is_given_up_at_once_with_the_reason(bench: Bench) -> None:
    bench.archive.statuses = [404]
    with taking(bench.archive):
        bench.deliver()

    assert bench.states == {DeliveryState.FAILED}
    assert "url has to name its base" in str(bench.rows["report"].detail)


@one_database
def test_the_class_that_a_web_node_takes_is_remembered_and_proved_under_its_own_uid(bench: Bench) -> None:
    bench.archive.reasons = lambda item: 0x0122 if item.SOPClassUID == Comprehensive3DSRStorage else None
    with taking(bench.archive):
        bench.deliver()
        bench.prove()
        with bench.database.read() as connection:
            remembered = {form.kind: form.sop_class_uid for form in negotiated(connection, "archive")}

    report = bench.rows["report"]
    assert remembered["report"] == ComprehensiveSRStorage
    assert report.delivered_as is not None
    assert report.delivered_as.sop_instance_uid != report.object.sop_instance_uid
    assert any(f"SOPInstanceUID={report.delivered_as.sop_instance_uid}" in query for query in bench.archive.queries)
    assert bench.study is StudyState.DELIVERED

"""Each node gets the report and the capture in the best form that it takes; which one is remembered and told."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier

import pytest
from pacs_ai_storage.audit import AuditFilter, query
from pacs_ai_storage.database import Database
from pacs_ai_storage.instances import InstanceStore
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.negotiations import negotiated
from pacs_ai_storage.outbox import Outbox
from pacs_ai_storage.records import AuditEvent, DeliveredForm, Delivery, DeliveryState, ResultObject, StudyState
from pydicom.uid import (
    UID,
    BasicTextSRStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    SecondaryCaptureImageStorage,
)
from pynetdicom.presentation import PresentationContext, build_context

from pacs_ai.delivery import RetryPolicy
from pacs_ai.dimse.sender import Sender
from pacs_ai.process import deliver_results
from pacs_ai.results.ladder import RUNGS, lower_uid
from pacs_ai.settings import Node
from tests.fakes import Clock
from tests.unit.making import make_film, make_header, make_results
from tests.unit.peers import dump_report, validation_errors

from .peers import Archive, listening, storescp
from .studies import arrived, claim, kept_object, read_as_positive, seen

RETRY = RetryPolicy(first=timedelta(seconds=5), longest=timedelta(seconds=30), give_up_after=timedelta(hours=1))
LOSSY = {
    "LossyImageCompression": "01",
    "LossyImageCompressionRatio": "9.5",
    "LossyImageCompressionMethod": "ISO_15444_1",
}
Deliver = Callable[[Node], int]


@pytest.fixture
def store(tmp_path: Path) -> InstanceStore:
    return InstanceStore(tmp_path / "instances")


@pytest.fixture
def queue(store: InstanceStore, database: Database, clock: Clock) -> Callable[..., list[ResultObject]]:
    """Capture and report of a study of one lossy film, in the outbox for the archive."""

    def queued(number: int = 1) -> list[ResultObject]:
        film = make_film(StudyInstanceUID=f"1.2.3.{number}", **LOSSY)
        built = zip(("capture", "report"), make_results(make_header(film)), strict=True)
        objects = [kept_object(dataset, kind, store) for kind, dataset in built]
        ledger = Ledger(database)
        ledger.record(arrived(study=film.StudyInstanceUID, at=clock()))
        claimed = claim(ledger, clock.pass_by(2))
        ledger.keep_results(claimed, read_as_positive(claimed, *objects), ["archive"], clock())
        return objects

    return queued


@pytest.fixture
def deliver(store: InstanceStore, database: Database, clock: Clock) -> Deliver:
    def once(node: Node) -> int:
        return deliver_results(node, Outbox(database), store, Sender("PACS_AI"), RETRY, clock)

    return once


def taking(*sop_classes: UID, capture_in: UID = JPEGBaseline8Bit) -> list[PresentationContext]:
    return [
        *(build_context(sop_class, ExplicitVRLittleEndian) for sop_class in sop_classes),
        build_context(SecondaryCaptureImageStorage, capture_in),
    ]


def rows(database: Database, study: str = "1.2.3.1") -> dict[str, Delivery]:
    return {item.object.kind: item for item in seen(database, study).deliveries}


def events(database: Database, action: str) -> list[AuditEvent]:
    with database.read() as connection:
        return query(connection, AuditFilter(action=action))


def remembered(database: Database) -> dict[str, tuple[str, str]]:
    with database.read() as connection:
        found = negotiated(connection, "archive")
    return {item.kind: (item.sop_class_uid, item.transfer_syntax_uid) for item in found}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("highest", range(4), ids=lambda number: RUNGS[number].keyword)
def test_the_report_goes_out_in_the_highest_class_that_the_node_takes(
    highest: int, queue: Callable[..., list[ResultObject]], deliver: Deliver, database: Database
) -> None:
    _, report = queue()
    rung = RUNGS[highest]

    with listening(Archive(), contexts=taking(*RUNGS[highest:])) as archive:
        assert deliver(archive.node) == 2

    uid = report.sop_instance_uid if highest == 0 else lower_uid(report.sop_instance_uid, rung)
    delivered = rows(database)["report"]
    assert archive.of_class(rung) == [uid]
    assert len(archive.received) == 2
    assert delivered.delivered_as is not None
    assert (delivered.delivered_as.sop_class_uid, delivered.delivered_as.sop_instance_uid) == (rung, uid)
    assert remembered(database)["report"] == (rung, ExplicitVRLittleEndian)
    assert seen(database, "1.2.3.1").study.state is StudyState.DELIVERED


def test_the_audit_log_says_under_which_class_and_uid_the_node_has_the_report(
    queue: Callable[..., list[ResultObject]], deliver: Deliver, database: Database
) -> None:
    _, report = queue()

    with listening(Archive(), contexts=taking(BasicTextSRStorage)) as archive:
        deliver(archive.node)

    (event,) = [event for event in events(database, "deliver") if event.sop_instance_uid == report.sop_instance_uid]
    uid = lower_uid(report.sop_instance_uid, BasicTextSRStorage)
    assert (event.outcome, event.detail) == ("accepted", f"0x0000 as Basic Text SR, SOP Instance UID {uid}")


def test_what_a_node_takes_is_told_once_and_again_when_it_changes(
    queue: Callable[..., list[ResultObject]], deliver: Deliver, database: Database
) -> None:
    archive = Archive()
    for number, classes in enumerate(((EnhancedSRStorage,), (EnhancedSRStorage,), RUNGS), 1):
        queue(number)
        with listening(archive, contexts=taking(*classes)):
            assert deliver(archive.node) == 2

    capture = "capture: Secondary Capture Image Storage, JPEG Baseline (Process 1)"
    enhanced, highest = (f"{rung.name}, Explicit VR Little Endian" for rung in (EnhancedSRStorage, RUNGS[0]))
    assert [(event.actor, event.outcome, event.detail) for event in events(database, "negotiate")] == [
        ("archive", "decided", capture),
        ("archive", "decided", f"report: {enhanced}"),
        ("archive", "changed", f"report: {highest}; before: {enhanced}"),
    ]
    assert remembered(database)["report"] == (Comprehensive3DSRStorage, ExplicitVRLittleEndian)


def test_each_try_sends_the_same_bytes_in_a_lower_class_too(
    queue: Callable[..., list[ResultObject]], deliver: Deliver, clock: Clock
) -> None:
    queue()
    archive = Archive(answers=lambda _event, number: 0xA700 if number < 2 else 0x0000)

    with listening(archive, contexts=taking(BasicTextSRStorage, capture_in=ExplicitVRLittleEndian)):
        deliver(archive.node)
        clock.pass_by(5)
        deliver(archive.node)

    assert len(archive.received) == 4
    assert archive.received[:2] == archive.received[2:]


def test_a_node_that_takes_no_class_of_the_ladder_is_told_in_words_and_not_tried_again(
    queue: Callable[..., list[ResultObject]], deliver: Deliver, database: Database
) -> None:
    queue()

    with listening(Archive(), contexts=taking()) as archive:
        deliver(archive.node)
        assert deliver(archive.node) == 0

    report = rows(database)["report"]
    assert (report.state, report.delivered_as) == (DeliveryState.FAILED, None)
    assert str(report.detail).endswith("was not accepted, nor was any other form of it")
    assert "report" not in remembered(database)


def test_a_node_that_refuses_3d_reports_in_its_answer_gets_the_next_class(
    queue: Callable[..., list[ResultObject]], deliver: Deliver, database: Database
) -> None:
    queue()
    archive = Archive(
        answers=lambda event, _: 0x0122 if event.request.AffectedSOPClassUID == Comprehensive3DSRStorage else 0x0000
    )

    with listening(archive, contexts=taking(*RUNGS)):
        deliver(archive.node)

    assert remembered(database)["report"] == (ComprehensiveSRStorage, ExplicitVRLittleEndian)


def test_deliveries_at_the_same_moment_tell_of_a_node_once(
    queue: Callable[..., list[ResultObject]], database: Database, clock: Clock
) -> None:
    for number in range(1, 5):
        queue(number)
    outbox, together = Outbox(database), Barrier(4)
    reports = [delivery for delivery in outbox.due("archive", clock()) if delivery.object.kind == "report"]
    form = DeliveredForm(
        name="Enhanced SR Storage", sop_class_uid="1.2", sop_instance_uid="1.3", transfer_syntax_uid="1.4"
    )

    def accept(delivery: Delivery) -> None:
        together.wait()
        outbox.accept(delivery, clock(), "0x0000", form=form)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(accept, reports))

    assert [(event.outcome, event.detail) for event in events(database, "negotiate")] == [
        ("decided", "report: Enhanced SR Storage")
    ]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_uid_under_which_the_node_has_the_report_is_shown_with_the_study(
    queue: Callable[..., list[ResultObject]], deliver: Deliver, database_url: str, tmp_path: Path
) -> None:
    _, report = queue()
    uid = str(lower_uid(report.sop_instance_uid, BasicTextSRStorage))
    with listening(Archive(), contexts=taking(BasicTextSRStorage)) as archive:
        deliver(archive.node)

    def shown(*words: str) -> str:
        line = [Path(sys.executable).with_name("pacs-ai"), *words]
        environment = os.environ | {"PACS_AI_AUDIT__URL": database_url}
        return subprocess.run(line, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    (study,) = map(json.loads, shown("studies", "show", "1.2.3.1", "--json").splitlines())
    delivered = {item["kind"]: item["delivered_as"] for item in study["deliveries"]}
    assert delivered["report"] == {
        "name": "Basic Text SR Storage, Explicit VR Little Endian",
        "sop_class_uid": BasicTextSRStorage,
        "sop_instance_uid": uid,
        "transfer_syntax_uid": ExplicitVRLittleEndian,
    }
    assert f"as Basic Text SR, SOP Instance UID {uid}" in shown("audit", "query", "--text", uid)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("rung", RUNGS, ids=lambda rung: rung.keyword)
def test_dcmtk_keeps_a_valid_report_of_the_one_class_that_it_takes(
    rung: UID, queue: Callable[..., list[ResultObject]], deliver: Deliver, database: Database, tmp_path: Path
) -> None:
    queue()

    accepted = ((rung, ExplicitVRLittleEndian), (SecondaryCaptureImageStorage, JPEGBaseline8Bit))
    with storescp(tmp_path, *accepted) as (node, received):
        assert deliver(node) == 2
        kept = {item.SOPClassUID: item for item in received()}

    assert kept.keys() == {rung, SecondaryCaptureImageStorage}
    assert validation_errors(kept[rung], tmp_path) == []
    assert dump_report(kept[rung], tmp_path).returncode == 0
    assert kept[SecondaryCaptureImageStorage].file_meta.TransferSyntaxUID == JPEGBaseline8Bit
    delivered = rows(database)["report"].delivered_as
    assert delivered is not None
    assert delivered.sop_instance_uid == kept[rung].SOPInstanceUID


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("syntax", "photometric"),
    [(JPEGBaseline8Bit, "YBR_FULL_422"), (ExplicitVRLittleEndian, "RGB")],
    ids=["jpeg", "uncompressed"],
)
def test_a_capture_of_a_lossy_film_says_both_losses_in_either_syntax(
    syntax: UID,
    photometric: str,
    queue: Callable[..., list[ResultObject]],
    deliver: Deliver,
    database: Database,
    tmp_path: Path,
) -> None:
    capture, _ = queue()

    accepted = ((Comprehensive3DSRStorage, ExplicitVRLittleEndian), (SecondaryCaptureImageStorage, syntax))
    with storescp(tmp_path, *accepted) as (node, received):
        deliver(node)
        (kept,) = [item for item in received() if item.SOPClassUID == SecondaryCaptureImageStorage]

    assert (kept.file_meta.TransferSyntaxUID, kept.PhotometricInterpretation) == (syntax, photometric)
    assert kept.LossyImageCompression == "01"
    assert (len(kept.LossyImageCompressionRatio), kept.LossyImageCompressionRatio[0]) == (2, 9.5)
    assert list(kept.LossyImageCompressionMethod) == ["ISO_15444_1", "ISO_10918_1"]
    assert kept.SOPInstanceUID == capture.sop_instance_uid
    assert validation_errors(kept, tmp_path) == []
    assert remembered(database)["capture"] == (SecondaryCaptureImageStorage, syntax)

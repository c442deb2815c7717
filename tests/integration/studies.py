"""Studies for the ledger without a network: instances, results, and a study brought to a state."""

import hashlib
from datetime import UTC, datetime, timedelta

from pacs_ai_storage.audit import trail
from pacs_ai_storage.claims import ClaimTerms
from pacs_ai_storage.database import Database
from pacs_ai_storage.instances import InstanceStore
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.outbox import Outbox
from pacs_ai_storage.records import (
    ClaimedStudy,
    InstanceOutcome,
    KeptFile,
    ResultObject,
    StoredInstance,
    StudyResult,
    StudyState,
)
from pacs_ai_storage.views import StudyView, show_study
from pydicom.dataset import Dataset
from pydicom.uid import (
    Comprehensive3DSRStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from tests.builders import part10
from tests.fakes import Clock
from tests.unit.making import make_film, make_header, make_results

STUDY = "1.2.826.0.1.3680043.8.498.7"
AT = datetime(2026, 1, 5, 10, 30, tzinfo=UTC)
STABLE = AT + timedelta(seconds=2)
TERMS = ClaimTerms(owner="here", stable_after=timedelta(seconds=2), lease=timedelta(seconds=60))


def kept(content: bytes) -> KeptFile:
    sha256 = hashlib.sha256(content).hexdigest()
    return KeptFile(path=f"{sha256[:2]}/{sha256}.dcm", size=len(content), sha256=sha256)


def arrived(number: int = 1, *, study: str = STUDY, content: bytes | None = None, at: datetime = AT) -> StoredInstance:
    sop_instance_uid = f"{study}.1.{number}"
    return StoredInstance(
        sop_instance_uid=sop_instance_uid,
        sop_class_uid=DigitalXRayImageStorageForPresentation,
        study_instance_uid=study,
        series_instance_uid=f"{study}.1",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        accession_number="ACC0001",
        calling_ae_title="MODALITY",
        received_at=at,
        file=kept(content or sop_instance_uid.encode()),
    )


def capture(number: int = 1, *, study: str = STUDY, file: KeptFile | None = None) -> ResultObject:
    sop_instance_uid = f"{study}.2.{number}"
    return ResultObject(
        kind="capture",
        sop_instance_uid=sop_instance_uid,
        sop_class_uid=SecondaryCaptureImageStorage,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        source_sop_instance_uid=f"{study}.1.{number}",
        file=file or kept(sop_instance_uid.encode()),
    )


def report(revision: int = 1, *, study: str = STUDY, file: KeptFile | None = None) -> ResultObject:
    sop_instance_uid = f"{study}.3.{revision}"
    return ResultObject(
        kind="report",
        sop_instance_uid=sop_instance_uid,
        sop_class_uid=Comprehensive3DSRStorage,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        source_sop_instance_uid=None,
        file=file or kept(sop_instance_uid.encode()),
    )


def read_as_positive(claimed: ClaimedStudy, *objects: ResultObject) -> StudyResult:
    return StudyResult(
        outcome="positive",
        probability=0.93,
        priority="HIGH",
        priority_reasons=("pneumonia positive, 93.0%", "not analysed: NOT_FRONTAL"),
        outcomes=tuple(
            InstanceOutcome(
                sop_instance_uid=instance.sop_instance_uid,
                outcome="positive",
                probability=0.93,
                threshold=0.41,
                model_name="tiny",
                model_version="0.0.1",
                model_sha256="0123456789abcdef" * 4,
            )
            for instance in claimed.instances
        ),
        objects=objects,
    )


def declined(claimed: ClaimedStudy) -> StudyResult:
    return StudyResult(
        outcome="not_analysed",
        probability=None,
        priority="ROUTINE",
        priority_reasons=("not analysed: NOT_CHEST",),
        outcomes=tuple(
            InstanceOutcome(
                sop_instance_uid=instance.sop_instance_uid,
                outcome="not_analysed",
                reason="NOT_CHEST",
                detail="The body part is HAND.",
            )
            for instance in claimed.instances
        ),
        objects=(),
    )


def claim(ledger: Ledger, at: datetime = STABLE, terms: ClaimTerms = TERMS) -> ClaimedStudy:
    claimed = ledger.claim_stable(at, terms)
    assert claimed is not None
    return claimed


def bring_to(state: StudyState, database: Database, *, nodes: tuple[str, ...] = ("pacs",)) -> None:
    """The study of instance 1 stands in this state."""
    ledger = Ledger(database)
    ledger.record(arrived(1))
    if state is StudyState.RECEIVING:
        return
    claimed = claim(ledger)
    if state is StudyState.FAILED:
        ledger.fail(claimed, "ValueError", STABLE)
    if state is StudyState.DECLINED:
        ledger.keep_results(claimed, declined(claimed), nodes, STABLE)
    if state in {StudyState.READY, StudyState.DELIVERED}:
        ledger.keep_results(claimed, read_as_positive(claimed, capture(1), report(1)), nodes, STABLE)
    if state is StudyState.DELIVERED:
        deliver_all(database, nodes)


def deliver_all(database: Database, nodes: tuple[str, ...] = ("pacs",), at: datetime = STABLE) -> None:
    """Each node has accepted everything that was due to it."""
    outbox = Outbox(database)
    for node in nodes:
        for delivery in outbox.due(node, at):
            outbox.accept(delivery, at, "0x0000")


def seen(database: Database, study: str = STUDY) -> StudyView:
    with database.read() as connection:
        view = show_study(connection, study)
    assert view is not None
    return view


def actions(database: Database, study: str = STUDY) -> list[tuple[str, str | None]]:
    with database.read() as connection:
        return [(event.action, event.outcome) for event in trail(connection, study)]


def kept_object(dataset: Dataset, kind: str, store: InstanceStore) -> ResultObject:
    """The data set as a result that waits to be sent."""
    return ResultObject(
        kind=kind,
        sop_instance_uid=dataset.SOPInstanceUID,
        sop_class_uid=dataset.SOPClassUID,
        transfer_syntax_uid=dataset.file_meta.TransferSyntaxUID,
        source_sop_instance_uid=None,
        file=store.keep([part10(dataset)]),
    )


def read_study(store: InstanceStore, ledger: Ledger, clock: Clock, *, study: str = STUDY) -> list[ResultObject]:
    """A study is READY, with a capture and a report as they are built, both for the node "archive"."""
    header = make_header(make_film(StudyInstanceUID=study, SOPInstanceUID=f"{study}.1.1"))
    made = zip(("capture", "report"), make_results(header), strict=True)
    objects = [kept_object(dataset, kind, store) for kind, dataset in made]
    ledger.record(arrived(study=study, at=clock()))
    claimed = claim(ledger, clock.pass_by(2))
    ledger.keep_results(claimed, read_as_positive(claimed, *objects), ["archive"], clock())
    return objects

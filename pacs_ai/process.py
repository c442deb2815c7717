"""The way of a study, on one page: from kept instances to a report and captures, and from the outbox to a node."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from io import BytesIO
from time import perf_counter
from typing import Protocol, TypeVar

from pacs_ai_storage.instances import InstanceStore
from pacs_ai_storage.outbox import Outbox
from pacs_ai_storage.records import ClaimedStudy, Delivery, InstanceOutcome, ResultObject, Setup, StudyResult
from pydicom.dataset import Dataset

from .delivery import RetryPolicy, by_study, parcel_of, settle, settle_association, wait_for_node
from .errors import PeerRefused, PeerUnreachable
from .findings import Classification, Classifier, Outcome, Priority, Refusal
from .header import text
from .imaging.film import Film
from .imaging.gate import is_radiograph
from .judging import JudgedInstance, Stopwatch, judge
from .kept import kept_header
from .opening import InstanceFile, OpeningTerms
from .parcels import Parcel, SendOutcome
from .provenance import evidence_text
from .results.capture import HeatMapPolicy, build_capture
from .results.facts import Author, Edition, ReadImage, RefusedImage
from .results.repair import Repair
from .results.report import build_report
from .results.source import naming, repairs
from .settings import Node, WebNode
from .worklist import PriorityPolicy, StudyOutcome, prioritise, summarise


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """All that reading takes; built once."""

    classifier: Classifier
    author: Author
    opening: OpeningTerms
    priority: PriorityPolicy
    heat_map: HeatMapPolicy
    setup: Setup
    reports_refusals: bool = True
    stopwatch: Stopwatch = perf_counter


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceReading:
    """What became of one instance: a classification or a refusal, and what results do not carry as it has it.

    `setup_sha256` and `evidence` say with what and by what it was read; without them where it could not be opened.
    """

    file: InstanceFile
    classification: Classification | None = None
    refusal: Refusal | None = None
    repairs: tuple[Repair, ...] = ()
    setup_sha256: str | None = None
    evidence: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltObject:
    """A result as the bytes of its file; `source_sop_instance_uid` is the image of a capture."""

    kind: str
    dataset: Dataset
    source_sop_instance_uid: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyReading:
    """What reading a study came to."""

    readings: tuple[InstanceReading, ...]
    outcome: StudyOutcome
    priority: Priority
    objects: tuple[BuiltObject, ...]


def read_study(
    files: Sequence[InstanceFile], reader: Reader, edition: Edition, *, before: Sequence[Classification] = ()
) -> StudyReading:
    """Each instance is classified or refused; each classified one has a capture, and the study one report.

    `before` is what was said of images that are no longer kept: it counts for the study's outcome and priority.
    The report answers for every radiograph, refused ones too; other objects are in the audit log alone.
    """
    judged = judge(files, reader.classifier, reader.opening, reader.stopwatch)
    # What the network has not learned gets no probability: its refusal is all that goes on from here.
    images = [(item.opened.file, image) for item in judged if (image := _read_image(item))]
    refused = [(item.opened, item.refusal) for item in judged if item.refusal is not None]
    unread = [
        RefusedImage(header=item.header, refusal=refusal)
        for item, refusal in refused
        if item.header is not None and is_radiograph(item.header)
    ]
    is_reported = images or (unread and reader.reports_refusals)
    headers = [image.header for _, image in images] + [image.header for image in unread]
    named = naming(headers) if is_reported else None
    begun = reader.stopwatch()
    objects = _build(images, unread, reader, edition)
    seconds = reader.stopwatch() - begun
    outcome = summarise([*before, *(image.reading.classification for _, image in images)])
    read_first = sorted(judged, key=lambda item: item.refusal is not None)
    return StudyReading(
        readings=tuple(_reading(item, named, reader.setup, seconds) for item in read_first),
        outcome=outcome,
        priority=prioritise(outcome, [refusal for _, refusal in refused], reader.priority),
        objects=objects,
    )


def _reading(item: JudgedInstance, named: Dataset | None, setup: Setup, results_seconds: float) -> InstanceReading:
    return InstanceReading(
        file=item.opened.file,
        classification=None if item.refusal or item.reading is None else item.reading.classification,
        refusal=item.refusal,
        repairs=_repairs(item, named),
        setup_sha256=setup.sha256,
        evidence=evidence_text(item, results_seconds=results_seconds),
    )


def _read_image(item: JudgedInstance) -> ReadImage | None:
    header, film = item.opened.header, item.opened.found
    if header is None or not isinstance(film, Film) or item.reading is None or item.refusal is not None:
        return None
    return ReadImage(header=header, reading=item.reading, display=film.display)


def _repairs(item: JudgedInstance, named: Dataset | None) -> tuple[Repair, ...]:
    """Of the headers that results take over: those of read images, and the one that names a report of refusals."""
    header = item.opened.header
    is_taken_over = header is not None and (item.refusal is None or header is named)
    return repairs(header) if header is not None and is_taken_over else ()


def _build(
    images: Sequence[tuple[InstanceFile, ReadImage]],
    refused: Sequence[RefusedImage],
    reader: Reader,
    edition: Edition,
) -> tuple[BuiltObject, ...]:
    if not images and not (refused and reader.reports_refusals):
        return ()
    captures = [
        build_capture(image, reader.author, reader.heat_map, file.when, rerun=edition.rerun) for file, image in images
    ]
    pairs = [(image, capture) for (_, image), capture in zip(images, captures, strict=True)]
    report = build_report(pairs, reader.author, edition, refused=refused)
    return (
        *(
            BuiltObject(kind="capture", dataset=capture, source_sop_instance_uid=text(image.header, "SOPInstanceUID"))
            for image, capture in pairs
        ),
        BuiltObject(kind="report", dataset=report, source_sop_instance_uid=None),
    )


def read_claimed(claimed: ClaimedStudy, reader: Reader, store: InstanceStore) -> StudyResult:
    """The study is read and its objects are kept, ready for the ledger. Running it again gives the same bytes."""
    files = [
        InstanceFile(
            path=store.locate(instance.file),
            sop_instance_uid=instance.sop_instance_uid,
            when=instance.received_at.astimezone(),
        )
        for instance in claimed.instances
    ]
    edition = Edition(
        revision=claimed.revision,
        when=claimed.touched_at.astimezone(),
        rerun=claimed.rerun,
        predecessor=None if claimed.previous_report is None else kept_header(claimed.previous_report, store),
        not_kept=_not_kept(claimed.read_before),
    )
    reading = read_study(files, reader, edition, before=_classifications(claimed.read_before))
    return StudyResult(
        outcome=reading.outcome.outcome,
        probability=reading.outcome.probability,
        priority=reading.priority.level,
        priority_reasons=reading.priority.reasons,
        outcomes=tuple(outcome_of(item, reader.author) for item in reading.readings),
        objects=tuple(_keep(item, store) for item in reading.objects),
    )


def _classifications(said: Sequence[InstanceOutcome]) -> list[Classification]:
    return [
        Classification(probability=item.probability, threshold=item.threshold)
        for item in said
        if item.probability is not None and item.threshold is not None
    ]


def _not_kept(said: Sequence[InstanceOutcome]) -> str | None:
    """LO of 64 characters at most; None where everything is kept."""
    if not said:
        return None
    before = summarise(_classifications(said))
    words = "not analysed" if before.probability is None else f"{before.outcome}, {before.probability:.1%}"
    return f"{len(said)} image(s) read before, not kept any more: {words}"


def outcome_of(item: InstanceReading, author: Author) -> InstanceOutcome:
    """What the ledger and the command line say of one instance."""
    if item.classification is None:
        assert item.refusal is not None
        return InstanceOutcome(
            sop_instance_uid=item.file.sop_instance_uid,
            outcome=Outcome.NOT_ANALYSED,
            reason=item.refusal.reason,
            detail=item.refusal.detail,
            repairs=tuple(map(str, item.repairs)),
            setup_sha256=item.setup_sha256,
            evidence=item.evidence,
        )
    return InstanceOutcome(
        sop_instance_uid=item.file.sop_instance_uid,
        outcome=item.classification.outcome,
        probability=item.classification.probability,
        threshold=item.classification.threshold,
        model_name=author.model.name,
        model_version=author.model.version,
        model_sha256=author.model.sha256,
        repairs=tuple(map(str, item.repairs)),
        setup_sha256=item.setup_sha256,
        evidence=item.evidence,
    )


def _keep(item: BuiltObject, store: InstanceStore) -> ResultObject:
    return ResultObject(
        kind=item.kind,
        sop_instance_uid=item.dataset.SOPInstanceUID,
        sop_class_uid=item.dataset.SOPClassUID,
        transfer_syntax_uid=item.dataset.file_meta.TransferSyntaxUID,
        source_sop_instance_uid=item.source_sop_instance_uid,
        file=store.keep([encode(item.dataset)]),
    )


def encode(dataset: Dataset) -> bytes:
    """The data set as a Part 10 file (PS3.10 7)."""
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


NodeKind_contra = TypeVar("NodeKind_contra", Node, WebNode, contravariant=True)


class SendsTo(Protocol[NodeKind_contra]):
    """Our side towards one kind of node: C-STORE or STOW-RS."""

    def send(self, node: NodeKind_contra, parcels: Sequence[Parcel]) -> Iterator[SendOutcome]:
        """One outcome for each parcel, in their order; PeerUnreachable when the node takes nothing, for now or ever."""


def deliver_results(
    node: NodeKind_contra,
    outbox: Outbox,
    store: InstanceStore,
    sender: SendsTo[NodeKind_contra],
    retry: RetryPolicy,
    now: Callable[[], datetime],
) -> int:
    """What is due to the node was tried once, each instance with its own outcome; returns how many.

    The studies are shared out over a few associations: a PACS syncs each instance to its disk before it answers.
    """
    due = outbox.due(node.name, now(), farthest=retry.farthest)
    shares = by_study(due, retry.associations)
    is_proof_asked = node.proof != "none"

    def deliver(share: Sequence[Delivery]) -> PeerUnreachable | None:
        parcels = [parcel_of(delivery, store) for delivery in share]
        try:
            for delivery, outcome in zip(share, sender.send(node, parcels), strict=True):
                retry.insist(partial(settle, delivery, outcome, outbox, retry, now(), is_proof_asked=is_proof_asked))
        except PeerUnreachable as error:
            return error
        return None

    with ThreadPoolExecutor(max(1, len(shares)), thread_name_prefix=f"deliver-{node.name}") as pool:
        errors = list(pool.map(deliver, shares))
    if errors and all(error is not None and not isinstance(error, PeerRefused) for error in errors):
        longest = max((error.retry_after for error in errors if error and error.retry_after), default=None)
        wait_for_node(node.name, str(errors[0]), outbox, retry, now(), at_least=longest)
    else:
        # A node that has no room for so many associations is not away.
        for share, error in zip(shares, errors, strict=True):
            settle_association(share, error, outbox, retry, now())
    return len(due)

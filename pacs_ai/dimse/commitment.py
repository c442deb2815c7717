"""Storage Commitment Push Model as SCU: a node is asked to keep instances, and says which it does (PS3.4 J.3)."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event

from pacs_ai_storage.database import LedgerUnavailable
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom.dimse_messages import N_EVENT_REPORT_RSP
from pynetdicom.presentation import build_context

from pacs_ai.answers import is_success_or_warning
from pacs_ai.errors import PeerUnreachable
from pacs_ai.header import PARSE_ERRORS, items, text
from pacs_ai.settings import Node

from .contexts import COMMITMENT
from .sender import Sender, understood

log = logging.getLogger(__name__)

PUSH_MODEL = COMMITMENT
PUSH_MODEL_INSTANCE = UID("1.2.840.10008.1.20.1.1")
REQUEST = 1
SUCCESS, FAILURES_EXIST = 1, 2
PROCESSING_FAILURE = 0x0110
INVALID_ARGUMENT = 0x0115
NO_SUCH_INSTANCE = 0x0112


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """An instance as it is referred to."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentReport:
    """What is kept, and what is not with the Failure Reason (0008,1197)."""

    transaction_uid: str
    kept: tuple[Reference, ...]
    failed: tuple[tuple[Reference, int], ...] = ()


OnReport = Callable[[CommitmentReport], None]


def ask_for_commitment(
    sender: Sender,
    node: Node,
    transaction_uid: str,
    references: Sequence[Reference],
    on_report: OnReport,
    *,
    linger: float,
) -> None:
    """The node has taken the request. Its report may come on this association within `linger` seconds, or later.

    Raises PeerUnreachable when the node did not take it, PeerRefused when it never will.
    """
    answered = Event()

    def note_sent(event: evt.Event) -> None:
        # Released any earlier, the association would end in the middle of our answer.
        if isinstance(event.message, N_EVENT_REPORT_RSP):
            answered.set()

    contexts = [build_context(PUSH_MODEL)]
    handlers: list[evt.EventHandlerType] = [
        (evt.EVT_N_EVENT_REPORT, on_n_event_report, [on_report]),
        (evt.EVT_DIMSE_SENT, note_sent),
    ]
    with sender.association(node, contexts, handlers=handlers) as association:
        asked = action_information(transaction_uid, references)
        with understood(node):
            status, _ = association.send_n_action(asked, REQUEST, PUSH_MODEL, PUSH_MODEL_INSTANCE)
        code = int(status.Status) if "Status" in status else None
        if code is None or not is_success_or_warning(code):
            said = "did not answer" if code is None else f"answered with 0x{code:04X}"
            message = f"{node.ae_title}@{node.host}:{node.port} {said} when asked for storage commitment"
            raise PeerUnreachable(message)
        answered.wait(linger)


def on_n_event_report(event: evt.Event, on_report: OnReport) -> tuple[int, Dataset | None]:
    """The report was heard; it is to be sent again where the ledger does not answer."""
    try:
        report = read_report(event.event_information)
    except PARSE_ERRORS:
        log.warning("a storage commitment report of %s cannot be read", event.assoc.requestor.address)
        return INVALID_ARGUMENT, None
    try:
        on_report(report)
    except LedgerUnavailable:
        log.exception("a storage commitment report could not be noted")
        return PROCESSING_FAILURE, None
    return 0x0000, None


def action_information(transaction_uid: str, references: Sequence[Reference]) -> Dataset:
    """PS3.4 Table J.3-1."""
    asked = Dataset()
    asked.TransactionUID = transaction_uid
    asked.ReferencedSOPSequence = [_item(reference) for reference in references]
    return asked


def event_information(report: CommitmentReport) -> Dataset:
    """PS3.4 Table J.3-2."""
    told = Dataset()
    told.TransactionUID = report.transaction_uid
    if report.kept:
        told.ReferencedSOPSequence = [_item(reference) for reference in report.kept]
    if report.failed:
        told.FailedSOPSequence = [_item(reference) for reference, _ in report.failed]
        for item, (_, reason) in zip(told.FailedSOPSequence, report.failed, strict=True):
            item.FailureReason = reason
    return told


def read_report(told: Dataset) -> CommitmentReport:
    """The same, read; a failure without reason is a processing failure."""
    return CommitmentReport(
        transaction_uid=read_uid(told, "TransactionUID"),
        kept=read_references(told, "ReferencedSOPSequence"),
        failed=tuple(
            (reference, _failure_reason(item))
            for item, reference in zip(
                items(told, "FailedSOPSequence"), read_references(told, "FailedSOPSequence"), strict=True
            )
        ),
    )


def read_references(dataset: Dataset, keyword: str) -> tuple[Reference, ...]:
    """The instances that a sequence refers to."""
    return tuple(
        Reference(
            sop_class_uid=read_uid(item, "ReferencedSOPClassUID"),
            sop_instance_uid=read_uid(item, "ReferencedSOPInstanceUID"),
        )
        for item in items(dataset, keyword)
    )


def read_uid(dataset: Dataset, keyword: str) -> str:
    """A UID as it is asked for in the ledger: no database looks for a null within one."""
    return text(dataset, keyword).replace("\0", "")


def _failure_reason(item: Dataset) -> int:
    found = text(item, "FailureReason")
    return (int(found) if found.isdecimal() else 0) or PROCESSING_FAILURE


def _item(reference: Reference) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = reference.sop_class_uid
    item.ReferencedSOPInstanceUID = reference.sop_instance_uid
    return item

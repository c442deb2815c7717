"""Storage Commitment Push Model as SCP: we say of what was pushed to us whether we keep it (PS3.4 J.3)."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event, Lock

from pacs_ai_storage.database import LedgerUnavailable
from pacs_ai_storage.instances import InstanceStore
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.proofs import Proofs
from pacs_ai_storage.records import AuditEvent, StoredInstance
from pydicom.dataset import Dataset
from pynetdicom import build_role, evt
from pynetdicom.association import Association
from pynetdicom.dimse_messages import N_ACTION_RSP
from pynetdicom.presentation import build_context

from pacs_ai.errors import PeerUnreachable
from pacs_ai.header import text
from pacs_ai.settings import Node

from .commitment import (
    FAILURES_EXIST,
    NO_SUCH_INSTANCE,
    PROCESSING_FAILURE,
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    REQUEST,
    SUCCESS,
    CommitmentReport,
    OnReport,
    Reference,
    event_information,
    on_n_event_report,
    read_references,
)
from .sender import Sender

log = logging.getLogger(__name__)

CLASS_INSTANCE_CONFLICT = 0x0119
_NO_SUCH_ACTION = 0x0123
_INVALID_ARGUMENT = 0x0115
_REPORTS_AT_ONCE = 4
_TIME_TO_RELEASE = 0.5
_TIME_TO_ANSWER = 10


@dataclass(slots=True, kw_only=True)
class CommitmentScp:
    """Answers each request, then reports: to the node of that AE title, or on the association of the request."""

    nodes: Sequence[Node]
    proofs: Proofs
    store: InstanceStore
    ledger: Ledger
    sender: Sender
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _asked: dict[int, list[CommitmentReport]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)
    _reporting: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(_REPORTS_AT_ONCE, thread_name_prefix="commitment")
    )

    def handlers(self, on_report: OnReport) -> list[evt.EventHandlerType]:
        """For the listener; `on_report` hears what nodes report of our own requests."""
        return [
            (evt.EVT_N_ACTION, self._on_n_action),
            (evt.EVT_DIMSE_SENT, self._on_sent),
            (evt.EVT_N_EVENT_REPORT, on_n_event_report, [on_report]),
        ]

    def stop(self) -> None:
        """Reports under way have ended."""
        self._reporting.shutdown()

    def _on_n_action(self, event: evt.Event) -> tuple[int, Dataset | None]:
        if event.action_type != REQUEST:
            return _NO_SUCH_ACTION, None
        asked = event.action_information
        transaction, references = text(asked, "TransactionUID"), read_references(asked, "ReferencedSOPSequence")
        if not transaction or not references:
            return _INVALID_ARGUMENT, None
        try:
            report = self.judge(transaction, references)
        except LedgerUnavailable:
            log.exception("a storage commitment request could not be answered")
            return PROCESSING_FAILURE, None
        with self._lock:
            self._asked.setdefault(id(event.assoc), []).append(report)
        return 0x0000, None

    def judge(self, transaction_uid: str, references: Sequence[Reference]) -> CommitmentReport:
        """Kept is what the ledger has and whose file is there with its size."""
        received = self.proofs.received([reference.sop_instance_uid for reference in references])
        judged = [(item, self._failure(item, received.get(item.sop_instance_uid))) for item in references]
        return CommitmentReport(
            transaction_uid=transaction_uid,
            kept=tuple(item for item, reason in judged if reason is None),
            failed=tuple((item, reason) for item, reason in judged if reason is not None),
        )

    def _failure(self, reference: Reference, instance: StoredInstance | None) -> int | None:
        if instance is None:
            return NO_SUCH_INSTANCE
        if instance.sop_class_uid != reference.sop_class_uid:
            return CLASS_INSTANCE_CONFLICT
        path = self.store.locate(instance.file)
        return None if path.is_file() and path.stat().st_size == instance.file.size else PROCESSING_FAILURE

    def _on_sent(self, event: evt.Event) -> None:
        # A report before the answer to the request would be taken for that answer.
        if not isinstance(event.message, N_ACTION_RSP):
            return
        with self._lock:
            reports = self._asked.pop(id(event.assoc), [])
        for report in reports:
            self._reporting.submit(self._report, event.assoc, report)

    def _report(self, association: Association, report: CommitmentReport) -> None:
        calling = str(association.requestor.ae_title).strip()
        try:
            how = self._tell(association, calling, report)
            self.ledger.note(self._event(calling, report, how))
        except LedgerUnavailable:
            log.exception("a storage commitment report could not be noted")

    def _tell(self, association: Association, calling: str, report: CommitmentReport) -> str:
        node = next((node for node in self.nodes if node.ae_title == calling), None)
        problem = "the association has ended and no node has this AE title"
        if node is not None:
            problem = self._tell_node(node, report)
            if not problem:
                return "reported to the node"
        # A report that crosses the peer's release would hold both until their time-out.
        Event().wait(_TIME_TO_RELEASE)
        if association.is_established:
            association.dimse_timeout = _TIME_TO_ANSWER
            if _send(association, report):
                return "reported on the same association"
        return f"not reported: {problem}"

    def _tell_node(self, node: Node, report: CommitmentReport) -> str:
        """Why the node has not heard the report; empty when it has."""
        role = build_role(PUSH_MODEL, scp_role=True)
        try:
            with self.sender.association(node, [build_context(PUSH_MODEL)], roles=[role]) as ours:
                return "" if _send(ours, report) else "the node did not take it"
        except PeerUnreachable as error:
            return str(error)

    def _event(self, calling: str, report: CommitmentReport, how: str) -> AuditEvent:
        log.info("storage commitment for %s: %d kept, %d not, %s", calling, len(report.kept), len(report.failed), how)
        return AuditEvent(
            at=self.now(),
            actor=calling,
            action="commit",
            outcome=f"{len(report.kept)} kept, {len(report.failed)} not",
            detail=f"transaction {report.transaction_uid}; {how}",
        )


def _send(association: Association, report: CommitmentReport) -> bool:
    """Whether the peer has heard the report."""
    kind = FAILURES_EXIST if report.failed else SUCCESS
    try:
        status, _ = association.send_n_event_report(event_information(report), kind, PUSH_MODEL, PUSH_MODEL_INSTANCE)
    except (RuntimeError, ValueError):  # released meanwhile, or a role that the peer did not accept
        return False
    return "Status" in status and int(status.Status) == 0x0000

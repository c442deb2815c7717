"""Storage Commitment Push Model as SCP: we say of what was pushed to us whether we keep it (PS3.4 J.3)."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from threading import Event, Lock
from weakref import WeakKeyDictionary

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

from pacs_ai.answers import is_success_or_warning
from pacs_ai.errors import PeerUnreachable
from pacs_ai.header import PARSE_ERRORS
from pacs_ai.settings import Node

from .commitment import (
    FAILURES_EXIST,
    INVALID_ARGUMENT,
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
    read_uid,
)
from .later import Later
from .sender import Sender
from .transport import WIRE_ERRORS

log = logging.getLogger(__name__)

CLASS_INSTANCE_CONFLICT = 0x0119
_NO_SUCH_ACTION = 0x0123
_RESOURCE_LIMITATION = 0x0213  # PS3.7 C.5.18
# Owed to a node, or to all that are none: references, and ten more for each report, so that it is some megabytes.
_MOST_OWED, _OF_EACH_REPORT = 100_000, 10
_REPORTS_AT_ONCE = 4  # to each node
_NO_NODE = ""
_TIME_TO_RELEASE = 0.5
_TIME_TO_ANSWER = 10


@dataclass(slots=True, kw_only=True)
class CommitmentScp:
    """Answers each request, then reports: to the node of that AE title, or on the association of the request.

    A node that could not be told is told again after each of `pauses`, in seconds, of what is kept by then.
    """

    nodes: Sequence[Node]
    proofs: Proofs
    store: InstanceStore
    ledger: Ledger
    sender: Sender
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    pauses: Sequence[float] = (10, 30, 90, 300, 900)
    _asked: WeakKeyDictionary[Association, list[CommitmentReport]] = field(default_factory=WeakKeyDictionary)
    _owed: Counter[str] = field(default_factory=Counter)
    _lock: Lock = field(default_factory=Lock)
    _turns: WeakKeyDictionary[Association, Lock] = field(default_factory=WeakKeyDictionary)
    _later: Later = field(default_factory=lambda: Later("commitment-later"))
    _reporting: dict[str, ThreadPoolExecutor] = field(init=False)

    def __post_init__(self) -> None:
        """A node that takes its time keeps nobody else from his reports; those who are no node share threads."""
        self._reporting = {
            title: ThreadPoolExecutor(_REPORTS_AT_ONCE, thread_name_prefix="commitment")
            for title in {_NO_NODE, *(node.ae_title for node in self.nodes)}
        }

    def handlers(self, on_report: OnReport) -> list[evt.EventHandlerType]:
        """For the listener; `on_report` hears what nodes report of our own requests."""
        return [
            (evt.EVT_N_ACTION, self._on_n_action),
            (evt.EVT_DIMSE_SENT, self._on_sent),
            (evt.EVT_N_EVENT_REPORT, on_n_event_report, [on_report]),
        ]

    def stop(self) -> None:
        """Reports under way have ended; those that wait are not made: the requester asks again."""
        self._later.stop()
        for reporting in self._reporting.values():
            reporting.shutdown(cancel_futures=True)

    def _on_n_action(self, event: evt.Event) -> tuple[int, Dataset | None]:
        if event.action_type != REQUEST:
            return _NO_SUCH_ACTION, None
        try:
            asked = event.action_information
            transaction, references = read_uid(asked, "TransactionUID"), read_references(asked, "ReferencedSOPSequence")
        except PARSE_ERRORS:
            log.warning("a storage commitment request of %s cannot be read", event.assoc.requestor.address)
            return INVALID_ARGUMENT, None
        if not transaction or not references:
            return INVALID_ARGUMENT, None
        calling = _calling(event)
        if self._owed[self._owed_to(calling)] > _MOST_OWED:
            log.warning("a storage commitment request of %s has to wait: too many reports are owed to it", calling)
            return _RESOURCE_LIMITATION, None
        try:
            report = self.judge(transaction, references)
        except LedgerUnavailable:
            log.exception("a storage commitment request could not be answered")
            return PROCESSING_FAILURE, None
        with self._lock:
            self._asked.setdefault(event.assoc, []).append(report)
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
        try:
            is_kept = self.store.locate(instance.file).stat().st_size == instance.file.size
        except OSError:  # gone, or of a disk that does not say
            is_kept = False
        return None if is_kept else PROCESSING_FAILURE

    def _on_sent(self, event: evt.Event) -> None:
        # A report before the answer to the request would be taken for that answer.
        if not isinstance(event.message, N_ACTION_RSP):
            return
        with self._lock:
            reports = self._asked.pop(event.assoc, [])
            calling = _calling(event)
            self._owed[self._owed_to(calling)] += sum(map(_weight, reports))
        for report in reports:
            self._hand_on(calling, partial(self._report, event.assoc, calling, report))

    def _owed_to(self, calling: str) -> str:
        return calling if calling in self._reporting else _NO_NODE

    def _hand_on(self, calling: str, task: Callable[[], None]) -> None:
        """A thread of that title does it, and says so where it could not."""
        try:
            self._reporting[self._owed_to(calling)].submit(task).add_done_callback(_say_fault)
        except RuntimeError:  # shut down: the requester asks again
            log.info("a storage commitment report for %s is not made: the service stops", calling)

    def _report(self, association: Association, calling: str, report: CommitmentReport) -> None:
        node = next((node for node in self.nodes if node.ae_title == calling), None)
        problem = self._tell_node(node, report) if node else "the association has ended and no node has this AE title"
        if not problem:
            self._end(calling, report, "reported to the node")
        elif self._tell_here(association, report):
            self._end(calling, report, "reported on the same association")
        else:
            self._wait(node, calling, report, problem, tries=0)

    def _report_again(self, node: Node, calling: str, report: CommitmentReport, tries: int) -> None:
        references = [*report.kept, *(reference for reference, _ in report.failed)]
        try:
            report = self.judge(report.transaction_uid, references)
            problem = self._tell_node(node, report)
        except LedgerUnavailable as error:
            problem = str(error)
        if problem:
            self._wait(node, calling, report, problem, tries=tries)
        else:
            self._end(calling, report, "reported to the node")

    def _wait(self, node: Node | None, calling: str, report: CommitmentReport, problem: str, *, tries: int) -> None:
        """The node is told again after the next pause; after the last one it has to ask again."""
        if node is None or tries == len(self.pauses):
            self._end(calling, report, f"not reported: {problem}")
            return
        self._note(calling, report, f"not reported: {problem}; again in {self.pauses[tries]:g} s")
        again = partial(self._report_again, node, calling, report, tries + 1)
        self._later.call(self.pauses[tries], partial(self._hand_on, calling, again))

    def _end(self, calling: str, report: CommitmentReport, how: str) -> None:
        """The report was made, or never will be."""
        with self._lock:
            self._owed[self._owed_to(calling)] -= _weight(report)
        self._note(calling, report, how)

    def _note(self, calling: str, report: CommitmentReport, how: str) -> None:
        try:
            self.ledger.note(self._event(calling, report, how))
        except LedgerUnavailable:
            log.exception("a storage commitment report could not be noted")

    def _tell_here(self, association: Association, report: CommitmentReport) -> bool:
        # Of two reports on their way each would take the other's answer: both have the same Message ID.
        with self._turn_on(association):
            if association.is_established:
                # A report that crosses the peer's release would hold both until their time-out.
                Event().wait(_TIME_TO_RELEASE)
            if association.is_established:
                association.dimse_timeout = _TIME_TO_ANSWER
                return _send(association, report)
            return False

    def _turn_on(self, association: Association) -> Lock:
        """Whoever has it is the only one to report there."""
        with self._lock:
            return self._turns.setdefault(association, Lock())

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


def _calling(event: evt.Event) -> str:
    return str(event.assoc.requestor.ae_title).strip()


def _weight(report: CommitmentReport) -> int:
    return len(report.kept) + len(report.failed) + _OF_EACH_REPORT


def _say_fault(ended: Future[None]) -> None:
    if not ended.cancelled() and (fault := ended.exception()) is not None:
        log.error("a storage commitment report could not be made", exc_info=fault)


def _send(association: Association, report: CommitmentReport) -> bool:
    """Whether the peer has heard the report."""
    kind = FAILURES_EXIST if report.failed else SUCCESS
    try:
        status, _ = association.send_n_event_report(event_information(report), kind, PUSH_MODEL, PUSH_MODEL_INSTANCE)
    except (RuntimeError, *WIRE_ERRORS):  # released meanwhile, a role that the peer did not accept, or no answer at all
        return False
    return "Status" in status and is_success_or_warning(int(status.Status))

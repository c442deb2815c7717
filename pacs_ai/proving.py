"""Delivered means proved: a node that answered with success is asked whether it has what it was given."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pacs_ai_storage.instances import InstanceStore
from pacs_ai_storage.proofs import Proofs
from pacs_ai_storage.records import Delivery
from pydicom.uid import UID

from .delivery import RetryPolicy
from .dicomweb import search
from .dimse import finder
from .dimse.commitment import CommitmentReport, Reference, ask_for_commitment
from .dimse.sender import Sender
from .errors import PeerUnreachable
from .header import text
from .kept import kept_header
from .parcels import Found, Wanted
from .settings import Node, WebNode

MOST_AT_ONCE = 256
_UNANSWERED_REQUESTS = 3
_QUERIES = {"c-find": "C-FIND", "qido": "QIDO-RS"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofPolicy:
    """How long a node may take to know what it has; `linger` is how long a request for commitment stays open."""

    first: timedelta = timedelta(seconds=1)
    within: timedelta
    linger: float = 1.0
    retry: RetryPolicy

    @property
    def farthest(self) -> timedelta:
        """The longest that a delivery ever waits to be asked for again."""
        return max(self.first, self.within, self.retry.farthest)

    def next_time(self, delivery: Delivery, now: datetime) -> datetime:
        """When to ask again: after as long as it has taken already."""
        waited = now - (delivery.sent_at or now)
        return now + max(self.first, min(waited, self.retry.longest))


@dataclass(frozen=True, slots=True, kw_only=True)
class Prover:
    """All that proving takes; built once for each node."""

    node: Node | WebNode
    proofs: Proofs
    store: InstanceStore
    sender: Sender
    policy: ProofPolicy
    now: Callable[[], datetime]

    def prove_due(self) -> int:
        """The node was asked once for all that is due, over one connection; returns for how many."""
        due = self.proofs.due(self.node.name, self.now(), limit=MOST_AT_ONCE, farthest=self.policy.farthest)
        if due and isinstance(self.node, Node) and self.node.proof == "commitment":
            self._ask_for_commitment(due, self.node)
        elif due:
            self._prove_by_query(due)
        return len(due)

    def _prove_by_query(self, due: Sequence[Delivery]) -> None:
        asked = [(item, wanted) for item in due if (wanted := self._wanted(item)) is not None]
        found = self._find([wanted for _, wanted in asked])
        query = _QUERIES[self.node.proof]
        self.proofs.prove([item for item in due if _delivered(item).sop_instance_uid in found.known], self.now(), query)
        self._ask_again_where_unanswered(due, found)
        said = found.known | found.unanswered.keys()
        missing = [item for item in due if _delivered(item).sop_instance_uid not in said]
        late = [item for item in missing if self._is_late(item)]
        self._ask_later([item for item in missing if item not in late], f"not found by {query} yet")
        send_again(late, f"not found by {query}", self.proofs, self.policy.retry, self.now())

    def _ask_again_where_unanswered(self, due: Sequence[Delivery], found: Found) -> None:
        for error in dict.fromkeys(found.unanswered.values()):
            items = [item for item in due if found.unanswered.get(_delivered(item).sop_instance_uid) is error]
            self._ask_later(items, str(error), at_least=error.retry_after)

    def _find(self, wanted: Sequence[Wanted]) -> Found:
        if isinstance(self.node, WebNode):
            return search.find_instances(self.node, wanted)
        return finder.find_instances(self.sender, self.node, wanted)

    def _wanted(self, delivery: Delivery) -> Wanted | None:
        """None where the file has gone or is damaged: then there is nothing that says its series."""
        header = kept_header(delivery.object, self.store)
        if header is None:
            return None
        return Wanted(
            study_instance_uid=delivery.study_instance_uid,
            series_instance_uid=text(header, "SeriesInstanceUID"),
            sop_instance_uid=_delivered(delivery).sop_instance_uid,
        )

    def _ask_for_commitment(self, due: Sequence[Delivery], node: Node) -> None:
        ignored = [item for item in due if item.proof_tries >= _UNANSWERED_REQUESTS]
        reason = f"no storage commitment report after {_UNANSWERED_REQUESTS} requests"
        send_again(ignored, reason, self.proofs, self.policy.retry, self.now())
        transaction = str(UID(f"2.25.{uuid.uuid4().int}"))
        until = self.now() + self.policy.within
        unasked = [item for item in due if item not in ignored]
        asked = self.proofs.begin_commitment(unasked, transaction, self.now(), until=until)
        if not asked:
            return
        references = [_delivered(item) for item in asked]
        try:
            ask_for_commitment(self.sender, node, transaction, references, self.note_report, linger=self.policy.linger)
        except PeerUnreachable as error:
            self._ask_later(asked, str(error))

    def note_report(self, report: CommitmentReport) -> None:
        """What the node keeps is proved, what it does not is sent again; what it says nothing of is asked for later."""
        note_report(report, self.proofs, self.policy.retry, self.now())

    def _ask_later(self, items: Sequence[Delivery], detail: str, *, at_least: timedelta | None = None) -> None:
        now = self.now()
        soonest = now + (at_least or timedelta())
        over = [item for item in items if self.policy.retry.is_over(item, now)]
        if over:
            self.proofs.give_up(over, now, f"accepted and not proved: {detail}")
        again = [(item, max(self.policy.next_time(item, now), soonest)) for item in items if item not in over]
        if again:
            self.proofs.ask_again(again, detail)

    def _is_late(self, delivery: Delivery) -> bool:
        return self.now() - (delivery.sent_at or self.now()) >= self.policy.within


def note_report(report: CommitmentReport, proofs: Proofs, retry: RetryPolicy, now: datetime) -> None:
    """The same for a report on an association of the node's own."""
    asked = proofs.asked(report.transaction_uid)
    kept = {reference.sop_instance_uid for reference in report.kept}
    failed = {reference.sop_instance_uid: reason for reference, reason in report.failed}
    proved = [item for item in asked if _delivered(item).sop_instance_uid in kept - failed.keys()]
    if proved:
        proofs.prove(proved, now, f"storage commitment, transaction {report.transaction_uid}")
    for reason in sorted(set(failed.values())):
        lost = [item for item in asked if failed.get(_delivered(item).sop_instance_uid) == reason]
        send_again(lost, f"storage commitment refused: 0x{reason:04X}", proofs, retry, now)


def send_again(unproved: Sequence[Delivery], reason: str, proofs: Proofs, retry: RetryPolicy, now: datetime) -> None:
    """What the node does not have is sent again after a pause, or given up when its time is over."""
    over = [item for item in unproved if retry.is_over(item, now)]
    if over:
        proofs.give_up(over, now, f"accepted and not proved: {reason}")
    again = [(item, now + retry.pause(item.attempts - 1)) for item in unproved if item not in over]
    if again:
        proofs.send_again(again, now, reason)


def _delivered(delivery: Delivery) -> Reference:
    """The object as the node has it: a report in a lower SR class has a UID of its own."""
    form = delivery.delivered_as or delivery.object
    return Reference(sop_class_uid=form.sop_class_uid, sop_instance_uid=form.sop_instance_uid)

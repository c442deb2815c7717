"""When a delivery is tried again and when it is given up; what was accepted and proved is never sent again."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from pacs_ai_storage.instances import InstanceStore
from pacs_ai_storage.outbox import Outbox
from pacs_ai_storage.records import DeliveredForm, Delivery
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEGBaseline8Bit, SecondaryCaptureImageStorage

from .errors import LONGEST_REST, PeerRefused, PeerUnreachable
from .parcels import Answer, Form, Parcel, SendOutcome
from .results.capture import uncompressed
from .results.ladder import RUNGS, lower_uid, lowered_file

log = logging.getLogger(__name__)

# In which SOP class and transfer syntax each kind of object can go out, the best first.
FORMS: dict[str, tuple[tuple[UID, UID], ...]] = {
    "report": tuple((rung, ExplicitVRLittleEndian) for rung in RUNGS),
    "capture": tuple((SecondaryCaptureImageStorage, syntax) for syntax in (JPEGBaseline8Bit, ExplicitVRLittleEndian)),
}


def the_whole() -> float:
    """A chance that takes nothing off a pause."""
    return 1.0


def at_once(step: Callable[[], None]) -> None:
    """The step is taken once, and its error is the caller's."""
    step()


_LONGEST_REASON = 200
# An archive may answer before it has indexed an instance; also, what is sent together is asked for together.
FIRST_PROOF = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Exponential backoff from `first` to `longest`, until `give_up_after` has passed since queueing.

    `chance` draws from [0, 1]: a pause is between a half and the whole of its length, so that services that lost the
    same PACS at the same moment do not come back to it at the same moment. `insist` takes a step again until the ledger
    has it: what a node has accepted is not sent again because the ledger was locked just then.
    """

    first: timedelta
    longest: timedelta
    give_up_after: timedelta
    associations: int = 1
    chance: Callable[[], float] = the_whole
    insist: Callable[[Callable[[], None]], None] = at_once

    @property
    def farthest(self) -> timedelta:
        """The longest that a delivery ever waits for its next try."""
        return max(self.longest, LONGEST_REST)

    def pause(self, attempts: int) -> timedelta:
        """How long to wait after that many failed attempts before this one."""
        doubled = self.first.total_seconds() * 2.0 ** min(attempts, 64)
        return self._drawn(timedelta(seconds=min(doubled, self.longest.total_seconds())))

    def pause_after(self, absence: timedelta) -> timedelta:
        """How long to wait for a node that has been away for so long: as long again, which doubles as well."""
        return self._drawn(min(self.first + max(absence, timedelta()), self.longest))

    def _drawn(self, pause: timedelta) -> timedelta:
        return pause * (1 + self.chance()) / 2

    def is_over(self, delivery: Delivery, now: datetime) -> bool:
        """Whether the delivery has been tried for long enough."""
        return now - delivery.queued_at >= self.give_up_after


def by_study(due: Sequence[Delivery], shares: int) -> list[list[Delivery]]:
    """At most so many shares, none empty; the objects of a study stay together and in order."""
    studies: dict[str, list[Delivery]] = {}
    for delivery in due:
        studies.setdefault(delivery.study_instance_uid, []).append(delivery)
    shared: list[list[Delivery]] = [[] for _ in range(min(shares, len(studies)))]
    for number, deliveries in enumerate(studies.values()):
        shared[number % len(shared)] += deliveries
    return shared


def parcel_of(delivery: Delivery, store: InstanceStore) -> Parcel:
    """The kept file of a delivery, as the sender takes it, with the forms for nodes that do not take the file."""
    path = store.locate(delivery.object.file)
    sop_class_uid, sop_instance_uid = delivery.object.sop_class_uid, delivery.object.sop_instance_uid
    return Parcel(
        path=path,
        sop_class_uid=sop_class_uid,
        sop_instance_uid=sop_instance_uid,
        transfer_syntax_uid=delivery.object.transfer_syntax_uid,
        study_instance_uid=delivery.study_instance_uid,
        fallbacks=(
            *_uncompressed(path, delivery),
            *(lower_form(path, sop_instance_uid, rung) for rung in rungs_below(sop_class_uid)),
        ),
    )


def rungs_below(sop_class_uid: str) -> tuple[UID, ...]:
    """The lower SR classes of the ladder, the highest first; none for what is not on it."""
    return RUNGS[RUNGS.index(UID(sop_class_uid)) + 1 :] if sop_class_uid in RUNGS else ()


def _uncompressed(path: Path, delivery: Delivery) -> tuple[Form, ...]:
    if not UID(delivery.object.transfer_syntax_uid).is_encapsulated:
        return ()
    form = Form(
        name="uncompressed",
        sop_class_uid=delivery.object.sop_class_uid,
        sop_instance_uid=delivery.object.sop_instance_uid,
        transfer_syntax_uid=str(ExplicitVRLittleEndian),
        build=partial(uncompressed, path),
    )
    return (form,)


def lower_form(path: Path, sop_instance_uid: str, rung: UID) -> Form:
    """The report of a kept file in a lower SR class, under the UID that it has there."""
    uid = lower_uid(sop_instance_uid, rung)
    return Form(
        name=f"as {rung.name.removesuffix(' Storage')}, SOP Instance UID {uid}",
        sop_class_uid=str(rung),
        sop_instance_uid=str(uid),
        transfer_syntax_uid=str(ExplicitVRLittleEndian),
        build=partial(lowered_file, path, rung),
    )


def settle(
    delivery: Delivery,
    outcome: SendOutcome,
    outbox: Outbox,
    retry: RetryPolicy,
    now: datetime,
    *,
    is_proof_asked: bool,
) -> None:
    """The outcome of one instance stands in the outbox; where proof is asked for, success is not the end."""
    if outcome.is_accepted and is_proof_asked:
        form = _delivered(outcome)
        outbox.accept_unproved(delivery, now, outcome.detail, prove_at=now + FIRST_PROOF, form=form)
    elif outcome.is_accepted:
        outbox.accept(delivery, now, outcome.detail, form=_delivered(outcome))
    elif outcome.answer is Answer.PERMANENT:
        _give_up([delivery], outcome.detail, outbox, now)
    else:
        try_later([delivery], outcome.detail, outbox, retry, now)


def _delivered(outcome: SendOutcome) -> DeliveredForm:
    form = outcome.form or outcome.parcel
    return DeliveredForm(
        name=form_name(form.sop_class_uid, form.transfer_syntax_uid),
        sop_class_uid=form.sop_class_uid,
        sop_instance_uid=form.sop_instance_uid,
        transfer_syntax_uid=form.transfer_syntax_uid,
    )


def form_name(sop_class_uid: str, transfer_syntax_uid: str) -> str:
    """SOP class and transfer syntax by their names in PS3.6."""
    return f"{UID(sop_class_uid).name}, {UID(transfer_syntax_uid).name}"


def wait_for_node(
    node: str, detail: str, outbox: Outbox, retry: RetryPolicy, now: datetime, *, at_least: timedelta | None = None
) -> None:
    """All that is due to the node waits for it together, so that it arrives in order of priority when it is back.

    `at_least` is how long the node asks to be left alone.
    """
    absence = now - (outbox.away_since(node) or now)
    until = now + max(retry.pause_after(absence), at_least or timedelta())
    given_up = outbox.hold(node, until, now, detail, queued_after=now - retry.give_up_after)
    at = f"{until.astimezone():%Y-%m-%d %H:%M:%S}"
    log.warning("node %s is away; what is due to it waits until %s: %s", node, at, _printable(detail))
    if given_up:
        _log_given_up(given_up, node)


def _printable(detail: str) -> str:
    """Of what a node may have said, no more than a line of the log holds and nothing that a terminal obeys."""
    return "".join(character if character.isprintable() else " " for character in detail[:_LONGEST_REASON])


def try_later(
    due: Sequence[Delivery],
    detail: str,
    outbox: Outbox,
    retry: RetryPolicy,
    now: datetime,
    *,
    at_least: timedelta | None = None,
) -> None:
    """Each delivery is tried again after its pause, or given up when its time is over."""
    soonest = now + (at_least or timedelta())
    over = [delivery for delivery in due if retry.is_over(delivery, now)]
    if over:
        _give_up(over, detail, outbox, now)
    patient = [delivery for delivery in due if not retry.is_over(delivery, now)]
    again = [(delivery, max(now + retry.pause(delivery.attempts), soonest)) for delivery in patient]
    if again:
        outbox.postpone(again, now, detail)


def settle_association(
    share: Sequence[Delivery], error: PeerUnreachable | None, outbox: Outbox, retry: RetryPolicy, now: datetime
) -> None:
    """Deliveries of an association that did not come about are given up where the node refused it for good."""
    if isinstance(error, PeerRefused):
        _give_up(share, str(error), outbox, now)
    elif error is not None:
        try_later(share, str(error), outbox, retry, now, at_least=error.retry_after)


def _give_up(failed: Sequence[Delivery], detail: str, outbox: Outbox, now: datetime) -> None:
    outbox.give_up(failed, now, detail)
    _log_given_up(len(failed), failed[0].node)


def _log_given_up(number: int, node: str) -> None:
    # Not why: a node may say anything.
    log.error("given up: %d deliveries to %s; `pacs-ai deliveries list --state failed` tells why", number, node)

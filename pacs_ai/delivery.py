"""When a delivery is tried again and when it is given up; what was accepted is never sent again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from pacs_ai_storage.instances import InstanceStore
from pacs_ai_storage.outbox import Outbox
from pacs_ai_storage.records import Delivery
from pydicom.uid import UID

from .dimse.sender import Parcel, SendOutcome
from .results.capture import uncompressed


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Exponential backoff from `first` to `longest`, until `give_up_after` has passed since queueing."""

    first: timedelta
    longest: timedelta
    give_up_after: timedelta
    associations: int = 1

    def pause(self, attempts: int) -> timedelta:
        """How long to wait after that many failed attempts before this one."""
        doubled = self.first.total_seconds() * 2.0 ** min(attempts, 64)
        return timedelta(seconds=min(doubled, self.longest.total_seconds()))

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
    """The kept file of a delivery, as the sender takes it."""
    path = store.locate(delivery.object.file)
    is_compressed = UID(delivery.object.transfer_syntax_uid).is_encapsulated
    return Parcel(
        path=path,
        sop_class_uid=delivery.object.sop_class_uid,
        sop_instance_uid=delivery.object.sop_instance_uid,
        transfer_syntax_uid=delivery.object.transfer_syntax_uid,
        uncompressed=partial(uncompressed, path) if is_compressed else None,
    )


def settle(delivery: Delivery, outcome: SendOutcome, outbox: Outbox, retry: RetryPolicy, now: datetime) -> None:
    """The outcome of one instance stands in the outbox."""
    if outcome.is_accepted:
        outbox.accept(delivery, now, outcome.detail)
    else:
        settle_unreachable([delivery], outcome.detail, outbox, retry, now)


def settle_unreachable(due: Sequence[Delivery], detail: str, outbox: Outbox, retry: RetryPolicy, now: datetime) -> None:
    """Each delivery is tried again after its pause, or given up when its time is over."""
    over = [delivery for delivery in due if retry.is_over(delivery, now)]
    if over:
        outbox.give_up(over, now, detail)
    again = [(delivery, now + retry.pause(delivery.attempts)) for delivery in due if not retry.is_over(delivery, now)]
    if again:
        outbox.postpone(again, now, detail)

"""What a node answered with success and has not yet been shown to keep; it survives restarts."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import and_, select

from .database import Database
from .delivery_rows import (
    LONGEST_WAIT,
    append_event,
    bring_back,
    change_delivery,
    close_study,
    joined_by_priority,
    joined_deliveries,
    lock_study,
)
from .records import Delivery, DeliveryState, StoredInstance
from .rows import delivery, stored_instance
from .schema import deliveries, instances

_ACTION = "prove"
_AT_ONCE = 250


class Proofs:
    """Deliveries that are SENT, until their node has shown that it keeps them, or not."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self, node: str, now: datetime, *, limit: int = 256, farthest: timedelta = LONGEST_WAIT) -> list[Delivery]:
        """What the node is to be asked for now, the most urgent study first; nothing waits longer than `farthest`."""
        bring_back(self._database, node, DeliveryState.SENT, now, farthest)
        this = and_(
            deliveries.c.node == node,
            deliveries.c.state == DeliveryState.SENT,
            deliveries.c.next_attempt_at <= now,
        )
        with self._database.read() as connection:
            return [delivery(row) for row in connection.execute(joined_by_priority().where(this).limit(limit))]

    def asked(self, transaction_uid: str) -> list[Delivery]:
        """What this storage commitment was asked for and is not proved yet; nothing where a later one was asked for."""
        this = and_(deliveries.c.transaction_uid == transaction_uid, deliveries.c.state == DeliveryState.SENT)
        with self._database.read() as connection:
            return [delivery(row) for row in connection.execute(joined_deliveries().where(this))]

    def prove(self, proved: Sequence[Delivery], now: datetime, detail: str) -> None:
        """The node has them: each is ACCEPTED, and a study of which nothing else is open is DELIVERED."""
        self._accept(proved, now, "proved", detail)

    def ask_no_more(self, node: str, now: datetime) -> int:
        """Of the node no proof is asked any more: what it answered with success is ACCEPTED; returns how many."""
        accepted = 0
        while sent := self._sent(node):
            self._accept(sent, now, "not asked", "the settings ask this node for no proof")
            accepted += len(sent)
        return accepted

    def _sent(self, node: str) -> list[Delivery]:
        this = and_(deliveries.c.node == node, deliveries.c.state == DeliveryState.SENT)
        with self._database.read() as connection:
            return [delivery(row) for row in connection.execute(joined_deliveries().where(this).limit(_AT_ONCE))]

    def _accept(self, items: Sequence[Delivery], now: datetime, outcome: str, detail: str) -> None:
        studies = sorted({item.study_instance_uid for item in items})
        with self._database.change() as connection:
            for study in studies:
                lock_study(connection, study)
            for item in items:
                if change_delivery(connection, item, DeliveryState.SENT, state=DeliveryState.ACCEPTED, accepted_at=now):
                    append_event(connection, item, _ACTION, outcome, now, detail)
            for study in studies:
                close_study(connection, study, now)

    def ask_again(self, unanswered: Sequence[tuple[Delivery, datetime]], detail: str) -> None:
        """The node is asked at the time beside each; that it was asked in vain does not count."""
        with self._database.change() as connection:
            for item, until in unanswered:
                values = {"next_attempt_at": until, "proof_tries": item.proof_tries, "transaction_uid": None}
                change_delivery(connection, item, DeliveryState.SENT, detail=detail, **values)

    def begin_commitment(
        self, due: Sequence[Delivery], transaction_uid: str, now: datetime, *, until: datetime
    ) -> list[Delivery]:
        """The Transaction UID is kept before it is sent, and the report has time until then; returns what is asked."""
        asked = []
        with self._database.change() as connection:
            for item in due:
                values = {"transaction_uid": transaction_uid, "next_attempt_at": until}
                tries = item.proof_tries + 1
                if change_delivery(connection, item, DeliveryState.SENT, proof_tries=tries, **values):
                    append_event(connection, item, _ACTION, "asked", now, f"transaction {transaction_uid}")
                    asked.append(item)
        return asked

    def send_again(self, unproved: Sequence[tuple[Delivery, datetime]], now: datetime, detail: str) -> None:
        """The node does not have them: each is sent again, with the same bytes, at the time beside it."""
        with self._database.change() as connection:
            for item, until in unproved:
                values = {"next_attempt_at": until, "detail": detail, "transaction_uid": None}
                if change_delivery(connection, item, DeliveryState.SENT, state=DeliveryState.PENDING, **values):
                    append_event(connection, item, _ACTION, "not proved", now, detail)

    def give_up(self, unproved: Sequence[Delivery], now: datetime, detail: str) -> None:
        """Each is FAILED, although the node had answered with success, and stays listed."""
        with self._database.change() as connection:
            for item in unproved:
                if change_delivery(connection, item, DeliveryState.SENT, state=DeliveryState.FAILED, detail=detail):
                    append_event(connection, item, _ACTION, "given up", now, detail)

    def received(self, sop_instance_uids: Sequence[str]) -> dict[str, StoredInstance]:
        """Those of these instances that were pushed to us and are kept, by their UIDs."""
        found: dict[str, StoredInstance] = {}
        with self._database.read() as connection:
            for start in range(0, len(sop_instance_uids), 500):
                this = instances.c.sop_instance_uid.in_(sop_instance_uids[start : start + 500])
                rows = connection.execute(select(instances).where(this, instances.c.gone_at.is_(None)))
                found.update((row.sop_instance_uid, stored_instance(row)) for row in rows)
        return found

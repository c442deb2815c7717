"""The outbox: one row per object and node, from queued to accepted; it survives restarts."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Connection, Select, and_, select, update

from . import audit
from .database import Database
from .negotiations import remember
from .records import AuditEvent, DeliveredForm, Delivery, DeliveryState, StudyState
from .rows import delivery
from .schema import deliveries, objects, studies


class Outbox:
    """What is due to a node, and what became of it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self, node: str, now: datetime, *, limit: int = 64) -> list[Delivery]:
        """Pending deliveries of a node whose time has come: oldest study first, captures before the report on them."""
        statement = (
            joined_deliveries()
            .where(
                deliveries.c.node == node,
                deliveries.c.state == DeliveryState.PENDING,
                deliveries.c.next_attempt_at <= now,
            )
            .order_by(deliveries.c.queued_at, deliveries.c.study_instance_uid, objects.c.kind)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [delivery(row) for row in connection.execute(statement)]

    def accept(self, accepted: Delivery, now: datetime, detail: str, *, form: DeliveredForm | None = None) -> None:
        """The node has the object, in this form; the study is DELIVERED when no other delivery of it is open.

        What the node takes is remembered with it, and the audit log says so when it is first known or has changed.
        """
        with self._database.change() as connection:
            _lock_study(connection, accepted.study_instance_uid)
            _set(
                connection,
                accepted,
                state=DeliveryState.ACCEPTED,
                accepted_at=now,
                attempts=accepted.attempts + 1,
                detail=detail,
                **_delivered_columns(form),
            )
            _append(connection, accepted, "deliver", "accepted", now, detail)
            if form is not None:
                remember(connection, accepted.node, accepted.object.kind, form, now)
            _close_study(connection, accepted.study_instance_uid, now)

    def postpone(self, failed: Sequence[tuple[Delivery, datetime]], now: datetime, detail: str) -> None:
        """Each is tried again, with the same bytes, at the time beside it."""
        with self._database.change() as connection:
            for item, until in failed:
                _set(connection, item, attempts=item.attempts + 1, next_attempt_at=until, detail=detail)
                _append(connection, item, "deliver", "postponed", now, detail)

    def give_up(self, failed: Sequence[Delivery], now: datetime, detail: str) -> None:
        """Each is FAILED and stays listed until it is retried or cancelled."""
        with self._database.change() as connection:
            for item in failed:
                _set(connection, item, state=DeliveryState.FAILED, attempts=item.attempts + 1, detail=detail)
                _append(connection, item, "deliver", "given up", now, detail)


def joined_deliveries() -> Select[tuple[object, ...]]:
    """Deliveries with the object that each carries."""
    return select(
        deliveries.c.node,
        deliveries.c.state,
        deliveries.c.attempts,
        deliveries.c.queued_at,
        deliveries.c.next_attempt_at,
        deliveries.c.accepted_at,
        deliveries.c.detail.label("delivery_detail"),
        deliveries.c.delivered_name,
        deliveries.c.delivered_sop_class_uid,
        deliveries.c.delivered_sop_instance_uid,
        deliveries.c.delivered_transfer_syntax_uid,
        objects,
    ).join(objects, objects.c.sop_instance_uid == deliveries.c.sop_instance_uid)


def _delivered_columns(form: DeliveredForm | None) -> dict[str, object]:
    return {} if form is None else {f"delivered_{column}": value for column, value in asdict(form).items()}


def _set(connection: Connection, item: Delivery, **values: object) -> None:
    this = and_(deliveries.c.sop_instance_uid == item.object.sop_instance_uid, deliveries.c.node == item.node)
    connection.execute(update(deliveries).where(this).values(**values))


def _append(connection: Connection, item: Delivery, action: str, outcome: str, now: datetime, detail: str) -> None:
    event = AuditEvent(
        at=now,
        actor=item.node,
        action=action,
        study_instance_uid=item.study_instance_uid,
        sop_instance_uid=item.object.sop_instance_uid,
        outcome=outcome,
        detail=detail,
    )
    audit.append(connection, event)


def _lock_study(connection: Connection, study_instance_uid: str) -> None:
    # Two nodes that accept at the same moment would each see the other's delivery open.
    connection.execute(
        select(studies.c.state).where(studies.c.study_instance_uid == study_instance_uid).with_for_update()
    )


def _close_study(connection: Connection, study_instance_uid: str, now: datetime) -> None:
    still_open: Sequence[object] = connection.execute(
        select(deliveries.c.node)
        .where(
            deliveries.c.study_instance_uid == study_instance_uid,
            deliveries.c.state.in_([DeliveryState.PENDING, DeliveryState.FAILED]),
        )
        .limit(1)
    ).all()
    if still_open:
        return
    closed = connection.execute(
        update(studies)
        .where(studies.c.study_instance_uid == study_instance_uid, studies.c.state == StudyState.READY)
        .values(state=StudyState.DELIVERED)
    )
    if closed.rowcount:
        event = AuditEvent(
            at=now,
            actor="service",
            action="finish",
            study_instance_uid=study_instance_uid,
            outcome=StudyState.DELIVERED,
        )
        audit.append(connection, event)

"""Rows of `deliveries`: read with the object of each, changed with their events in the caller's transaction."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta

from sqlalchemy import Column, ColumnElement, Connection, Select, and_, case, select, update

from . import audit
from .database import Database
from .records import AuditEvent, ClaimedStudy, DeliveredForm, Delivery, DeliveryState, ResultObject, StudyState
from .rows import file_columns, insert_new, object_row
from .schema import deliveries, objects, studies

OPEN = (DeliveryState.PENDING, DeliveryState.SENT, DeliveryState.FAILED)
LONGEST_WAIT = timedelta(days=1)
# The reading order of the priorities; what has none goes with ROUTINE.
PRIORITY_RANK = case({"STAT": 0, "HIGH": 1}, value=studies.c.priority, else_=2)


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
        deliveries.c.sent_at,
        deliveries.c.proof_tries,
        objects,
    ).join(objects, objects.c.sop_instance_uid == deliveries.c.sop_instance_uid)


def joined_by_priority() -> Select[tuple[object, ...]]:
    """The same, the most urgent study first, then the oldest, and captures before the report on them."""
    with_study = joined_deliveries().join(studies, studies.c.study_instance_uid == deliveries.c.study_instance_uid)
    return with_study.order_by(PRIORITY_RANK, deliveries.c.queued_at, deliveries.c.study_instance_uid, objects.c.kind)


def bring_back(database: Database, node: str, state: DeliveryState, now: datetime, farthest: timedelta) -> None:
    """What waits for a time later than the farthest is due now: the clock was set back since.

    Nothing of it was queued or sent in a time to come either, from which its patience would be counted.
    """
    is_ahead = and_(
        deliveries.c.node == node, deliveries.c.state == state, deliveries.c.next_attempt_at > now + farthest
    )
    with database.read() as connection:
        if connection.execute(select(deliveries.c.node).where(is_ahead).limit(1)).first() is None:
            return
    with database.change() as connection:
        connection.execute(
            update(deliveries)
            .where(is_ahead)
            .values(
                next_attempt_at=now,
                queued_at=_not_after(deliveries.c.queued_at, now),
                sent_at=_not_after(deliveries.c.sent_at, now),
            )
        )


def _not_after(moment: Column[datetime], now: datetime) -> ColumnElement[datetime]:
    return case((moment > now, now), else_=moment)


def delivered_columns(form: DeliveredForm | None) -> dict[str, object]:
    """The form in which a node has an object, as columns."""
    return {} if form is None else {f"delivered_{column}": value for column, value in asdict(form).items()}


def change_delivery(connection: Connection, item: Delivery, *states: DeliveryState, **values: object) -> bool:
    """The row has these values; False, with nothing changed, when it is in none of these states any more."""
    this = and_(
        deliveries.c.sop_instance_uid == item.object.sop_instance_uid,
        deliveries.c.node == item.node,
        deliveries.c.state.in_(states),
    )
    return connection.execute(update(deliveries).where(this).values(**values)).rowcount == 1


def append_event(  # noqa: PLR0913 - one event
    connection: Connection,
    item: Delivery,
    action: str,
    outcome: str,
    at: datetime,
    detail: str | None,
    *,
    actor: str | None = None,
) -> None:
    """The event of a delivery is in the audit log; its node is the actor unless one is named."""
    event = AuditEvent(
        at=at,
        actor=actor or item.node,
        action=action,
        study_instance_uid=item.study_instance_uid,
        sop_instance_uid=item.object.sop_instance_uid,
        outcome=outcome,
        detail=detail,
    )
    audit.append(connection, event)


def lock_study(connection: Connection, study_instance_uid: str) -> None:
    """Nobody else changes what decides whether the study is delivered, until the transaction ends."""
    # Two nodes that accept at the same moment would each see the other's delivery open.
    connection.execute(
        select(studies.c.state).where(studies.c.study_instance_uid == study_instance_uid).with_for_update()
    )


def close_study(connection: Connection, study_instance_uid: str, now: datetime) -> None:
    """A READY study is DELIVERED when none of its deliveries is open and a node has accepted one.

    One of which every delivery was cancelled stays READY, and one that was read again and is not analysed any more
    DECLINED; either way nothing of it is left to do.
    """
    states = set(
        connection.scalars(
            select(deliveries.c.state).where(deliveries.c.study_instance_uid == study_instance_uid).distinct()
        )
    )
    if states & set(OPEN):
        return
    this = studies.c.study_instance_uid == study_instance_uid
    is_left = [StudyState.DECLINED] if DeliveryState.ACCEPTED in states else [StudyState.DECLINED, StudyState.READY]
    is_new = studies.c.settled_at.is_(None)
    connection.execute(update(studies).where(this, is_new, studies.c.state.in_(is_left)).values(settled_at=now))
    if DeliveryState.ACCEPTED not in states:
        return
    closed = connection.execute(
        update(studies)
        .where(this, studies.c.state == StudyState.READY)
        .values(state=StudyState.DELIVERED, settled_at=now)
    )
    if closed.rowcount:
        _note_of_study(connection, study_instance_uid, "finish", StudyState.DELIVERED, now)


def reopen_study(connection: Connection, study_instance_uid: str, now: datetime) -> None:
    """A study that had nothing left to do has an open delivery again: one that was cancelled while it was on its way.

    Its files stay until that is proved.
    """
    settled = and_(studies.c.study_instance_uid == study_instance_uid, studies.c.settled_at.is_not(None))
    is_read = studies.c.state.in_((StudyState.READY, StudyState.DELIVERED))
    opened = connection.execute(update(studies).where(settled, is_read).values(state=StudyState.READY, settled_at=None))
    is_declined = studies.c.state == StudyState.DECLINED  # and stays so
    connection.execute(update(studies).where(settled, is_declined).values(settled_at=None))
    if opened.rowcount:
        _note_of_study(connection, study_instance_uid, "reopen", StudyState.READY, now)


def _note_of_study(
    connection: Connection, study_instance_uid: str, action: str, state: StudyState, now: datetime
) -> None:
    event = AuditEvent(at=now, actor="service", action=action, study_instance_uid=study_instance_uid, outcome=state)
    audit.append(connection, event)


def queue(
    connection: Connection, claimed: ClaimedStudy, item: ResultObject, nodes: Sequence[str], now: datetime
) -> list[str] | None:
    """The object waits for these nodes, which are those that it never waited for before.

    None, and nothing changes, where it was built before from the same input and every node has it or waits for it.
    """
    is_new = insert_new(connection, objects, object_row(item, claimed))
    waiting = [node for node in nodes if insert_new(connection, deliveries, _pending_row(claimed, item, node, now))]
    if waiting and not is_new:
        # A node that was added since: the file that has just been written again is kept for it.
        gone = and_(objects.c.sop_instance_uid == item.sop_instance_uid, objects.c.gone_at.is_not(None))
        connection.execute(update(objects).where(gone).values(gone_at=None, **file_columns(item.file)))
    return waiting if is_new or waiting else None


def _pending_row(claimed: ClaimedStudy, item: ResultObject, node: str, now: datetime) -> dict[str, object]:
    return {
        "sop_instance_uid": item.sop_instance_uid,
        "node": node,
        "study_instance_uid": claimed.study_instance_uid,
        "state": DeliveryState.PENDING,
        "attempts": 0,
        "queued_at": now,
        "next_attempt_at": now,
    }

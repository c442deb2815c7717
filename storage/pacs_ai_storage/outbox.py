"""The outbox: one row per object and node, from queued to accepted; it survives restarts."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, func, or_, select, update

from . import audit
from .database import Database
from .delivery_rows import (
    LONGEST_WAIT,
    OPEN,
    append_event,
    bring_back,
    change_delivery,
    close_study,
    delivered_columns,
    joined_by_priority,
    joined_deliveries,
    lock_study,
    reopen_study,
)
from .negotiations import remember
from .records import AuditEvent, DeliveredForm, Delivery, DeliveryState
from .rows import delivery
from .schema import deliveries

_AT_ONCE = 250
_BREATH_SECONDS = 0.01
_ACCEPTABLE = (DeliveryState.PENDING, DeliveryState.FAILED, DeliveryState.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which deliveries an operator means; None asks for any."""

    node: str | None = None
    study_instance_uid: str | None = None
    sop_instance_uid: str | None = None


class Outbox:
    """What is due to a node, and what became of it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self, node: str, now: datetime, *, limit: int = 64, farthest: timedelta = LONGEST_WAIT) -> list[Delivery]:
        """Pending deliveries of a node, once the time of one has come: the most urgent study first, then the oldest.

        With one that is due go all that wait for the node to be there again: its return is the same for all of them.
        Captures come before the report on them. Nothing waits longer than `farthest`, wherever the clock goes.
        """
        bring_back(self._database, node, DeliveryState.PENDING, now, farthest)
        statement = (
            joined_by_priority()
            .where(
                _pending(node),
                or_(deliveries.c.next_attempt_at <= now, deliveries.c.unreachable_since.is_not(None)),
            )
            .limit(limit)
        )
        is_one_due = select(deliveries.c.node).where(_pending(node), deliveries.c.next_attempt_at <= now).limit(1)
        with self._database.read() as connection:
            if connection.execute(is_one_due).first() is None:
                return []
            return [delivery(row) for row in connection.execute(statement)]

    def accept(self, accepted: Delivery, now: datetime, detail: str, *, form: DeliveredForm | None = None) -> None:
        """The node has the object, in this form; the study is DELIVERED when no other delivery of it is open.

        What the node takes is remembered with it, and the audit log says so when it is first known or has changed.
        """
        with self._database.change() as connection:
            lock_study(connection, accepted.study_instance_uid)
            values = {"state": DeliveryState.ACCEPTED, "accepted_at": now, "sent_at": now}
            _note_acceptance(connection, accepted, now, detail, form, values)
            close_study(connection, accepted.study_instance_uid, now)

    def accept_unproved(
        self, accepted: Delivery, now: datetime, detail: str, *, prove_at: datetime, form: DeliveredForm | None = None
    ) -> None:
        """The node answered with success: the object is SENT, and the node is asked for it from `prove_at` on."""
        with self._database.change() as connection:
            lock_study(connection, accepted.study_instance_uid)
            values = {
                "state": DeliveryState.SENT,
                "sent_at": now,
                "next_attempt_at": prove_at,
                "proof_tries": 0,
                "transaction_uid": None,
            }
            _note_acceptance(connection, accepted, now, detail, form, values)
            reopen_study(connection, accepted.study_instance_uid, now)

    def postpone(self, failed: Sequence[tuple[Delivery, datetime]], now: datetime, detail: str) -> None:
        """Each is tried again, with the same bytes, at the time beside it; what was cancelled meanwhile is not."""
        with self._database.change() as connection:
            for item, until in failed:
                values = {"attempts": item.attempts + 1, "next_attempt_at": until, "detail": detail}
                if change_delivery(connection, item, DeliveryState.PENDING, unreachable_since=None, **values):
                    append_event(connection, item, "deliver", "postponed", now, detail)

    def give_up(self, failed: Sequence[Delivery], now: datetime, detail: str) -> None:
        """Each is FAILED and stays listed until it is retried or cancelled."""
        with self._database.change() as connection:
            _give_up_all(connection, failed, now, detail)

    def away_since(self, node: str) -> datetime | None:
        """When the node was first tried in vain since it was last there; None where nothing waits for that."""
        with self._database.read() as connection:
            return connection.execute(select(func.min(deliveries.c.unreachable_since)).where(_pending(node))).scalar()

    def hold(self, node: str, until: datetime, now: datetime, detail: str, *, queued_after: datetime) -> int:
        """The node is away: all that is due to it waits until the same time, and what was queued before is FAILED.

        Returns how many deliveries have failed so.
        The audit log says so of the node at each try, and of each object once.
        Other transactions find room between portions; what a stop leaves over is due as before.
        """
        tried = AuditEvent(at=now, actor=node, action="deliver", outcome="unreachable", detail=detail)
        with self._database.change() as connection:
            audit.append(connection, tried)
        given_up = self._in_portions(partial(_give_up_over, node, until, now, detail, queued_after))
        self._in_portions(partial(_hold_new, node, until, now, detail))
        self._in_portions(partial(_hold_known, node, until, detail))
        return given_up

    def _in_portions(self, change: Callable[[Connection], int]) -> int:
        """The change was made, some rows in each transaction, until few were left; returns how many."""
        changed = 0
        while True:
            with self._database.change() as connection:
                portion = change(connection)
            changed += portion
            if portion < _AT_ONCE:
                return changed
            # Who waits for a lock of this process gets it only while nobody asks for it.
            time.sleep(_BREATH_SECONDS)

    def retry(self, choice: Choice, now: datetime, *, actor: str) -> int:
        """What was given up, or waits, is due now and has all its time again; returns how many deliveries."""
        values: dict[str, Any] = {
            "state": DeliveryState.PENDING,
            "attempts": 0,
            "queued_at": now,
            "next_attempt_at": now,
            "unreachable_since": None,
        }
        with self._database.change() as connection:
            chosen = _chosen(connection, choice, DeliveryState.FAILED, DeliveryState.PENDING)
            for item in chosen:
                change_delivery(connection, item, item.state, **values)
                append_event(connection, item, "retry", item.node, now, item.detail, actor=actor)
            return len(chosen)

    def cancel(self, choice: Choice, now: datetime, *, actor: str) -> int:
        """What was not accepted is never sent again; returns how many deliveries.

        A study of which nothing else is open is DELIVERED, if a node has accepted any object of it.
        """
        with self._database.change() as connection:
            # Studies first, as where a node accepts: the other way round the two would wait for each other.
            locked = _lock_studies(connection, _named(choice, *OPEN))
            chosen = [item for item in _chosen(connection, choice, *OPEN) if item.study_instance_uid in locked]
            for item in chosen:
                change_delivery(connection, item, item.state, state=DeliveryState.CANCELLED, unreachable_since=None)
                append_event(connection, item, "cancel", item.node, now, item.detail, actor=actor)
            for study in sorted({item.study_instance_uid for item in chosen}):
                close_study(connection, study, now)
            return len(chosen)


def _pending(node: str) -> ColumnElement[bool]:
    return and_(deliveries.c.node == node, deliveries.c.state == DeliveryState.PENDING)


def _note_acceptance(
    connection: Connection,
    item: Delivery,
    now: datetime,
    detail: str,
    form: DeliveredForm | None,
    values: dict[str, object],
) -> None:
    values |= {"attempts": item.attempts + 1, "detail": detail, "unreachable_since": None}
    # Also what was cancelled or given up while it was on its way: the node has it.
    if change_delivery(connection, item, *_ACCEPTABLE, **values, **delivered_columns(form)):
        append_event(connection, item, "deliver", "accepted", now, detail)
        if form is not None:
            remember(connection, item.node, item.object.kind, form, now)


def _give_up_all(connection: Connection, failed: Sequence[Delivery], now: datetime, detail: str) -> None:
    for item in failed:
        values = {"state": DeliveryState.FAILED, "attempts": item.attempts + 1, "detail": detail}
        if change_delivery(connection, item, DeliveryState.PENDING, unreachable_since=None, **values):
            append_event(connection, item, "deliver", "given up", now, detail)


def _waiting(node: str, until: datetime) -> ColumnElement[bool]:
    """What does not wait until then yet, and is due before or waits for the node to be there again."""
    is_before = or_(deliveries.c.next_attempt_at < until, deliveries.c.unreachable_since.is_not(None))
    return and_(_pending(node), deliveries.c.next_attempt_at != until, is_before)


def _give_up_over(
    node: str, until: datetime, now: datetime, detail: str, queued_after: datetime, connection: Connection
) -> int:
    is_over = and_(_waiting(node, until), deliveries.c.queued_at <= queued_after)
    over = [delivery(row) for row in connection.execute(joined_deliveries().where(is_over).limit(_AT_ONCE))]
    _give_up_all(connection, over, now, detail)
    return len(over)


def _hold_new(node: str, until: datetime, now: datetime, detail: str, connection: Connection) -> int:
    is_new = and_(_waiting(node, until), deliveries.c.unreachable_since.is_(None))
    new = [delivery(row) for row in connection.execute(joined_deliveries().where(is_new).limit(_AT_ONCE))]
    for item in new:
        append_event(connection, item, "deliver", "postponed", now, detail)
    uids = [item.object.sop_instance_uid for item in new]
    return _hold(connection, node, uids, until, detail, unreachable_since=now)


def _hold_known(node: str, until: datetime, detail: str, connection: Connection) -> int:
    is_known = and_(_waiting(node, until), deliveries.c.unreachable_since.is_not(None))
    uids = connection.scalars(select(deliveries.c.sop_instance_uid).where(is_known).limit(_AT_ONCE)).all()
    return _hold(connection, node, uids, until, detail)


def _hold(
    connection: Connection, node: str, uids: Sequence[str], until: datetime, detail: str, **values: datetime
) -> int:
    # Each row by its key: a list of keys would be looked for among all that wait.
    this = and_(_pending(node), deliveries.c.sop_instance_uid == bindparam("this"))
    change = update(deliveries).where(this).values(next_attempt_at=until, detail=detail, **values)
    if uids:
        connection.execute(change.values(attempts=deliveries.c.attempts + 1), [{"this": uid} for uid in uids])
    return len(uids)


def _named(choice: Choice, *states: DeliveryState) -> ColumnElement[bool]:
    conditions = [
        deliveries.c.node == choice.node if choice.node else None,
        deliveries.c.study_instance_uid == choice.study_instance_uid if choice.study_instance_uid else None,
        deliveries.c.sop_instance_uid == choice.sop_instance_uid if choice.sop_instance_uid else None,
    ]
    return and_(deliveries.c.state.in_(states), *(condition for condition in conditions if condition is not None))


def _lock_studies(connection: Connection, condition: ColumnElement[bool]) -> set[str]:
    named = set(connection.scalars(select(deliveries.c.study_instance_uid).where(condition)))
    for study in sorted(named):  # the order in which what is proved locks them
        lock_study(connection, study)
    return named


def _chosen(connection: Connection, choice: Choice, *states: DeliveryState) -> list[Delivery]:
    statement = joined_deliveries().where(_named(choice, *states))
    locked = statement.with_for_update(of=deliveries).order_by(deliveries.c.queued_at)
    return [delivery(row) for row in connection.execute(locked)]

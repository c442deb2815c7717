"""The audit log: appended in the transaction of the change it tells of, read by plain selects."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Row, Select, insert, or_, select

from .records import AuditEvent
from .schema import audit_events

# What results of an instance do not carry as it has it.
REPAIR = "repair"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """What to look for; None asks for anything."""

    since: datetime | None = None
    until: datetime | None = None
    study_instance_uid: str | None = None
    sop_instance_uid: str | None = None
    action: str | None = None
    outcome: str | None = None
    actor: str | None = None
    text: str | None = None
    limit: int = 100


def append(connection: Connection, *events: AuditEvent) -> None:
    """The events are in the log when the caller's transaction ends."""
    if events:
        connection.execute(insert(audit_events), [_row(event) for event in events])


def query(connection: Connection, wanted: AuditFilter) -> list[AuditEvent]:
    """The newest `limit` events that match, oldest of them first."""
    statement = _matching(wanted).order_by(audit_events.c.id.desc()).limit(wanted.limit)
    return _events(reversed(connection.execute(statement).all()))


def trail(connection: Connection, study_instance_uid: str) -> list[AuditEvent]:
    """Every event of a study, oldest first."""
    statement = select(audit_events).where(audit_events.c.study_instance_uid == study_instance_uid)
    return _events(connection.execute(statement.order_by(audit_events.c.id)))


def latest_repairs(connection: Connection, study_instance_uid: str) -> list[AuditEvent]:
    """The last event about repairs of each instance of a study."""
    events = query(connection, AuditFilter(study_instance_uid=study_instance_uid, action=REPAIR, limit=100_000))
    return list({event.sop_instance_uid: event for event in events}.values())


def _matching(wanted: AuditFilter) -> Select[tuple[object, ...]]:
    column = audit_events.c
    conditions = [
        column.at >= wanted.since if wanted.since else None,
        column.at < wanted.until if wanted.until else None,
        column.study_instance_uid == wanted.study_instance_uid if wanted.study_instance_uid else None,
        column.sop_instance_uid == wanted.sop_instance_uid if wanted.sop_instance_uid else None,
        column.action == wanted.action if wanted.action else None,
        column.outcome == wanted.outcome if wanted.outcome else None,
        column.actor == wanted.actor if wanted.actor else None,
        _mentions(wanted.text) if wanted.text else None,
    ]
    return select(audit_events).where(*(condition for condition in conditions if condition is not None))


def _mentions(text: str):  # type: ignore[no-untyped-def]  # noqa: ANN202
    return or_(
        audit_events.c.detail.icontains(text, autoescape=True), audit_events.c.actor.icontains(text, autoescape=True)
    )


def _row(event: AuditEvent) -> dict[str, object]:
    return {
        "at": event.at,
        "actor": event.actor,
        "action": event.action,
        "study_instance_uid": event.study_instance_uid,
        "sop_instance_uid": event.sop_instance_uid,
        "outcome": event.outcome,
        "detail": event.detail,
    }


def _events(rows: Iterable[Row[tuple[object, ...]]]) -> list[AuditEvent]:
    return [
        AuditEvent(
            identity=row.id,
            at=row.at,
            actor=row.actor,
            action=row.action,
            study_instance_uid=row.study_instance_uid,
            sop_instance_uid=row.sop_instance_uid,
            outcome=row.outcome,
            detail=row.detail,
        )
        for row in rows
    ]

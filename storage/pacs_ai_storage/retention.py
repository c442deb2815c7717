"""Old events leave the audit log from its old end alone, and what is left begins at a signed anchor."""

from collections.abc import Collection
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select

from . import audit
from .chain import Link
from .database import Database
from .following import followed_to
from .records import AuditEvent
from .schema import audit_anchors, audit_events
from .signing import Purpose, SigningKey

_AT_ONCE = 10_000


def prune(
    database: Database, key: SigningKey, before: datetime, now: datetime, *, followers: Collection[str] = ()
) -> int:
    """The log begins with its first event that is not older than `before`, or that one of the followers has not had.

    Returns how many are gone. They go in portions, so that nobody waits long; each portion leaves an anchor and an
    event that tells of it.
    """
    gone = 0
    while removed := _prune_some(database, key, before, now, followers):
        gone += removed
    return gone


def kept_for(database: Database, before: datetime, followers: Collection[str]) -> int:
    """How many events older than `before` stay because one of the followers has not had them."""
    with database.read() as connection:
        told = followed_to(connection, followers)
        if told is None:
            return 0
        waiting = select(func.count()).where(audit_events.c.id > told, audit_events.c.at < before)
        return connection.execute(waiting).scalar_one()


def _prune_some(
    database: Database, key: SigningKey, before: datetime, now: datetime, followers: Collection[str]
) -> int:
    with database.change() as connection:
        last = _last_to_go(connection, before, followers)
        if last is None:
            return 0
        column = audit_events.c
        first = connection.execute(select(func.min(column.id))).scalar_one()
        anchor = asdict(key.sign(Purpose.ANCHOR, last, now))
        anchor.pop("purpose")
        # The anchor comes first: the triggers let go only what it covers.
        connection.execute(insert(audit_anchors).values(**{**anchor, "at": now}))
        removed = connection.execute(delete(audit_events).where(column.id <= last.sequence)).rowcount
        detail = f"events {first} to {last.sequence}, older than {before.isoformat()}; anchor {last.sha256}"
        event = AuditEvent(at=now, actor="operator", action="prune", outcome="removed", detail=detail)
        audit.append(connection, event)
        return removed


def _last_to_go(connection: Connection, before: datetime, followers: Collection[str]) -> Link | None:
    column = audit_events.c
    first = connection.execute(select(func.min(column.id))).scalar()
    if first is None:
        return None
    end = first + _AT_ONCE
    # A clock that was wrong for a while leaves an event that is too young: it holds up what came after it.
    young = select(func.min(column.id)).where(column.id < end, column.at >= before)
    kept_from = connection.execute(young).scalar() or end
    told = followed_to(connection, followers)
    if told is not None:
        kept_from = min(kept_from, told + 1)
    statement = select(column.id, column.sha256).where(column.id < kept_from).order_by(column.id.desc()).limit(1)
    row = connection.execute(statement).one_or_none()
    return None if row is None else Link(sequence=row.id, sha256=row.sha256)

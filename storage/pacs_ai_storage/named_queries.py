"""Questions about the audit log that are kept under a name; what is kept, replaced or removed has its event."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from . import audit
from .database import Database
from .records import AuditEvent
from .schema import instances, named_queries

_ACTOR = "operator"


class NamesAPatient(Exception):
    """An option is the ID of a patient whose instances are known; it is not told here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedQuery:
    """The options of a query, by name."""

    name: str
    options: Mapping[str, str | int | float]
    saved_at: datetime


def save_query(database: Database, query: NamedQuery) -> None:
    """The query is kept in the place of one of its name; raises NamesAPatient, with nothing changed."""
    options = json.dumps(dict(query.options), sort_keys=True, ensure_ascii=False)
    with database.change() as connection:
        _refuse_patients(connection, query)
        this = named_queries.c.name == query.name
        connection.execute(delete(named_queries).where(this))
        row = {"name": query.name, "options": options, "saved_at": query.saved_at}
        connection.execute(insert(named_queries), row)
        _note(connection, "save-query", query.name, query.saved_at, options)


def saved_queries(connection: Connection) -> list[NamedQuery]:
    """All that are kept, by name."""
    rows = connection.execute(select(named_queries).order_by(named_queries.c.name))
    return [NamedQuery(name=row.name, options=json.loads(row.options), saved_at=row.saved_at) for row in rows]


def delete_query(database: Database, name: str, now: datetime) -> bool:
    """The query is gone; False when there was none of this name."""
    with database.change() as connection:
        if not connection.execute(delete(named_queries).where(named_queries.c.name == name)).rowcount:
            return False
        _note(connection, "delete-query", name, now, None)
        return True


def _refuse_patients(connection: Connection, query: NamedQuery) -> None:
    said = [query.name, *(value for value in query.options.values() if isinstance(value, str))]
    known = select(instances.c.patient_id).where(instances.c.patient_id.in_(said)).limit(1)
    if connection.execute(known).first() is not None:
        raise NamesAPatient


def _note(connection: Connection, action: str, name: str, at: datetime, detail: str | None) -> None:
    audit.append(connection, AuditEvent(at=at, actor=_ACTOR, action=action, outcome=name, detail=detail))

"""What can be said of a database without changing it: whether it answers, its schema, and whether commits last."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from .database import Database, LedgerUnavailable, schema_revision
from .negotiations import negotiated
from .pairing import mark_of
from .records import NegotiatedForm
from .schema import NEWEST_REVISION, audit_events

# In SQLite, FULL is 2 and EXTRA 3: a commit has reached the disk when it returns.
_SQLITE_FULL = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """`revision` is None without a schema of ours; what needs this version's schema is empty under another."""

    revision: str | None
    is_durable: bool
    durability: str
    newest_event_at: datetime | None
    data_folder: str | None
    negotiated: tuple[NegotiatedForm, ...]


def examine(url: str, nodes: tuple[str, ...]) -> Examination:
    """The database at the URL as it is; raises LedgerUnavailable, without the URL, when it does not answer as one."""
    try:
        database = Database(url)
        try:
            return _examine(database, nodes)
        finally:
            database.close()
    except (SQLAlchemyError, ImportError) as error:
        reason = str(getattr(error, "orig", None) or type(error).__name__)
        message = f"the database does not answer: {reason}"
        raise LedgerUnavailable(message) from error


def _examine(database: Database, nodes: tuple[str, ...]) -> Examination:
    revision = schema_revision(database)
    is_current = revision == NEWEST_REVISION
    with database.read() as connection:
        is_durable, durability = _durability(connection)
        newest = connection.execute(select(func.max(audit_events.c.at))).scalar() if is_current else None
        remembered = [form for node in nodes for form in negotiated(connection, node)] if is_current else []
    return Examination(
        revision=revision,
        is_durable=is_durable,
        durability=durability,
        newest_event_at=newest,
        data_folder=mark_of(database) if is_current else None,
        negotiated=tuple(remembered),
    )


def _durability(connection: Connection) -> tuple[bool, str]:
    if connection.dialect.name == "sqlite":
        journal = str(connection.execute(text("PRAGMA journal_mode")).scalar())
        synchronous = int(connection.execute(text("PRAGMA synchronous")).scalar() or 0)
        is_durable = journal == "wal" and synchronous >= _SQLITE_FULL
        return is_durable, f"SQLite, journal_mode={journal}, synchronous={synchronous}"
    committed = str(connection.execute(text("SHOW synchronous_commit")).scalar())
    synced = str(connection.execute(text("SHOW fsync")).scalar())
    is_durable = committed != "off" and synced == "on"
    return is_durable, f"PostgreSQL, synchronous_commit={committed}, fsync={synced}"

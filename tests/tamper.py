"""An audit log and ways to change it behind the back of the database's own rules."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from pacs_ai_storage import audit
from pacs_ai_storage.chain import Link, chained
from pacs_ai_storage.database import Database
from pacs_ai_storage.records import AuditEvent
from pacs_ai_storage.schema import audit_events, audit_head
from pacs_ai_storage.tampering import current_head
from sqlalchemy import Connection, bindparam, delete, insert, select, text, update

AT = datetime(2026, 1, 5, 10, 30, tzinfo=UTC)
COLUMNS = [column.name for column in audit_events.columns]
Row = dict[str, Any]


def chance_of(seed: int) -> Random:
    """Chance that comes out the same at each run."""
    return Random(seed)  # noqa: S311 - nothing here is a secret


def some_events(count: int, chance: Random) -> list[AuditEvent]:
    """Events of every shape, a second apart."""
    kinds: Sequence[Callable[[int], Row]] = (
        lambda number: {"actor": "CR_1", "action": "receive", "study_instance_uid": f"1.2.{number}", "outcome": "kept"},
        lambda _: {"actor": "CR_2", "action": "refuse-receive", "outcome": "0xC000", "detail": "größer, 放射線"},
        lambda number: {
            "actor": "service",
            "action": "read",
            "study_instance_uid": f"1.2.{number}",
            "sop_instance_uid": f"1.2.{number}.1",
            "outcome": chance.choice(["positive", "negative"]),
            "probability": chance.random(),
            "model": "tiny 0.1",
            "calling_ae_title": "CR_1",
        },
    )
    return [AuditEvent(at=AT + timedelta(seconds=n), **chance.choice(kinds)(n)) for n in range(1, count + 1)]


def write(database: Database, events: Sequence[AuditEvent]) -> None:
    """The events are in the log."""
    with database.change() as connection:
        audit.append(connection, *events)


def without_rules(connection: Connection) -> None:
    """The database refuses nothing until the transaction is rolled back, as for one who owns it."""
    if connection.dialect.name == "sqlite":
        names = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all()
        for name in names:
            connection.execute(text(f"DROP TRIGGER {name}"))
        return
    for table in ("audit_events", "audit_head"):
        connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What was done, and the first event that is not as it was."""

    name: str
    first: int


def change_anything(connection: Connection, chance: Random, length: int) -> Change:
    """One change of one kind somewhere in a log of this length."""
    kinds = (change_a_column, remove_one, insert_one, swap_two, cut_the_end, rewrite_one)
    return chance.choice(kinds)(connection, chance, length)


def change_a_column(connection: Connection, chance: Random, length: int) -> Change:
    number, name = chance.randint(1, length), chance.choice(COLUMNS)
    row = read(connection, number)
    changed = {
        "id": length + chance.randint(1, 9),
        "at": row["at"] + timedelta(microseconds=1),
        "probability": chance.random(),
    }
    value = changed.get(name, _other_text(name, row[name], chance))
    connection.execute(update(audit_events).where(audit_events.c.id == number).values({name: value}))
    return Change(name=f"{name} of {number} is {value!r}", first=number)


def _other_text(name: str, value: object, chance: Random) -> str | None:
    said = "" if value is None else str(value)
    others: list[str | None] = sorted({"", "x", said[1:], said.swapcase(), said[:-1] + "é"} - {value, said} | {"x"})
    if audit_events.c[name].nullable and value is not None:
        others.append(None)
    return chance.choice([other for other in others if other != value])


def remove_one(connection: Connection, chance: Random, length: int) -> Change:
    number = chance.randint(1, length)
    connection.execute(delete(audit_events).where(audit_events.c.id == number))
    name = f"{number} removed"
    if number < length and chance.random() < 0.5:
        _push(connection, number, -1)
        name += ", the gap closed"
    return Change(name=name, first=number)


def insert_one(connection: Connection, chance: Random, length: int) -> Change:
    """A false event with proper hashes stands in the chain, and what came after it a place later."""
    number = chance.randint(1, length)
    before = read(connection, number - 1) if number > 1 else {"sha256": "0" * 64}
    _push(connection, number - 1, +1)
    last = Link(sequence=number - 1, sha256=before["sha256"])
    false = {"at": AT, "actor": "service", "action": "read", "outcome": "negative"}
    connection.execute(insert(audit_events), chained([false], last))
    return Change(name=f"{number} inserted", first=number)


def swap_two(connection: Connection, chance: Random, length: int) -> Change:
    first, second = sorted(chance.sample(range(1, length + 1), 2))
    for number, place in ((first, -1), (second, first), (-1, second)):
        connection.execute(update(audit_events).where(audit_events.c.id == number).values(id=place))
    return Change(name=f"{first} and {second} swapped", first=first)


def cut_the_end(connection: Connection, chance: Random, length: int) -> Change:
    """The end is gone, and the database believes that it never was: only an exported head knows."""
    number = chance.randint(2, length)
    connection.execute(delete(audit_events).where(audit_events.c.id >= number))
    last = read(connection, number - 1)
    connection.execute(update(audit_head).values(sequence=last["id"], sha256=last["sha256"]))
    return Change(name=f"cut from {number} on", first=number)


def rewrite_one(connection: Connection, chance: Random, length: int) -> Change:
    """An event is another one with proper hashes."""
    number = chance.randint(1, length)
    row = read(connection, number)
    last = Link(sequence=number - 1, sha256=row["previous_sha256"])
    [false] = chained([{**row, "actor": "another"}], last)
    connection.execute(update(audit_events).where(audit_events.c.id == number).values(false))
    return Change(name=f"{number} rewritten with its hash", first=number)


def read(connection: Connection, number: int) -> Row:
    return dict(connection.execute(select(audit_events).where(audit_events.c.id == number)).mappings().one())


def _push(connection: Connection, after: int, by: int) -> None:
    column = audit_events.c.id
    numbers = connection.execute(select(column).where(column > after).order_by(column)).scalars().all()
    pushed = update(audit_events).where(column == bindparam("old")).values(id=bindparam("new"))
    ordered = numbers if by < 0 else list(reversed(numbers))
    connection.execute(pushed, [{"old": number, "new": number + by} for number in ordered])


def head_of(database: Database) -> Link:
    """The last event."""
    with database.read() as connection:
        return current_head(connection)

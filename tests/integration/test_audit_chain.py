"""An audit log that was changed behind its back says so, and the database refuses what it can."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pacs_ai_storage import audit
from pacs_ai_storage.audit import AuditFilter
from pacs_ai_storage.chain import GENESIS, Link, event_sha256, moment
from pacs_ai_storage.database import Database, sqlite_url
from pacs_ai_storage.following import Follower
from pacs_ai_storage.migration import migrate
from pacs_ai_storage.records import AuditEvent
from pacs_ai_storage.retention import kept_for, prune
from pacs_ai_storage.schema import audit_events, audit_head
from pacs_ai_storage.signing import KEY_NAME, Purpose, SigningKey, read_head, write_head
from pacs_ai_storage.tampering import ManyEnds, current_head, verify
from sqlalchemy import Connection, event, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from tests.tamper import AT, chance_of, change_anything, head_of, read, some_events, without_rules, write

LENGTH = 40
CHANGES = 150


@pytest.fixture
def log(database: Database) -> Database:
    write(database, some_events(LENGTH, chance_of(1)))
    return database


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return SigningKey(tmp_path)


def said(database: Database, key: SigningKey, *heads: object) -> str:
    with database.read() as connection:
        return str(verify(connection, key.public_key, heads).defect)


def test_each_event_carries_the_hash_of_the_one_before(log: Database) -> None:
    with log.read() as connection:
        rows = [dict(row) for row in connection.execute(select(audit_events).order_by(audit_events.c.id)).mappings()]

    assert [row["previous_sha256"] for row in rows] == [GENESIS, *(row["sha256"] for row in rows[:-1])]
    assert [row["sha256"] for row in rows] == [event_sha256({**row, "at": moment(row["at"])}) for row in rows]


def test_the_hash_of_an_event_is_the_one_that_it_had_in_the_first_version() -> None:
    columns = {"id": 7, "at": "2026-01-05 10:30:00.000000", "actor": "Ä", "outcome": None, "probability": 0.1}

    assert event_sha256(columns) == "be23a8f6a8b3581e48d509fcc1584183574b48aa1b798520188e4b86616219f2"


def test_a_log_that_nobody_touched_is_as_it_was_written(log: Database, key: SigningKey) -> None:
    head = key.sign(Purpose.HEAD, head_of(log), AT)

    with log.read() as connection:
        verdict = verify(connection, key.public_key, [head])

    assert (verdict.defect, verdict.events, verdict.last) == (None, LENGTH, head_of(log))


def test_an_empty_log_is_as_it_was_written(database: Database, key: SigningKey) -> None:
    assert said(database, key) == "None"


def test_every_change_is_found_and_the_first_event_that_it_touched_is_named(log: Database, key: SigningKey) -> None:
    chance = chance_of(20260105)
    head = key.sign(Purpose.HEAD, head_of(log), AT)
    missed = []

    for _ in range(CHANGES):
        with log.engine.connect() as connection:
            without_rules(connection)
            change = change_anything(connection, chance, LENGTH)
            defect = verify(connection, key.public_key, [head]).defect
            connection.rollback()
        if defect is None or defect.sequence != change.first:
            missed.append((change, defect))

    assert missed == []
    assert said(log, key, head) == "None"


def test_bytes_that_are_no_text_are_a_change_and_not_an_error(tmp_path: Path, key: SigningKey) -> None:
    database = Database(sqlite_url(tmp_path))
    migrate(database)
    write(database, some_events(5, chance_of(1)))
    with database.engine.begin() as connection:
        without_rules(connection)
        connection.execute(text("UPDATE audit_events SET actor = CAST(x'ff41' AS TEXT), at = 7 WHERE id = 3"))

    assert said(database, key) == "event 3 was changed"
    database.close()


def test_a_cut_end_is_seen_through_an_exported_head(log: Database, key: SigningKey, tmp_path: Path) -> None:
    write_head(key.sign(Purpose.HEAD, head_of(log), AT), tmp_path / "head.json")
    with log.engine.begin() as connection:
        without_rules(connection)
        connection.execute(text("DELETE FROM audit_events WHERE id > 30"))
        connection.execute(update(audit_head).values(sequence=30, sha256=read(connection, 30)["sha256"]))

    assert said(log, key) == "None"
    assert said(log, key, read_head(tmp_path / "head.json")).startswith("event 31 is missing: the head of")


def test_a_log_written_anew_is_seen_through_an_exported_head(log: Database, key: SigningKey) -> None:
    head = key.sign(Purpose.HEAD, replace(head_of(log), sha256="ab" * 32), AT)

    assert said(log, key, head).startswith(f"event {LENGTH} is not the event that the head of")


def test_a_head_that_another_key_has_signed_counts_for_nothing(log: Database, key: SigningKey, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    head = SigningKey(folder).sign(Purpose.HEAD, head_of(log), AT)
    moved = replace(key.sign(Purpose.HEAD, head_of(log), AT), sequence=3)
    anchor = replace(key.sign(Purpose.ANCHOR, head_of(log), AT), purpose=Purpose.HEAD)

    for false in (head, moved, anchor):
        assert "has not signed" in said(log, key, false)


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    first, again = SigningKey(tmp_path), SigningKey(tmp_path)

    assert first.public_key == again.public_key
    assert (tmp_path / KEY_NAME).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir() if "key" in path.name] == [KEY_NAME]


FORBIDDEN = [
    "UPDATE audit_events SET detail = 'x' WHERE id = 3",
    "DELETE FROM audit_events WHERE id = 3",
    "DELETE FROM audit_events",
    "UPDATE audit_head SET sequence = 3",
    "DELETE FROM audit_head",
]
FORBIDDEN_BY_ONE = {
    "sqlite": [
        "INSERT OR REPLACE INTO audit_events SELECT * FROM audit_events WHERE id = 3",
        "INSERT OR REPLACE INTO audit_head SELECT * FROM audit_head",
    ],
    "postgresql": ["TRUNCATE audit_events", "TRUNCATE audit_head", "TRUNCATE audit_anchors"],
}


def test_the_database_itself_refuses_to_change_or_delete_events(log: Database, key: SigningKey) -> None:
    for statement in FORBIDDEN + FORBIDDEN_BY_ONE[log.engine.dialect.name]:
        with pytest.raises(DBAPIError, match="audit log"), log.change() as connection:
            connection.exec_driver_sql(statement)

    assert said(log, key) == "None"


def test_many_that_append_at_the_same_time_make_one_chain(database: Database, key: SigningKey) -> None:
    def append(number: int) -> None:
        events = some_events(3, chance_of(number))
        write(database, events)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(append, range(64)))

    with database.read() as connection:
        verdict = verify(connection, key.public_key)
    assert (verdict.defect, verdict.events) == (None, 192)


def test_an_event_outside_of_a_transaction_of_ours_is_an_error_and_not_lost(database: Database) -> None:
    with database.read() as connection, pytest.raises(KeyError):
        audit.append(connection, AuditEvent(at=AT, actor="service", action="start"))


def test_events_carry_the_station_of_their_study(log: Database) -> None:
    with log.read() as connection:
        stations = {event.calling_ae_title for event in audit.query(connection, AuditFilter(action="read"))}

    assert stations == {"CR_1"}


def numbers(database: Database) -> tuple[int, int]:
    with database.read() as connection:
        least, greatest = connection.execute(select(func.min(audit_events.c.id), func.max(audit_events.c.id))).one()
    return least, greatest


def test_pruning_removes_the_old_end_and_leaves_a_signed_anchor(log: Database, key: SigningKey) -> None:
    head = key.sign(Purpose.HEAD, head_of(log), AT)

    gone = prune(log, key, AT + timedelta(seconds=11), AT + timedelta(days=200))

    assert (gone, numbers(log)) == (10, (11, LENGTH + 1))
    assert said(log, key, head) == "None"
    with log.read() as connection:
        assert [event.action for event in audit.query(connection, AuditFilter(limit=1))] == ["prune"]
        assert verify(connection, key.public_key).start.sequence == 10


def test_a_head_before_the_anchor_proves_nothing_and_says_so(log: Database, key: SigningKey) -> None:
    with log.read() as connection:
        ninth = Link(sequence=9, sha256=read(connection, 9)["sha256"])
    head = key.sign(Purpose.HEAD, ninth, AT)

    prune(log, key, AT + timedelta(seconds=11), AT + timedelta(days=200))

    assert said(log, key).startswith("None")
    assert said(log, key, head).startswith("event 9 was pruned, and the head of 2026-01-05")


def test_pruning_in_portions_leaves_one_chain(log: Database, key: SigningKey) -> None:
    write(log, some_events(20_000, chance_of(2)))

    gone = prune(log, key, AT + timedelta(days=100), AT + timedelta(days=200))

    assert (gone, numbers(log)) == (LENGTH + 20_000, (20_041, 20_043))
    assert said(log, key) == "None"
    assert prune(log, key, AT + timedelta(days=100), AT + timedelta(days=200)) == 0


def test_an_event_that_is_too_young_holds_up_what_came_after_it(log: Database, key: SigningKey) -> None:
    write(log, [replace(some_events(1, chance_of(3))[0], at=AT + timedelta(days=150)), *some_events(3, chance_of(4))])

    assert prune(log, key, AT + timedelta(days=100), AT + timedelta(days=200)) == LENGTH


def test_what_a_follower_has_not_had_stays_until_it_has_it(log: Database, key: SigningKey) -> None:
    follower, end, now = Follower(log, "atna"), AT + timedelta(days=100), AT + timedelta(days=200)
    write(log, some_events(5, chance_of(5)))

    gone = [prune(log, key, end, now, followers=["atna"]) for _ in range(2)]
    kept = kept_for(log, end, ["atna"])
    waiting = follower.next_events(10)
    follower.has(waiting[-1])

    assert (gone, kept, len(waiting)) == ([LENGTH, 0], 5, 5 + 1)  # the log tells of what was removed
    assert prune(log, key, end, now, followers=["atna"]) == 5
    assert kept_for(log, end, ["atna"]) == 0
    assert said(log, key) == "None"


def test_a_follower_that_is_not_in_use_holds_nothing_up(log: Database, key: SigningKey) -> None:
    Follower(log, "atna")
    write(log, some_events(5, chance_of(5)))
    end, now = AT + timedelta(days=100), AT + timedelta(days=200)

    assert kept_for(log, end, []) == 0
    assert kept_for(log, end, ["another"]) == 0
    assert prune(log, key, end, now) == LENGTH + 5


def test_an_anchor_that_this_key_has_not_signed_is_named(log: Database, key: SigningKey, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    prune(log, SigningKey(folder), AT + timedelta(seconds=11), AT + timedelta(days=200))

    assert said(log, key).startswith("event 10 is named by the anchor of")


@pytest.mark.parametrize("gone", [11, 15])
def test_what_is_removed_after_an_anchor_is_seen(gone: int, log: Database, key: SigningKey) -> None:
    prune(log, key, AT + timedelta(seconds=11), AT + timedelta(days=200))
    with log.engine.begin() as connection:
        without_rules(connection)
        connection.execute(text("DELETE FROM audit_events WHERE id <= :gone").bindparams(gone=gone))

    assert said(log, key) == "event 11 is missing"


@contextmanager
def before_the_first_page(database: Database, act: Callable[[], object]) -> Iterator[Connection]:
    """A connection that reads; once its anchors are read, and before any event is, the other thing happens."""
    waiting = [act]

    def happen(_connection: Connection, _cursor: object, statement: str, *_rest: object) -> None:
        if "FROM audit_events" in statement and waiting:
            waiting.pop()()

    with database.read() as connection:
        event.listen(connection, "before_cursor_execute", happen)
        yield connection
    assert waiting == []


def test_what_is_pruned_while_the_log_is_verified_is_no_defect(log: Database, key: SigningKey) -> None:
    def prune_ten() -> None:
        prune(log, key, AT + timedelta(seconds=11), AT + timedelta(days=200))

    with before_the_first_page(log, prune_ten) as connection:
        verdict = verify(connection, key.public_key)

    assert (verdict.defect, verdict.start.sequence, verdict.last) == (None, 10, head_of(log))


def test_what_is_removed_while_the_log_is_pruned_and_verified_is_named(log: Database, key: SigningKey) -> None:
    with log.engine.begin() as connection:
        without_rules(connection)
        connection.execute(text("DELETE FROM audit_events WHERE id = 15"))

    def prune_ten() -> None:
        prune(log, key, AT + timedelta(seconds=11), AT + timedelta(days=200))

    with before_the_first_page(log, prune_ten) as connection:
        assert str(verify(connection, key.public_key).defect) == "event 15 is missing"


def test_a_second_end_of_the_log_is_a_defect_and_not_an_error(log: Database, key: SigningKey) -> None:
    with log.engine.begin() as connection:
        without_rules(connection)
        connection.execute(insert(audit_head).values(id=2, sequence=3, sha256="ab" * 32))

    assert said(log, key) == f"event {LENGTH} is not the only end: the database names 2 (audit_head)"
    with log.read() as connection, pytest.raises(ManyEnds, match="names 2 ends"):
        current_head(connection)

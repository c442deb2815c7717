"""The audit log is appended to and searched."""

from datetime import datetime, timedelta, timezone

import pytest
from pacs_ai_storage import audit
from pacs_ai_storage.audit import AuditFilter
from pacs_ai_storage.database import Database
from pacs_ai_storage.records import AuditEvent

from .studies import AT, STUDY

EVENTS = [
    AuditEvent(at=AT, actor="MODALITY", action="receive", study_instance_uid=STUDY, outcome="kept"),
    AuditEvent(
        at=AT + timedelta(seconds=1),
        actor="service",
        action="read",
        study_instance_uid=STUDY,
        sop_instance_uid=f"{STUDY}.1.1",
        outcome="positive",
        detail="probability=0.930000 model=tiny 100%_sure",
    ),
    AuditEvent(
        at=AT + timedelta(seconds=2), actor="pacs", action="deliver", study_instance_uid="1.2", outcome="accepted"
    ),
    AuditEvent(at=AT + timedelta(seconds=3), actor="CR_ROOM_2", action="refuse-receive", outcome="0xC000"),
]


@pytest.fixture
def log(database: Database) -> Database:
    with database.change() as connection:
        audit.append(connection, *EVENTS)
    return database


def found(log: Database, wanted: AuditFilter) -> list[str]:
    with log.read() as connection:
        return [event.action for event in audit.query(connection, wanted)]


QUERIES = [
    (AuditFilter(), ["receive", "read", "deliver", "refuse-receive"]),
    (AuditFilter(since=AT + timedelta(seconds=2)), ["deliver", "refuse-receive"]),
    (AuditFilter(until=AT + timedelta(seconds=2)), ["receive", "read"]),
    (AuditFilter(since=AT + timedelta(seconds=1), until=AT + timedelta(seconds=2)), ["read"]),
    (AuditFilter(study_instance_uid=STUDY), ["receive", "read"]),
    (AuditFilter(sop_instance_uid=f"{STUDY}.1.1"), ["read"]),
    (AuditFilter(action="deliver"), ["deliver"]),
    (AuditFilter(outcome="0xC000"), ["refuse-receive"]),
    (AuditFilter(actor="MODALITY"), ["receive"]),
    (AuditFilter(text="PROBABILITY"), ["read"]),
    (AuditFilter(text="cr_room"), ["refuse-receive"]),
    (AuditFilter(text="100%_"), ["read"]),
    (AuditFilter(text="M_DALITY"), []),
    (AuditFilter(text="%"), ["read"]),
    (AuditFilter(text='"tiny" 100%'), []),
    (AuditFilter(text="tiny 100"), ["read"]),
    (AuditFilter(text="yti nit"), []),
    (AuditFilter(study_instance_uid=STUDY, action="deliver"), []),
    (AuditFilter(limit=2), ["deliver", "refuse-receive"]),
    (AuditFilter(limit=1, study_instance_uid=STUDY), ["read"]),
]


def test_a_query_finds_the_newest_that_match_oldest_of_them_first(log: Database) -> None:
    answers = [(wanted, found(log, wanted)) for wanted, _ in QUERIES]

    assert answers == QUERIES


def test_an_event_comes_back_as_it_was_written_with_an_identity(log: Database) -> None:
    with log.read() as connection:
        event = audit.query(connection, AuditFilter(action="read"))[0]

    written = EVENTS[1]
    assert event.identity == 2
    assert (event.at, event.actor, event.outcome, event.detail) == (
        written.at,
        written.actor,
        written.outcome,
        written.detail,
    )


def test_the_trail_of_a_study_has_its_events_and_no_other(log: Database) -> None:
    with log.read() as connection:
        events = audit.trail(connection, STUDY)

    assert [(event.action, event.at) for event in events] == [(event.action, event.at) for event in EVENTS[:2]]


def test_the_trail_of_an_unknown_study_is_empty(log: Database) -> None:
    with log.read() as connection:
        assert audit.trail(connection, "1.2.3") == []


def test_times_of_every_zone_are_compared_as_instants(log: Database) -> None:
    tokyo = (AT + timedelta(seconds=3)).astimezone(timezone(timedelta(hours=9)))

    assert found(log, AuditFilter(since=tokyo)) == ["refuse-receive"]


def test_a_time_without_zone_is_not_taken(database: Database) -> None:
    naive = AuditEvent(at=datetime(2026, 1, 5), actor="service", action="read")  # noqa: DTZ001 - the claim is about it

    with pytest.raises(Exception, match="without zone"), database.change() as connection:
        audit.append(connection, naive)

    assert found(database, AuditFilter()) == []


def test_events_are_numbered_without_gaps_also_when_a_transaction_failed(log: Database) -> None:
    def append_and_fail() -> None:
        with log.change() as connection:
            audit.append(connection, EVENTS[0])
            connection.exec_driver_sql("SELECT * FROM nowhere")

    with pytest.raises(Exception, match="nowhere"):
        append_and_fail()
    with log.change() as connection:
        audit.append(connection, EVENTS[3])

    with log.read() as connection:
        assert [event.identity for event in audit.query(connection, AuditFilter())] == [1, 2, 3, 4, 5]

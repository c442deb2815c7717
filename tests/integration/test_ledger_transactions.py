"""Every change of state is an allowed one, and stands only together with its audit event."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from pacs_ai_storage.database import Database
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.outbox import Outbox
from pacs_ai_storage.records import TRANSITIONS, AuditEvent, ClaimedStudy, StudyState
from pacs_ai_storage.schema import metadata
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from .studies import (
    STABLE,
    STUDY,
    TERMS,
    actions,
    arrived,
    bring_to,
    capture,
    claim,
    declined,
    deliver_all,
    read_as_positive,
    report,
)

LATE = STABLE + timedelta(minutes=5)
NO_AUDIT = {
    "sqlite": [
        "CREATE TRIGGER no_audit BEFORE INSERT ON audit_events BEGIN SELECT RAISE(ABORT, 'no audit'); END",
    ],
    "postgresql": [
        "CREATE FUNCTION no_audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no audit'; END $$",
        "CREATE TRIGGER no_audit BEFORE INSERT ON audit_events FOR EACH ROW EXECUTE FUNCTION no_audit()",
    ],
}
WATCH_STATES = {
    "sqlite": [
        "CREATE TABLE changes (was TEXT, became TEXT)",
        """CREATE TRIGGER watch AFTER UPDATE OF state ON studies
           BEGIN INSERT INTO changes VALUES (OLD.state, NEW.state); END""",
    ],
    "postgresql": [
        "CREATE TABLE changes (was TEXT, became TEXT)",
        """CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN INSERT INTO changes VALUES (OLD.state, NEW.state); RETURN NEW; END $$""",
        "CREATE TRIGGER watch AFTER UPDATE OF state ON studies FOR EACH ROW EXECUTE FUNCTION watch()",
    ],
}
Change = Callable[[Database], object]


def record_first(database: Database) -> object:
    return Ledger(database).record(arrived(1))


def record_late(database: Database) -> object:
    return Ledger(database).record(arrived(2, at=LATE))


def record_again(database: Database) -> object:
    return Ledger(database).record(arrived(1, at=LATE))


def claim_it(database: Database) -> object:
    return Ledger(database).claim_stable(STABLE, TERMS)


def claim_abandoned(database: Database) -> object:
    return Ledger(database).claim_stable(LATE, TERMS)


def keep_results(database: Database) -> object:
    again = claim(Ledger(database), LATE)
    return Ledger(database).keep_results(again, read_as_positive(again, capture(), report()), ["pacs"], LATE)


def decline(database: Database) -> object:
    again = claim(Ledger(database), LATE)
    return Ledger(database).keep_results(again, declined(again), ["pacs"], LATE)


def fail(database: Database) -> object:
    return Ledger(database).fail(claim(Ledger(database), LATE), "ValueError", LATE)


def release(database: Database) -> object:
    return Ledger(database).release_leases("here", LATE)


def requeue(database: Database) -> object:
    return Ledger(database).requeue(STUDY, LATE)


def read_again(database: Database) -> object:
    return Ledger(database).read_again(STUDY, LATE)


def mark_read(database: Database) -> object:
    return Ledger(database).mark_read(STUDY, LATE)


def note(database: Database) -> object:
    return Ledger(database).note(AuditEvent(at=LATE, actor="MODALITY", action="refuse-receive"))


def accept(database: Database) -> object:
    outbox = Outbox(database)
    return outbox.accept(outbox.due("pacs", LATE)[0], LATE, "0x0000")


def postpone(database: Database) -> object:
    outbox = Outbox(database)
    return outbox.postpone([(outbox.due("pacs", LATE)[0], LATE)], LATE, "0xA700")


def give_up(database: Database) -> object:
    outbox = Outbox(database)
    return outbox.give_up(outbox.due("pacs", LATE), LATE, "0xA700")


def execute(database: Database, statements: list[str]) -> None:
    with database.change() as connection:
        for statement in statements:
            connection.execute(text(statement))


def everything(database: Database) -> dict[str, list[tuple[object, ...]]]:
    with database.read() as connection:
        return {
            name: sorted(tuple(row) for row in connection.execute(select(table)))
            for name, table in metadata.tables.items()
        }


@pytest.mark.parametrize(
    ("state", "change"),
    [
        (None, record_first),
        (StudyState.RECEIVING, record_again),
        (StudyState.READY, record_late),
        (StudyState.RECEIVING, claim_it),
        (StudyState.PROCESSING, claim_abandoned),
        (StudyState.PROCESSING, release),
        (StudyState.FAILED, requeue),
        (StudyState.DELIVERED, read_again),
        (StudyState.READY, mark_read),
        (StudyState.READY, note),
        (StudyState.READY, accept),
        (StudyState.READY, postpone),
        (StudyState.READY, give_up),
    ],
)
def test_without_its_audit_event_no_change_stands(state: StudyState | None, change: Change, database: Database) -> None:
    if state is not None:
        bring_to(state, database)
    before = everything(database)
    execute(database, NO_AUDIT[database.engine.dialect.name])

    with pytest.raises(DBAPIError, match="no audit"):
        change(database)

    assert everything(database) == before


def end_with_results(ledger: Ledger, claimed: ClaimedStudy) -> None:
    ledger.keep_results(claimed, read_as_positive(claimed, capture(), report()), ["pacs"], STABLE)


def end_with_failure(ledger: Ledger, claimed: ClaimedStudy) -> None:
    ledger.fail(claimed, "ValueError", STABLE)


def end_with_a_pause(ledger: Ledger, claimed: ClaimedStudy) -> None:
    ledger.postpone(claimed, LATE, "OutOfSpace", STABLE)


@pytest.mark.parametrize("end", [end_with_results, end_with_failure, end_with_a_pause])
def test_without_its_audit_event_no_study_comes_to_its_end(
    end: Callable[[Ledger, ClaimedStudy], None], database: Database
) -> None:
    ledger = Ledger(database)
    ledger.record(arrived())
    claimed = claim(ledger)
    before = everything(database)
    execute(database, NO_AUDIT[database.engine.dialect.name])

    with pytest.raises(DBAPIError, match="no audit"):
        end(ledger, claimed)

    assert everything(database) == before


LIVES: list[list[Change]] = [
    [record_first, keep_results, accept, accept, record_late],
    [record_first, keep_results, record_late],
    [record_first, claim_it, claim_abandoned, record_late],
    [record_first, claim_it, release],
    [record_first, decline, record_late],
    [record_first, fail, requeue],
    [record_first, keep_results, accept, accept, read_again],
]


def changes_of(database: Database) -> set[tuple[StudyState, StudyState]]:
    with database.read() as connection:
        return {
            (StudyState(was), StudyState(became)) for was, became in connection.execute(text("SELECT * FROM changes"))
        }


@pytest.mark.parametrize("life", LIVES)
def test_every_change_of_state_is_an_allowed_one_with_its_event(life: list[Change], database: Database) -> None:
    execute(database, WATCH_STATES[database.engine.dialect.name])

    for step in life:
        before = len(actions(database))
        step(database)
        assert len(actions(database)) > before

    changed = changes_of(database)
    assert changed
    assert all(became in TRANSITIONS[was] for was, became in changed)


def test_every_allowed_change_of_state_can_be_reached(database: Database) -> None:
    execute(database, WATCH_STATES[database.engine.dialect.name])
    changed = set()

    for life in LIVES:
        with database.change() as connection:
            for table in metadata.tables.values():
                if not table.name.startswith("audit_"):  # the database keeps those
                    connection.execute(table.delete())
        for step in life:
            step(database)
        changed |= changes_of(database)

    assert changed == {(was, became) for was, allowed in TRANSITIONS.items() for became in allowed}


def test_a_life_ends_as_delivered_and_its_trail_tells_all_of_it(database: Database) -> None:
    bring_to(StudyState.READY, database)

    deliver_all(database)

    assert actions(database) == [
        ("receive", "kept"),
        ("claim", "revision 1"),
        ("build", "capture"),
        ("build", "report"),
        ("read", "positive"),
        ("finish", "READY"),
        ("deliver", "accepted"),
        ("deliver", "accepted"),
        ("finish", "DELIVERED"),
    ]

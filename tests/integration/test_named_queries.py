"""Queries of the audit log that are kept: what comes back, what never goes in, and what the log tells of it."""

import time
from dataclasses import replace
from datetime import datetime

import pytest
from pacs_ai_storage.audit import AuditFilter, query
from pacs_ai_storage.database import Database
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.named_queries import NamedQuery, NamesAPatient, delete_query, save_query, saved_queries

from pacs_ai.errors import WrongUsage
from pacs_ai.questions import BuiltIn, may_be_saved, narrowed, question

from .studies import AT, STABLE, arrived

GIVEN = AuditFilter(calling_ae_title="CR_1", since=AT, least_probability=0.4)


def test_a_kept_query_asks_the_same_again_and_the_options_beside_it_go_first(database: Database) -> None:
    asked = question(GIVEN, 7, BuiltIn.UNCONFIRMED_POSITIVES, {})
    save_query(database, NamedQuery(name="mine", options=asked.given, saved_at=AT))
    with database.read() as connection:
        saved = {item.name: item.options for item in saved_queries(connection)}

    again = question(AuditFilter(), None, "mine", saved)
    other = question(AuditFilter(calling_ae_title="CR_2", patient_id="PAT-7"), 9, "mine", saved)

    assert again == asked
    assert narrowed(again, STABLE) == replace(GIVEN, action="read", outcome="positive", is_unconfirmed=True, limit=7)
    assert (other.wanted.calling_ae_title, other.wanted.limit, other.wanted.since) == ("CR_2", 9, AT)
    assert other.wanted.patient_id == "PAT-7"


@pytest.mark.parametrize(("limit", "expected"), [(None, 1_000_000), (2, 2)])
def test_everything_of_a_study_is_as_much_as_is_asked_for(limit: int | None, expected: int) -> None:
    asked = question(AuditFilter(accession_number="ACC0001"), limit, BuiltIn.STUDY, {})

    assert narrowed(asked, STABLE).limit == expected


@pytest.mark.parametrize(
    ("named", "given"),
    [
        ("given-up", AuditFilter(outcome="accepted")),
        ("refused-at-the-port", AuditFilter(action="read")),
        ("unconfirmed-positives", AuditFilter(outcome="negative")),
    ],
)
def test_what_a_question_asks_by_itself_is_not_asked_otherwise_beside_it(named: str, given: AuditFilter) -> None:
    with pytest.raises(WrongUsage, match="leave out --"):
        narrowed(question(given, None, named, {}), STABLE)


@pytest.mark.parametrize(
    ("now", "since", "until"),
    [
        ("2026-10-25T09:00+01:00", "2026-10-24T18:00+02:00", "2026-10-25T08:00+01:00"),
        ("2026-03-29T09:00+02:00", "2026-03-28T18:00+01:00", "2026-03-29T08:00+02:00"),
        ("2026-07-01T22:30+00:00", "2026-07-01T18:00+02:00", "2026-07-02T08:00+02:00"),
    ],
)
def test_last_night_begins_at_six_and_ends_at_eight_also_when_the_clock_is_changed(
    now: str, since: str, until: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")  # Berlin, by the rule
    time.tzset()
    try:
        night = narrowed(question(AuditFilter(), None, "unconfirmed-positives", {}), datetime.fromisoformat(now))
    finally:
        monkeypatch.undo()
        time.tzset()

    assert (night.since, night.until) == (datetime.fromisoformat(since), datetime.fromisoformat(until))


def test_keeping_and_removing_a_query_is_in_the_audit_log(database: Database) -> None:
    save_query(database, NamedQuery(name="mine", options={"action": "read"}, saved_at=AT))
    save_query(database, NamedQuery(name="mine", options={"action": "refuse"}, saved_at=AT))

    assert (delete_query(database, "mine", AT), delete_query(database, "mine", AT)) == (True, False)

    with database.read() as connection:
        events = [(event.action, event.outcome, event.detail) for event in query(connection, AuditFilter())]
        assert saved_queries(connection) == []
    kept = [("save-query", "mine", '{"action": "read"}'), ("save-query", "mine", '{"action": "refuse"}')]
    assert events == [*kept, ("delete-query", "mine", None)]


def test_a_patient_is_never_kept_in_a_query(database: Database) -> None:
    Ledger(database).record(replace(arrived(1), patient_id="PAT-7"))

    with pytest.raises(WrongUsage, match="never kept"):
        may_be_saved(question(AuditFilter(patient_id="PAT-7"), None, None, {}), "mine")
    for name, options in (("PAT-7", {}), ("mine", {"text": "PAT-7"})):
        with pytest.raises(NamesAPatient) as refusal:
            save_query(database, NamedQuery(name=name, options=options, saved_at=AT))
        assert "PAT-7" not in str(refusal.value)

    with database.read() as connection:
        assert saved_queries(connection) == []
        assert [event.action for event in query(connection, AuditFilter())] == ["receive"]


def test_a_built_in_question_is_not_replaced_and_an_unknown_one_is_named() -> None:
    with pytest.raises(WrongUsage, match="name of its own"):
        may_be_saved(question(AuditFilter(), None, None, {}), BuiltIn.STUDY)
    with pytest.raises(WrongUsage, match=r"'no-such'; known: .*not-analysed.*, mine"):
        question(AuditFilter(), None, "no-such", {"mine": {}})

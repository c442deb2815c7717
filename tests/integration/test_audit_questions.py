"""What people ask of the audit log: by patient, accession, probability, model, station and node."""

from dataclasses import replace
from datetime import timedelta

import pytest
from pacs_ai_storage import audit
from pacs_ai_storage.audit import AuditFilter, NotAnalysed
from pacs_ai_storage.database import Database
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.outbox import Choice, Outbox
from pacs_ai_storage.proofs import Proofs

from .studies import STABLE, STUDY, arrived, capture, claim, declined, deliver_all, read_as_positive, report

OTHER = "1.2.826.0.1.3680043.8.498.8"
READ = AuditFilter(action="read", outcome="positive", is_unconfirmed=True)


@pytest.fixture
def log(database: Database) -> Database:
    """A positive study of MODALITY for the node `pacs`, and one of `pacs` itself that was not analysed."""
    ledger = Ledger(database)
    first = replace(arrived(1), patient_id="PAT-7", accession_number="ACC7")
    ledger.record(first)
    claimed = claim(ledger)
    ledger.keep_results(claimed, read_as_positive(claimed, capture(1), report(1)), ("pacs",), STABLE)
    ledger.record(replace(arrived(1, study=OTHER), patient_id="PAT-77", calling_ae_title="pacs"))
    again = claim(ledger)
    ledger.keep_results(again, declined(again), ("pacs",), STABLE)
    return database


def found(log: Database, wanted: AuditFilter) -> list[tuple[str, str | None]]:
    with log.read() as connection:
        return [(event.action, event.study_instance_uid) for event in audit.query(connection, wanted)]


OF_FIRST = [(action, STUDY) for action in ("receive", "claim", "build", "build", "read", "finish")]
OF_OTHER = [(action, OTHER) for action in ("receive", "claim", "refuse", "finish")]
QUERIES = [
    (AuditFilter(accession_number="ACC7"), OF_FIRST),
    (AuditFilter(patient_id="PAT-7"), OF_FIRST),
    (AuditFilter(patient_id="PAT-77"), OF_OTHER),
    (AuditFilter(patient_id="PAT-"), []),
    (AuditFilter(least_probability=0.9), [("read", STUDY)]),
    (AuditFilter(least_probability=0.93, greatest_probability=0.93), [("read", STUDY)]),
    (AuditFilter(least_probability=0.0, greatest_probability=0.92), []),
    (AuditFilter(model="tiny 0.0.1"), [("read", STUDY)]),
    (AuditFilter(model="tiny"), []),
    (AuditFilter(calling_ae_title="MODALITY"), OF_FIRST),
    (AuditFilter(calling_ae_title="pacs", action="refuse"), [("refuse", OTHER)]),
    (AuditFilter(actor="pacs"), [("receive", OTHER)]),
    (AuditFilter(node="pacs"), []),
    (READ, [("read", STUDY)]),
]


def test_a_query_finds_what_matches_and_nothing_else(log: Database) -> None:
    def by_study(events: list[tuple[str, str | None]]) -> list[tuple[str, str | None]]:
        return sorted(events, key=str)

    answers = [(wanted, by_study(found(log, wanted))) for wanted, _ in QUERIES]

    assert answers == [(wanted, by_study(expected)) for wanted, expected in QUERIES]


def test_what_a_node_answered_is_found_by_the_node_and_not_what_it_sent(log: Database) -> None:
    deliver_all(log)

    assert [action for action, _ in found(log, AuditFilter(node="pacs"))] == ["deliver", "deliver"]


def test_a_positive_study_is_unconfirmed_until_a_node_has_accepted_it(log: Database) -> None:
    outbox = Outbox(log)
    first = outbox.due("pacs", STABLE)[0]

    outbox.postpone([(first, STABLE)], STABLE, "0xA700")
    assert found(log, READ) == [("read", STUDY)]

    deliver_all(log)
    assert found(log, READ) == []


def test_where_a_node_has_to_prove_what_it_has_a_positive_study_is_unconfirmed_until_then(log: Database) -> None:
    outbox, proofs = Outbox(log), Proofs(log)

    for delivery in outbox.due("pacs", STABLE):
        outbox.accept_unproved(delivery, STABLE, "0x0000", prove_at=STABLE)
    assert found(log, READ) == [("read", STUDY)]

    proofs.prove(proofs.due("pacs", STABLE), STABLE, "C-FIND")
    assert found(log, READ) == []


def test_what_a_node_has_of_an_earlier_revision_confirms_no_later_reading(log: Database) -> None:
    deliver_all(log)
    ledger, later = Ledger(log), STABLE + timedelta(hours=1)
    ledger.read_again(STUDY, later)
    claimed = claim(ledger, later)

    ledger.keep_results(claimed, read_as_positive(claimed, report(2)), ("pacs",), later)
    with log.read() as connection:
        assert [event.at for event in audit.query(connection, READ)] == [later]

    deliver_all(log, at=later)
    assert found(log, READ) == []


def test_an_earlier_report_that_is_sent_again_confirms_no_later_reading(log: Database) -> None:
    outbox, ledger, later = Outbox(log), Ledger(log), STABLE + timedelta(hours=1)
    outbox.give_up(outbox.due("pacs", STABLE), STABLE, "0x0122")
    ledger.record(arrived(2, at=later))
    claimed = claim(ledger, later + timedelta(seconds=2))
    read_at = later + timedelta(seconds=2)
    ledger.keep_results(claimed, read_as_positive(claimed, capture(2), report(2)), ("pacs",), read_at)
    unconfirmed = replace(READ, since=read_at)

    outbox.retry(Choice(), read_at, actor="operator")
    due = outbox.due("pacs", read_at)
    earlier = {capture(1).sop_instance_uid, report(1).sop_instance_uid}
    for item in due:
        if item.object.sop_instance_uid in earlier:
            outbox.accept(item, read_at, "0x0000")
    assert found(log, unconfirmed) == [("read", STUDY)] * 2

    deliver_all(log, at=read_at)
    assert found(log, unconfirmed) == []


def test_an_image_that_is_refused_in_each_revision_is_counted_once(log: Database) -> None:
    ledger = Ledger(log)
    for number in (2, 3):
        later = STABLE + timedelta(hours=number)
        ledger.record(replace(arrived(number, study=OTHER, at=later), calling_ae_title="pacs"))
        again = claim(ledger, later + timedelta(seconds=2))
        ledger.keep_results(again, declined(again), ("pacs",), later)

    with log.read() as connection:
        assert [row.instances for row in audit.not_analysed(connection, AuditFilter())] == [3]


def test_what_was_not_analysed_is_counted_by_station_and_reason(log: Database) -> None:
    with log.read() as connection:
        counted = audit.not_analysed(connection, AuditFilter())
        later = audit.not_analysed(connection, AuditFilter(since=STABLE.replace(year=2030)))

    assert counted == [NotAnalysed(calling_ae_title="pacs", reason="NOT_CHEST", instances=1)]
    assert later == []


def test_a_patient_is_in_no_text_that_is_made_of_an_instance_or_a_filter() -> None:
    instance = replace(arrived(1), patient_id="PAT-7")

    assert "PAT-7" not in f"{instance} {AuditFilter(patient_id='PAT-7')}"


def test_a_patient_is_not_told_by_an_error_of_the_database(database: Database) -> None:
    with database.change() as connection:
        connection.exec_driver_sql("DROP TABLE studies")

    with pytest.raises(Exception, match="studies") as failure:
        Ledger(database).record(replace(arrived(1), patient_id="PAT-7"))

    assert "PAT-7" not in str(failure.value)

"""Texts that devices and archives write are kept by every database, whatever they hold."""

from dataclasses import replace

import pytest
from pacs_ai_storage import audit
from pacs_ai_storage.audit import AuditFilter
from pacs_ai_storage.database import Database
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.outbox import Outbox
from pacs_ai_storage.records import DeliveryState, Receipt, StudyState
from pacs_ai_storage.tampering import verify

from .studies import AT, STABLE, arrived, bring_to, claim, seen

# Characters of four bytes, in no order that could be compressed.
LONG = "".join(chr(0x10000 + number * 7919 % 0xF0000) for number in range(6000))
WITH_NUL = "0xA700 out of\0 memory"


def is_whole(database: Database) -> bool:
    with database.read() as connection:
        return verify(connection, None).defect is None


def found_by(database: Database, wanted: AuditFilter) -> int:
    with database.read() as connection:
        return len(audit.query(connection, wanted))


@pytest.mark.parametrize(
    ("written", "stored"), [("AB\0C", "ABC"), ("AB\ud800C", "AB?C"), (LONG, LONG[:512]), ("\0", "")]
)
def test_an_instance_is_kept_and_found_whatever_its_header_says(written: str, stored: str, database: Database) -> None:
    instance = replace(arrived(), accession_number=written, patient_id=written)

    assert Ledger(database).record(instance) is Receipt.NEW

    view = seen(database)
    assert (view.study.accession_number, view.instances[0].patient_id) == (stored, stored)
    assert found_by(database, AuditFilter(patient_id=written, accession_number=written)) == 1
    assert is_whole(database)


def test_an_archive_may_answer_with_any_comment(database: Database) -> None:
    bring_to(StudyState.READY, database)
    outbox = Outbox(database)
    first, second = outbox.due("pacs", STABLE)

    outbox.postpone([(first, STABLE)], STABLE, WITH_NUL)
    outbox.hold("pacs", STABLE, STABLE, WITH_NUL, queued_after=AT)
    outbox.give_up([first], STABLE, WITH_NUL)
    outbox.accept(second, STABLE, WITH_NUL)

    found = {(item.state, item.detail) for item in seen(database).deliveries}
    assert found == {(state, "0xA700 out of memory") for state in (DeliveryState.FAILED, DeliveryState.ACCEPTED)}
    assert is_whole(database)


def test_a_study_may_fail_for_any_reason(database: Database) -> None:
    ledger = Ledger(database)
    ledger.record(arrived())

    ledger.fail(claim(ledger), WITH_NUL, STABLE)

    assert seen(database).study.reason == "0xA700 out of memory"
    assert is_whole(database)

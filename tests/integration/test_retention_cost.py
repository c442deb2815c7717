"""What retention costs follows what is still kept, not what has gone over the years."""

from dataclasses import replace
from datetime import timedelta

import pytest
from pacs_ai_storage.database import Database
from pacs_ai_storage.expiry import Expiry
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.records import StudyState
from pacs_ai_storage.rows import instance_row
from pacs_ai_storage.schema import instances, studies
from sqlalchemy import event, insert

from .studies import AT, STABLE, STUDY, arrived, claim, declined

LATER = STABLE + timedelta(days=60)
_INSTRUCTIONS = 100  # between two counts


def settle_many(database: Database, numbers: range) -> None:
    """Studies that were settled, and whose instances have gone."""
    gone = [replace(arrived(study=f"{STUDY}.{number}"), gone_at=AT) for number in numbers]
    study = {"state": StudyState.DECLINED, "revision": 1, "calling_ae_title": "MODALITY", "attempts": 0}
    times = dict.fromkeys(("received_at", "touched_at", "settled_at"), AT)
    named = [{"study_instance_uid": item.study_instance_uid, "accession_number": "A"} for item in gone]
    with database.change() as connection:
        connection.execute(insert(studies), [{**name, **study, **times} for name in named])
        connection.execute(insert(instances), [instance_row(item) for item in gone])


def work_of(database: Database) -> int:
    """How often SQLite has counted while it looked for what is due."""
    counts = []

    def watch(connection: object, _record: object, _proxy: object) -> None:
        connection.set_progress_handler(lambda: counts.append(1), _INSTRUCTIONS)  # type: ignore[attr-defined]

    event.listen(database.engine, "checkout", watch)
    assert Expiry(database).expire_instances(LATER, LATER) == []
    event.remove(database.engine, "checkout", watch)
    return len(counts)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_studies_whose_files_have_gone_cost_nothing(database: Database) -> None:
    settle_many(database, range(10))
    few = work_of(database)

    settle_many(database, range(10, 3000))

    assert work_of(database) <= few + 1


def test_of_many_settled_studies_what_is_kept_goes(database: Database) -> None:
    settle_many(database, range(300))
    ledger = Ledger(database)
    ledger.record(arrived())
    claimed = claim(ledger)
    ledger.keep_results(claimed, declined(claimed), (), STABLE)

    early = Expiry(database).expire_instances(STABLE - timedelta(seconds=1), LATER)
    gone = Expiry(database).expire_instances(STABLE, LATER)

    assert (early, gone) == ([], [arrived().file])
    assert Expiry(database).expire_instances(STABLE, LATER) == []

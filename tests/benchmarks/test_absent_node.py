"""Sixty thousand results wait for a node that is away: how long each try holds everybody else's transactions up."""

import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pacs_ai_storage.database import Database, sqlite_url
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.migration import migrate
from pacs_ai_storage.outbox import Outbox
from pacs_ai_storage.schema import deliveries, objects, studies
from sqlalchemy import func, insert, select

from tests.integration.studies import arrived

pytestmark = pytest.mark.timeout(900)
AT = datetime(2026, 1, 5, 10, 30, tzinfo=UTC)
WAITING = 60_000
NEW = 200  # of which the audit log does not say yet that they wait
BOUND_SECONDS = 0.5  # of one transaction beside it, so that a C-STORE is answered in time


def _fill(database: Database) -> None:
    uids = [f"1.2.826.0.1.3680043.8.498.{number * 7919 % 99_999_989:08d}.{number}" for number in range(WAITING)]
    with database.change() as connection:
        connection.execute(insert(studies), [_study(uid) for uid in uids])
        connection.execute(insert(objects), [_object(uid) for uid in uids])
        connection.execute(
            insert(deliveries), [_delivery(uid, is_known=number >= NEW) for number, uid in enumerate(uids)]
        )


def _study(uid: str) -> dict[str, Any]:
    return {
        "study_instance_uid": uid,
        "state": "READY",
        "revision": 1,
        "attempts": 0,
        "accession_number": "ACC0001",
        "calling_ae_title": "MODALITY",
        "received_at": AT,
        "touched_at": AT,
    }


def _object(uid: str) -> dict[str, Any]:
    return {
        "sop_instance_uid": f"{uid}.1",
        "study_instance_uid": uid,
        "revision": 1,
        "kind": "report",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.88.34",
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "path": "ab/ab.dcm",
        "size": 2,
        "sha256": "ab" * 32,
    }


def _delivery(uid: str, *, is_known: bool) -> dict[str, Any]:
    return {
        "sop_instance_uid": f"{uid}.1",
        "node": "archive",
        "study_instance_uid": uid,
        "state": "PENDING",
        "attempts": 0,
        "queued_at": AT,
        "next_attempt_at": AT,
        "unreachable_since": AT if is_known else None,
    }


def _hold(database: Database, minutes: int) -> tuple[float, float]:
    """Seconds of one try, and of the slowest instance that was recorded meanwhile."""
    ended, slowest, number = threading.Event(), [0.0], 0
    outbox, ledger = Outbox(database), Ledger(database)

    def hold() -> None:
        now = AT + timedelta(minutes=minutes)
        outbox.hold("archive", now + timedelta(seconds=30), now, "no answer", queued_after=AT - timedelta(hours=72))
        ended.set()

    begun = time.monotonic()
    holding = threading.Thread(target=hold)
    holding.start()
    while not ended.is_set():
        asked = time.monotonic()
        ledger.record(arrived(study=f"1.2.3.{minutes}.{number}"))
        slowest.append(time.monotonic() - asked)
        number += 1
        time.sleep(0.02)
    holding.join()
    return time.monotonic() - begun, max(slowest)


def test_a_node_that_is_away_holds_nobody_up(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path))
    migrate(database)
    _fill(database)

    tries = [_hold(database, minutes) for minutes in (1, 2, 3)]

    for seconds, slowest in tries:
        print(f"\n{WAITING:,} waiting: a try takes {seconds:.1f} s, an instance beside it at most {slowest:.2f} s")
    with database.read() as connection:
        attempts = connection.execute(select(func.min(deliveries.c.attempts), func.max(deliveries.c.attempts))).one()
    assert tuple(attempts) == (3, 3)
    assert max(slowest for _, slowest in tries) < BOUND_SECONDS
    database.close()

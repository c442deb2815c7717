"""The SQLite file under several connections and processes: nobody takes away what another one uses."""

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pacs_ai_storage.database import Database, LedgerUnavailable, sqlite_url
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.migration import migrate

from .studies import STUDY, arrived, seen
from .waiting import wait_until

_LOOK = """
import sqlite3, sys
sqlite3.connect(sys.argv[1]).execute("select 1 from studies").fetchall()
"""


def test_a_command_that_looks_and_ends_leaves_the_log_of_a_service_that_runs(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path))
    migrate(database)
    ledger = Ledger(database)
    ledger.record(arrived(1))
    file = Path(str(database.engine.url.database))

    with database.read(), database.read():  # another connection is opened while one is in use
        subprocess.run([sys.executable, "-c", _LOOK, str(file)], check=True)
        assert file.with_name(f"{file.name}-wal").exists()
    ledger.record(arrived(2))

    assert len(seen(database, STUDY).instances) == 2
    database.close()


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path))
    migrate(database)

    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir() if path.is_file()} == {0o600}
    database.close()


def test_nobody_waits_for_a_lock_behind_all_who_wait_before(tmp_path: Path) -> None:
    database = Database(f"{sqlite_url(tmp_path)}?timeout=60", patience=0.2)
    migrate(database)
    ledger, other = Ledger(database), sqlite3.connect(str(database.engine.url.database))
    other.execute("BEGIN IMMEDIATE")

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ledger.record, arrived(number)) for number in range(4)]
        wait_until(lambda: sum(found.done() for found in asked) == 3)
        other.close()
    refused = [error for found in asked if (error := found.exception()) is not None]

    assert [type(error) for error in refused] == [LedgerUnavailable] * 3
    assert all("others of this process" in str(error) for error in refused)
    assert {str(found.result()) for found in asked if found.exception() is None} == {"new"}
    database.close()

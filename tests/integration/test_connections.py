"""Connections to the ledger: one for each thread that needs it, and an answer to whoever finds none free."""

import os
from contextlib import ExitStack
from pathlib import Path

import pytest
from pacs_ai_storage.database import Database, LedgerUnavailable, sqlite_url
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.migration import migrate
from pacs_ai_storage.records import Receipt

from pacs_ai.settings import DicomSettings, IngestSettings, Settings
from pacs_ai.stores import open_database

from .studies import arrived


def _files_open(folder: Path) -> int:
    return sum(os.path.realpath(file).startswith(str(folder)) for file in Path("/proc/self/fd").iterdir())


def test_a_ledger_of_which_every_connection_is_in_use_is_not_available(database_url: str) -> None:
    database = Database(database_url, connections=2, patience=0.1)
    migrate(database)
    ledger = Ledger(database)

    with database.read(), database.read(), pytest.raises(LedgerUnavailable, match="all connections to it are in use"):
        ledger.record(arrived())

    assert ledger.record(arrived()) is Receipt.NEW
    database.close()


@pytest.mark.timeout(120)
def test_a_service_has_a_connection_for_each_association_and_reader(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, dicom=DicomSettings(max_associations=40), ingest=IngestSettings(readers=20))
    database = open_database(settings)

    with ExitStack() as stack:
        held = [stack.enter_context(database.read()) for _ in range(40 + 20)]

    assert len(held) == 60
    database.close()


def test_after_the_busiest_moment_no_more_files_are_open_than_before(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path), connections=12)
    migrate(database)
    database.open_together()
    before = _files_open(tmp_path)

    with ExitStack() as busy:
        for _ in range(12):
            connection = busy.enter_context(database.read())
            connection.exec_driver_sql("SELECT count(*) FROM studies")
        meanwhile = _files_open(tmp_path)

    assert meanwhile > before
    assert _files_open(tmp_path) == before
    database.close()
    assert _files_open(tmp_path) == 0

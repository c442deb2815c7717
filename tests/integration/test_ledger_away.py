"""A ledger that is locked or gone for a while: the sender is told, and the service goes on without a restart."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pacs_ai_storage.records import StudyState
from sqlalchemy import create_engine, make_url, text

from pacs_ai.service import Service
from pacs_ai.settings import Settings
from tests.conftest import POSTGRESQL
from tests.fakes import TinyClassifier

from .peers import Archive, push
from .services import Gated, Running, radiograph
from .test_web import reasons
from .waiting import wait_until

pytestmark = pytest.mark.timeout(180)
OUT_OF_RESOURCES = 0xA700


@dataclass
class Trouble:
    """What can be done to the database behind a running service."""

    url: str

    @property
    def patient_url(self) -> str:
        """For a service that does not wait for a lock for long; in PostgreSQL its own threads hold some too."""
        if self.is_sqlite:
            return f"{self.url}?timeout=0.3"
        return f"{self.url}?options=-c%20lock_timeout%3D3000"

    @property
    def is_sqlite(self) -> bool:
        return self.url.startswith("sqlite")

    @property
    def _name(self) -> str:
        return str(make_url(self.url).database)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Another connection holds what every transaction needs."""
        if self.is_sqlite:
            with closing(sqlite3.connect(self._name, isolation_level=None, check_same_thread=False)) as other:
                other.execute("BEGIN IMMEDIATE")
                yield
                other.execute("ROLLBACK")
            return
        engine = create_engine(self.url)
        with engine.begin() as other:
            other.execute(text("LOCK TABLE audit_head, studies, instances IN ACCESS EXCLUSIVE MODE"))
            yield
        engine.dispose()

    @contextmanager
    def gone(self) -> Iterator[None]:
        """The file is elsewhere; or the server has dropped all connections and takes no new one."""
        if self.is_sqlite:
            file = Path(self._name)
            away = file.with_name("away")
            away.mkdir(exist_ok=True)
            moved = [found.rename(away / found.name) for found in file.parent.glob(f"{file.name}*")]
            yield
            for found in moved:
                found.rename(file.parent / found.name)
            return
        with self._dropped("ALLOW_CONNECTIONS false"):
            yield
        with self._dropped("ALLOW_CONNECTIONS true"):
            pass

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """The server has become the standby of another; SQLite knows of none, and is locked."""
        if self.is_sqlite:
            with self.locked():
                yield
            return
        with self._dropped("SET default_transaction_read_only = on"):
            yield
        with self._dropped("RESET default_transaction_read_only"):
            pass

    @contextmanager
    def _dropped(self, change: str) -> Iterator[None]:
        """The database is changed so, and has dropped all connections."""
        server = create_engine(f"{POSTGRESQL}/postgres", isolation_level="AUTOCOMMIT")
        with server.connect() as connection:
            connection.execute(text(f"ALTER DATABASE {self._name} {change}"))
            connection.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
                {"name": self._name},
            )
        server.dispose()
        yield


@pytest.fixture
def trouble(database_url: str) -> Trouble:
    return Trouble(database_url)


def test_whatever_befalls_the_ledger_the_sender_is_told_and_all_is_read_and_sent_once(
    settings_with: Callable[..., Settings],
    archive: Archive,
    trouble: Trouble,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    reading, studies = Gated(), [radiograph(tmp_path) for _ in range(4)]
    (first, pushed), (second, locked_out), (third, shut_out), (_, sent) = studies
    locks = []

    def load(_settings: object, _card: object) -> TinyClassifier:
        locks.append(trouble.locked())
        locks[0].__enter__()
        return reading

    service = Service(settings_with(archive.node, url=trouble.patient_url), load=load, port=0)
    started = Running(service=service, port=service.start().port)
    try:
        # Locked at the moment when reading begins.
        wait_until(lambda: "the ledger is not available" in caplog.text)
        refused = push(started.port, locked_out)
        locks[0].__exit__(None, None, None)
        service.wait_until_ready()
        # Locked when a reading ends.
        push(started.port, pushed)
        started.wait_for(first, StudyState.PROCESSING)
        with trouble.locked():
            reading.gate.set()
            wait_until(lambda: "has to wait" in caplog.text)
        accepted = push(started.port, locked_out)
        # Gone while it is needed by everybody.
        started.wait_for(second, StudyState.DELIVERED)
        with trouble.gone():
            refused += push(started.port, shut_out)
        accepted += push(started.port, shut_out)
        for delivered in (first, third):
            started.wait_for(delivered, StudyState.DELIVERED)
        # Gone when a node has just accepted an object.
        caplog.clear()
        outage = trouble.gone()

        def accept_and_cut(_event: object, _number: int) -> int:
            archive.answers = lambda _event, _number: 0x0000
            outage.__enter__()
            return 0x0000

        archive.answers = accept_and_cut
        push(started.port, sent)
        wait_until(lambda: "the ledger is not available" in caplog.text)
        outage.__exit__(None, None, None)
        views = [started.wait_for(study, StudyState.DELIVERED) for study, _ in studies]
    finally:
        service.stop()

    assert not service.has_failed
    assert (refused, accepted) == ([OUT_OF_RESOURCES] * 2, [0x0000] * 2)
    assert Counter(archive.instances) == Counter(item.sop_instance_uid for view in views for item in view.objects)
    assert {view.study.revision for view in views} == {1}


def test_while_the_ledger_takes_no_changes_it_is_away_and_the_service_is_not_ready(
    settings_with: Callable[..., Settings], archive: Archive, trouble: Trouble, tmp_path: Path
) -> None:
    (first, pushed), (second, refused) = radiograph(tmp_path), radiograph(tmp_path)
    settings = settings_with(archive.node, url=trouble.patient_url)
    service = Service(settings, load=lambda _settings, _card: TinyClassifier(), port=0, http_port=0)
    started = Running(service=service, port=service.start().port)
    try:
        service.wait_until_ready()
        push(started.port, pushed)
        started.wait_for(first, StudyState.DELIVERED)
        with trouble.read_only():
            statuses = push(started.port, refused)
            not_ready = reasons(service.http_port)
        statuses += push(started.port, refused)
        started.wait_for(second, StudyState.DELIVERED)
        ready = reasons(service.http_port)
    finally:
        service.stop()

    assert not service.has_failed
    assert statuses == [OUT_OF_RESOURCES, 0x0000]
    assert (not_ready, ready) == ((503, {"ledger"}), (200, set()))

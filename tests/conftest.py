"""Fixtures that more than one kind of test needs."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from pacs_ai_storage.database import Database
from pacs_ai_storage.migration import migrate
from sqlalchemy import Engine, NullPool, create_engine, text

from pacs_ai.imaging import decoders

from . import collection
from .fakes import Clock, TinyClassifier

LONG = (
    "test_kill.py",
    "test_training_network.py",
    "test_fuzz.py",
    "test_orthanc.py",
    "test_fit.py",
    "test_front.py",
    "test_train_commands.py",
    "test_network.py",
    "test_demo_and_process.py",
    "test_command_line.py",
    "test_outcomes.py",
    "test_viewer.py",
    "test_proof.py",
    "test_bad_input.py",
    "test_replay.py",
)
_END_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
POSTGRESQL = os.environ.get("TEST_POSTGRESQL_URL", "postgresql+psycopg://postgres@127.0.0.1:5432")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take minutes come first, so that all sessions end together; the validators judge what all made."""
    order = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.name, len(LONG) + (item.path.name == "test_validators.py")))


@pytest.fixture(scope="session", autouse=True)
def _objects_made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What this session has made is left for the validators of a later one."""
    yield
    collection.leave(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session", autouse=True)
def _codecs() -> None:
    decoders.register()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def classifier() -> TinyClassifier:
    return TinyClassifier()


@pytest.fixture(scope="session")
def _postgresql() -> Iterator[Engine]:
    """A database of this session's own."""
    name = f"pacs_ai_{uuid.uuid4().hex}"
    server = create_engine(f"{POSTGRESQL}/postgres", isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    # Without a pool: a test may end every connection to its database.
    own = create_engine(f"{POSTGRESQL}/{name}", isolation_level="AUTOCOMMIT", poolclass=NullPool)
    yield own
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind that is supported."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    engine: Engine = request.getfixturevalue("_postgresql")
    with engine.connect() as connection:
        # Whatever an earlier test has left open has no hold on the next; an empty schema takes a tenth of the time
        # that an empty database takes.
        connection.execute(text(_END_OTHERS))
        connection.execute(text(f"ALTER DATABASE {engine.url.database} RESET ALL"))
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    return engine.url.render_as_string(hide_password=False)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database of each kind at this version's schema."""
    opened = Database(database_url)
    migrate(opened)
    yield opened
    opened.close()

"""A listener over an empty store and ledger; settings of a service, and an archive for it."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from pacs_ai_storage.audit import AuditFilter, query
from pacs_ai_storage.database import Database
from pacs_ai_storage.instances import InstanceStore
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.records import AuditEvent

from pacs_ai.dimse.contexts import TimeLimits
from pacs_ai.dimse.listener import listen
from pacs_ai.dimse.transport import Limits
from pacs_ai.settings import (
    AuditSettings,
    DeliverySettings,
    DicomSettings,
    HttpSettings,
    IngestSettings,
    Node,
    Settings,
)

from .certificates import Authority
from .peers import HOST, Archive, listening

# A power cut takes a file system of our own: without the right to mount one, it is shown elsewhere.
CANNOT_MOUNT = not hasattr(os, "geteuid") or os.geteuid() != 0 or not Path("/dev/loop-control").exists()
collect_ignore = ["test_power_cut.py"] if CANNOT_MOUNT else []


def pytest_report_header() -> list[str]:
    return ["no power cut: only root can mount a file system on a loop device"] if CANNOT_MOUNT else []


@pytest.fixture(scope="package", autouse=True)
def patience() -> Iterator[None]:
    """Where a test names no time limits, a machine that pauses for a while ends no association."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pacs_ai.dimse.contexts.TimeLimits", partial(TimeLimits, connect=60, associate=60))
        patch.setattr("pacs_ai.dimse.listener.Limits", partial(Limits, request_seconds=60))
        patch.setattr("pacs_ai.doctor.nodes._LIMITS", TimeLimits(connect=60, associate=60, answer=60))
        yield


@dataclass(frozen=True)
class Inbox:
    """The port to push to, and what lies behind it."""

    port: int
    folder: Path
    store: InstanceStore
    database: Database

    @property
    def files(self) -> list[Path]:
        return [found for found in self.folder.rglob("*") if found.is_file()]

    @property
    def events(self) -> list[AuditEvent]:
        with self.database.read() as connection:
            return query(connection, AuditFilter(limit=1000))


@pytest.fixture
def open_inbox(database: Database, tmp_path: Path) -> Iterator[Callable[..., Inbox]]:
    with ExitStack() as stack:

        def opened(*, reserve_bytes: int = 0, limits: Limits | None = None, **changes: object) -> Inbox:
            folder = tmp_path / "data" / "instances"
            store = InstanceStore(folder, reserve_bytes=reserve_bytes)
            settings = DicomSettings(host=HOST, **changes)
            listener = listen(settings, store, Ledger(database), port=0, limits=limits)
            stack.callback(listener.stop)
            return Inbox(port=listener.port, folder=folder, store=store, database=database)

        yield opened


@pytest.fixture
def inbox(open_inbox: Callable[..., Inbox]) -> Inbox:
    return open_inbox()


def quick_settings(data: Path, *nodes: Node, readers: int = 2, url: str = "") -> Settings:
    """What a person would wait for comes at once."""
    return Settings(
        data=data,
        dicom=DicomSettings(host=HOST),
        ingest=IngestSettings(stable_after=0.3, disk_reserve_gb=0, readers=readers),
        delivery=DeliverySettings(first_retry_seconds=0.2, max_retry_seconds=0.4),
        audit=AuditSettings(url=url),
        http=HttpSettings(enabled=False),
        nodes=nodes,
    )


@pytest.fixture
def settings_with(tmp_path: Path) -> Callable[..., Settings]:
    return partial(quick_settings, tmp_path / "data")


@pytest.fixture
def archive() -> Iterator[Archive]:
    with listening(Archive()) as started:
        yield started


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("hospital"), "hospital").found()


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger").found()

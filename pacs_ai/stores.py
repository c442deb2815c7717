"""What survives a power cut, opened as the settings say; light enough for a command that only looks something up."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pacs_ai_storage.database import Database, sqlite_url
from pacs_ai_storage.expiry import Expiry
from pacs_ai_storage.instances import InstanceStore
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.outbox import Outbox
from pacs_ai_storage.proofs import Proofs

from .settings import Settings


def now() -> datetime:
    """The clock of the service."""
    return datetime.now(UTC)


def open_database(settings: Settings) -> Database:
    """The database that the settings name; it is not touched yet."""
    return Database(settings.audit.url or sqlite_url(settings.data))


@dataclass(frozen=True, slots=True)
class Stores:
    """What survives a power cut, opened."""

    database: Database
    instances: InstanceStore
    ledger: Ledger
    outbox: Outbox
    proofs: Proofs
    expiry: Expiry


def open_stores(settings: Settings) -> Stores:
    """Folders and schema are there."""
    from pacs_ai_storage.migration import migrate  # noqa: PLC0415 - queries never need it

    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = open_database(settings)
    migrate(database)
    instances = InstanceStore(
        Path(settings.data) / "instances", reserve_bytes=int(settings.ingest.disk_reserve_gb * 1e9)
    )
    return Stores(
        database=database,
        instances=instances,
        ledger=Ledger(database),
        outbox=Outbox(database),
        proofs=Proofs(database),
        expiry=Expiry(database),
    )

"""What survives a power cut, opened as the settings say; light enough for a command that only looks something up."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from pacs_ai_storage.database import Database, sqlite_url
from pacs_ai_storage.durable import make_folder
from pacs_ai_storage.expiry import Expiry
from pacs_ai_storage.instances import InstanceStore
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.outbox import Outbox
from pacs_ai_storage.pairing import pair
from pacs_ai_storage.proofs import Proofs

from .errors import SettingsError
from .settings import Settings

# A node is delivered to and asked for proof by a thread each.
_OF_EACH_NODE = 2
# Claims, leases, retention, audit messages, storage commitment; pages of health and metrics.
_OF_THE_SERVICE = 10


def now() -> datetime:
    """The clock of the service."""
    return datetime.now(UTC)


def open_database(settings: Settings) -> Database:
    """The database that the settings name; it is not touched yet."""
    return Database(settings.audit.url or sqlite_url(settings.data), connections=_connections(settings))


def _connections(settings: Settings) -> int:
    """One for each thread of the service that may ask at the same moment; they are opened when they are needed."""
    of_nodes = len(settings.nodes) * (settings.delivery.associations + _OF_EACH_NODE)
    return settings.dicom.max_associations + settings.ingest.readers + of_nodes + _OF_THE_SERVICE


def make_data_folder(data: Path) -> None:
    """The folder is there, for its owner alone if it was not; SettingsError where it cannot be."""
    with _usable(data):
        make_folder(data)


def data_problems(data: Path) -> list[str]:
    """Why the folder cannot be there or be written to; nothing is there afterwards that was not before."""
    try:
        with _usable(data):
            nearest = next(folder for folder in (data.resolve(), *data.resolve().parents) if folder.exists())
            TemporaryDirectory(prefix=".pacs-ai-check-", dir=nearest).cleanup()
    except SettingsError as error:
        return [str(error)]
    return []


@contextmanager
def _usable(data: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"data: {data} is no folder to write to ({error.strerror}); name one that this account can use"
        raise SettingsError(message) from error


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
    """Folders and schema are there, and belong together; SettingsError where a folder cannot be, or NotPaired."""
    from pacs_ai_storage.migration import migrate  # noqa: PLC0415 - queries never need it

    make_data_folder(settings.data)
    database = open_database(settings)
    with ExitStack() as in_trouble:
        in_trouble.callback(database.close)
        migrate(database)
        with _usable(settings.data):
            pair(database, settings.data)
            instances = InstanceStore(
                Path(settings.data) / "instances", reserve_bytes=int(settings.ingest.disk_reserve_gb * 1e9)
            )
        in_trouble.pop_all()
    return Stores(
        database=database,
        instances=instances,
        ledger=Ledger(database),
        outbox=Outbox(database),
        proofs=Proofs(database),
        expiry=Expiry(database),
    )

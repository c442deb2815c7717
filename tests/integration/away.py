"""A node that is away while studies are read for it, by a clock that a test moves."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from pacs_ai_storage.audit import AuditFilter, query
from pacs_ai_storage.database import Database, sqlite_url
from pacs_ai_storage.instances import InstanceStore
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.migration import migrate
from pacs_ai_storage.outbox import Outbox
from pacs_ai_storage.views import list_deliveries

from pacs_ai.delivery import RetryPolicy
from pacs_ai.dimse.sender import Sender
from pacs_ai.process import deliver_results
from tests.builders import make_instance, phantom
from tests.fakes import Clock

from .peers import Archive, nobody
from .studies import STUDY, arrived, claim, kept_object, read_as_positive

RETRY = RetryPolicy(first=timedelta(seconds=5), longest=timedelta(minutes=15), give_up_after=timedelta(hours=72))


class Absence:
    """An outbox with studies that come in while the node is away."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.database = Database(sqlite_url(folder))
        migrate(self.database)
        self.clock = clock
        self.store = InstanceStore(folder / "instances")
        self.archive = Archive(port=nobody())
        self.priority: dict[str, str] = {}
        self.expected: list[tuple[int, int, str]] = []

    def read(self, number: int, priority: str) -> None:
        """A study of this priority with one result is in the outbox."""
        instance, study = make_instance(stored=phantom(64, 48, seed=number)), f"{STUDY}.{number}"
        item = kept_object(instance, "report", self.store)
        ledger = Ledger(self.database)
        ledger.record(arrived(study=study, at=self.clock()))
        claimed = claim(ledger, self.clock.pass_by(2))
        result = replace(read_as_positive(claimed, item), priority=priority)
        ledger.keep_results(claimed, result, ["archive"], self.clock())
        self.expected.append((["STAT", "HIGH", "ROUTINE"].index(priority), number, item.sop_instance_uid))

    def deliver(self, retry: RetryPolicy = RETRY) -> int:
        return deliver_results(
            self.archive.node, Outbox(self.database), self.store, Sender("PACS_AI"), retry, self.clock
        )

    @property
    def in_order(self) -> list[str]:
        return [sop_instance_uid for _, _, sop_instance_uid in sorted(self.expected)]

    def states(self) -> set[str]:
        with self.database.read() as connection:
            return {item.state for item in list_deliveries(connection)}

    def tries(self) -> int:
        with self.database.read() as connection:
            return len(query(connection, AuditFilter(outcome="unreachable", limit=10_000)))

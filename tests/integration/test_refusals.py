"""What is refused at the port is in the audit log, however often, and does not fill the disk."""

from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from pacs_ai_storage import audit
from pacs_ai_storage.audit import AuditFilter
from pacs_ai_storage.database import Database, LedgerUnavailable
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.records import AuditEvent

from pacs_ai.dimse.refusals import Refusals

from .studies import AT

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
REFUSED = AuditEvent(at=AT, actor="MODALITY", action="refuse-receive", outcome="0xC000", detail="no UID")
HERE, THERE = "10.0.0.7", "10.0.0.8"


@dataclass
class Port:
    """It refuses what it is told to; its clock stands still until it is moved."""

    database: Database
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.refusals = Refusals(
            ledger=Ledger(self.database),
            now=lambda: AT + timedelta(seconds=self.seconds),
            clock=lambda: self.seconds,
        )

    def refuse(self, times: int, address: str = HERE, **changes: str) -> None:
        for _ in range(times):
            self.refusals.note(address, replace(REFUSED, **changes))

    def told_after(self, seconds: float) -> list[str | None]:
        """The details of the events that are new since then."""
        before = len(self.details())
        self.seconds += seconds
        self.refusals.tell()
        return self.details()[before:]

    def details(self) -> list[str | None]:
        with self.database.read() as connection:
            return [event.detail for event in audit.query(connection, AuditFilter(limit=100_000))]


@pytest.fixture
def port(database: Database) -> Port:
    return Port(database)


def test_what_is_refused_now_and_then_is_told_each_time(port: Port) -> None:
    port.refuse(50)

    assert port.details() == ["no UID"] * 50
    assert port.told_after(60) == []


def test_of_a_flood_the_log_tells_how_many_there_were_and_of_another_kind_as_before(port: Port) -> None:
    port.refuse(5000)
    port.refuse(1, THERE)
    port.refuse(1, detail="no Patient")
    one_by_one = len(port.details())

    told = port.told_after(60)

    assert one_by_one == 52
    assert told == ["no UID; 4950 more from 10.0.0.7 since 2026-01-05 10:30:00+0000"]


def test_a_flood_that_goes_on_is_told_of_more_seldom_and_one_that_is_over_is_forgotten(port: Port) -> None:
    port.refuse(51)
    first = port.told_after(60)
    port.refuse(51)
    too_soon, second = port.told_after(60), port.told_after(60)
    nothing_more = port.told_after(240)
    port.refuse(51)

    assert (len(first), len(too_soon), len(second), len(nothing_more)) == (1, 0, 1, 0)
    assert len(port.told_after(60)) == 1


def test_what_could_not_be_told_is_counted_on(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    def be_away(*_: object) -> None:
        message = "the database does not answer"
        raise LedgerUnavailable(message)

    port.refuse(60)
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(port.refusals.ledger, "note", be_away)
        untold = port.told_after(60)
    port.refuse(55)

    assert untold == []
    assert port.told_after(120) == ["no UID; 15 more from 10.0.0.7 since 2026-01-05 10:30:00+0000"]


def test_at_the_end_everything_is_told(port: Port) -> None:
    port.refuse(60)

    port.refusals.tell(everything=True)

    assert port.details()[50:] == ["no UID; 10 more from 10.0.0.7 since 2026-01-05 10:30:00+0000"]


def test_addresses_without_number_take_no_memory_without_end(port: Port) -> None:
    for number in range(1200):
        port.refuse(1, f"10.0.{number // 250}.{number % 250}")

    assert port.told_after(60) == ["no UID; 150 more from others since 2026-01-05 10:30:00+0000"]

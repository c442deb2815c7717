"""Speed of the audit log and the worklist, and a thousand changes of a log that `verify` has to name.

Run with `make benchmark`; each prints its figure. The bounds are those that the project promises.
"""

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pacs_ai_storage import audit
from pacs_ai_storage.audit import AuditFilter
from pacs_ai_storage.chain import START, Link, chained
from pacs_ai_storage.database import Database, sqlite_url
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.migration import migrate
from pacs_ai_storage.schema import audit_events, audit_head, deliveries, instances, studies
from pacs_ai_storage.signing import Purpose, SigningKey
from pacs_ai_storage.tampering import verify
from pacs_ai_storage.views import unread_studies
from sqlalchemy import insert, update

from pacs_ai.lines.studies import waiting_study
from pacs_ai.policies import priority_policy
from pacs_ai.settings import Settings
from pacs_ai.worklist import order
from tests.integration.studies import STUDY, arrived
from tests.tamper import chance_of, change_anything, head_of, some_events, without_rules, write

AT = datetime(2026, 1, 5, 10, 30, tzinfo=UTC)
EVENTS = 1_000_000
PER_STUDY = 10
OPEN = 10_000
STATIONS = [f"CR_{number:02d}" for number in range(40)]
REASONS = ["NOT_CHEST", "NOT_FRONTAL", "VIEW_UNKNOWN", "AGE_OUT_OF_RANGE", "OUT_OF_DISTRIBUTION", "UNDECODABLE"]
AT_ONCE = 50_000
Row = dict[str, Any]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A million chained events of 100,000 studies in SQLite, of which nobody has read the last 10,000."""
    folder = tmp_path_factory.mktemp("large")
    database = Database(sqlite_url(folder))
    migrate(database)
    begun = time.monotonic()
    _fill(database, chance_of(1))
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    print(f"\n{EVENTS:,} events: built in {time.monotonic() - begun:.0f} s, {size:.0f} MB")
    yield database
    database.close()


def _fill(database: Database, chance: Random) -> None:
    last = START
    for first in range(0, EVENTS // PER_STUDY, AT_ONCE // PER_STUDY):
        numbers = range(first, first + AT_ONCE // PER_STUDY)
        rows = chained([event for number in numbers for event in _events(number, chance)], last)
        last = Link(sequence=rows[-1]["id"], sha256=rows[-1]["sha256"])
        with database.change() as connection:
            connection.execute(insert(audit_events), rows)
            connection.execute(update(audit_head).values(sequence=last.sequence, sha256=last.sha256))
            connection.execute(insert(studies), [_study(number) for number in numbers])
            connection.execute(insert(instances), [_instance(number) for number in numbers])
            connection.execute(insert(deliveries), [_delivery(number) for number in numbers])


def _uid(number: int) -> str:
    return f"1.2.826.0.1.3680043.8.498.{number * 7919 % 99_999_989:08d}.{number}"


def _at(number: int) -> datetime:
    return AT + timedelta(seconds=number * 60)


def _events(number: int, chance: Random) -> list[Row]:
    study, station = _uid(number), STATIONS[min(int(chance.expovariate(0.1)), 39)]
    blank = dict.fromkeys(column.name for column in audit_events.columns if column.name not in {"id", "sha256"})
    blank |= {"study_instance_uid": study, "calling_ae_title": station, "actor": "service"}
    probability = chance.betavariate(0.5, 2.0)
    reading: Row = {
        "action": "read",
        "outcome": "positive" if probability > 0.41 else "negative",
        "probability": probability,
        "model": f"pneumonia {1 + number // 40_000}.0",
        "detail": f"probability={probability:.6f} threshold=0.410000 model=pneumonia 1.0 {_built(chance)}",
    }
    refusal: Row = {"action": "refuse", "outcome": chance.choice(REASONS), "detail": "The image is no frontal view."}
    steps: list[Row] = [
        {"action": "receive", "outcome": "kept", "actor": station, "sop_instance_uid": f"{study}.1"},
        {"action": "claim", "outcome": "revision 1"},
        *(
            {"action": "build", "outcome": kind, "sop_instance_uid": f"{study}.{kind}"[-64:], "detail": _built(chance)}
            for kind in ("capture", "report")
        ),
        {**(refusal if chance.random() < 0.1 else reading), "sop_instance_uid": f"{study}.1"},
        {"action": "finish", "outcome": "READY"},
        {"action": "deliver", "outcome": "postponed" if chance.random() < 0.01 else "accepted", "actor": "pacs"},
        {"action": "deliver", "outcome": "accepted", "actor": "pacs", "detail": "0x0000"},
        {"action": "deliver", "outcome": "accepted", "actor": "archive" if chance.random() < 0.02 else "pacs"},
        {"action": "finish", "outcome": "DELIVERED"},
    ]
    return [{**blank, "at": _at(number) + timedelta(seconds=place), **step} for place, step in enumerate(steps)]


def _built(chance: Random) -> str:
    return f"sha256={chance.randbytes(32).hex()} nodes=pacs"


def _study(number: int) -> Row:
    is_read = number < EVENTS // PER_STUDY - OPEN
    return {
        "study_instance_uid": _uid(number),
        "state": "DELIVERED",
        "revision": 1,
        "accession_number": f"ACC{number:07d}",
        "calling_ae_title": "CR_00",
        "received_at": _at(number),
        "touched_at": _at(number),
        "attempts": 0,
        "outcome": "positive",
        "probability": 0.9,
        "priority": "HIGH",
        "priority_reasons": "pneumonia positive, 90.0%",
        "read_at": _at(number) if is_read else None,
    }


def _instance(number: int) -> Row:
    return {
        "sop_instance_uid": f"{_uid(number)}.1",
        "study_instance_uid": _uid(number),
        "series_instance_uid": f"{_uid(number)}.0",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.1.1",
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "accession_number": f"ACC{number:07d}",
        "patient_id": f"PAT{number // 3:07d}",
        "calling_ae_title": "CR_00",
        "received_at": _at(number),
        "path": "ab/ab.dcm",
        "size": 2,
        "sha256": "ab" * 32,
    }


def _delivery(number: int) -> Row:
    return {
        "sop_instance_uid": f"{_uid(number)}.2",
        "node": "pacs",
        "study_instance_uid": _uid(number),
        "state": "PENDING" if number % 50 == 0 else "ACCEPTED",
        "attempts": 1,
        "queued_at": _at(number) + timedelta(seconds=4),
        "next_attempt_at": _at(number),
    }


def _since(chance: Random) -> AuditFilter:
    since = _at(chance.randrange(EVENTS // PER_STUDY))
    return AuditFilter(since=since, until=since + timedelta(hours=chance.choice([1, 12, 24 * 30])))


def _range(chance: Random) -> AuditFilter:
    least = chance.random()
    return AuditFilter(least_probability=least, greatest_probability=least + chance.choice([0.00001, 0.01, 0.5]))


def _night(chance: Random) -> AuditFilter:
    since = _at(chance.randrange(EVENTS // PER_STUDY))
    until = since + timedelta(hours=14)
    return AuditFilter(since=since, until=until, action="read", outcome="positive", is_unconfirmed=True)


def _number(chance: Random) -> int:
    return chance.randrange(EVENTS // PER_STUDY)


ACTIONS = ["receive", "claim", "build", "read", "refuse", "finish", "deliver", "prune"]
TEXTS = [
    "NOT_CHEST",
    "frontal",
    "0x0000",
    "0x0122",
    "no such words",
    "sha256=00ab",
    "pacs",
    "probability=0.93",
    "archive",
]
FILTERS: dict[str, Callable[[Random], AuditFilter]] = {
    "none": lambda _: AuditFilter(),
    "time": _since,
    "study": lambda chance: AuditFilter(study_instance_uid=_uid(_number(chance))),
    "instance": lambda chance: AuditFilter(sop_instance_uid=f"{_uid(_number(chance))}.1"),
    "accession": lambda chance: AuditFilter(accession_number=f"ACC{_number(chance):07d}"),
    "patient": lambda chance: AuditFilter(patient_id=f"PAT{_number(chance) // 3:07d}"),
    "outcome": lambda chance: AuditFilter(outcome=chance.choice(["positive", "accepted", "postponed", "x", *REASONS])),
    "probability": _range,
    "model": lambda chance: AuditFilter(model=f"pneumonia {chance.randint(1, 4)}.0"),
    "calling AE": lambda chance: AuditFilter(calling_ae_title=chance.choice([*STATIONS, "NOBODY"])),
    "node": lambda chance: AuditFilter(node=chance.choice(["pacs", "archive", "nobody"])),
    "action": lambda chance: AuditFilter(action=chance.choice(ACTIONS)),
    "actor": lambda chance: AuditFilter(actor=chance.choice(["service", "pacs", "nobody", *STATIONS])),
    "action and outcome": lambda chance: AuditFilter(action="deliver", outcome=chance.choice(["postponed", "x"])),
    "text": lambda chance: AuditFilter(text=chance.choice(TEXTS)),
    "unconfirmed positives of a night": _night,
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_query_on_a_million_events_is_answered_in_time(name: str, large: Database) -> None:
    chance = chance_of(7)
    seconds = []

    for _ in range(40):
        wanted = FILTERS[name](chance)
        begun = time.perf_counter()
        with large.read() as connection:
            audit.query(connection, wanted)
        seconds.append(time.perf_counter() - begun)

    p95 = statistics.quantiles(seconds, n=20)[-1] * 1000
    print(f"\naudit query by {name}: median {statistics.median(seconds) * 1000:.1f} ms, p95 {p95:.1f} ms")
    assert p95 < 100


def test_what_was_not_analysed_is_counted_in_time(large: Database) -> None:
    seconds = []
    for _ in range(10):
        begun = time.perf_counter()
        with large.read() as connection:
            counted = audit.not_analysed(connection, AuditFilter())
        seconds.append(time.perf_counter() - begun)

    worst = max(seconds) * 1000
    print(f"\n{sum(row.instances for row in counted)} of all time counted by reason and station in {worst:.1f} ms")
    assert len(counted) > len(REASONS)
    assert worst < 100


def test_a_worklist_of_10_000_open_studies_is_ordered_in_time(large: Database) -> None:
    policy = priority_policy(Settings())
    seconds = []
    gc.freeze()  # as the command does
    for _ in range(20):
        begun = time.perf_counter()
        with large.read() as connection:
            entries = order([waiting_study(study) for study in unread_studies(connection)], policy, _at(100_000))
        seconds.append(time.perf_counter() - begun)

    gc.unfreeze()
    p95 = statistics.quantiles(seconds, n=20)[-1] * 1000
    print(f"\nworklist of {len(entries)} studies: median {statistics.median(seconds) * 1000:.1f} ms, p95 {p95:.1f} ms")
    assert len(entries) == OPEN
    assert p95 < 100


def test_recording_an_instance_takes_little_of_the_processor(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path))
    migrate(database)
    ledger, seconds, busy = Ledger(database), [], []

    for number in range(300):
        instance = arrived(number % 3, study=f"{STUDY}.{number // 3}")
        begun, worked = time.perf_counter(), time.thread_time()
        ledger.record(instance)
        seconds.append(time.perf_counter() - begun)
        busy.append(time.thread_time() - worked)

    database.close()
    median, processor = statistics.median(seconds) * 1000, statistics.median(busy) * 1000
    print(f"\nan instance is recorded in {median:.1f} ms, {processor:.1f} ms of them of the processor")
    assert processor < 4


def test_verify_walks_through_100_000_events_in_time(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path))
    migrate(database)
    write(database, some_events(100_000, chance_of(1)))

    begun = time.monotonic()
    with database.read() as connection:
        verdict = verify(connection, None)
    seconds = time.monotonic() - begun

    database.close()
    print(f"\naudit verify of 100,000 events: {seconds:.1f} s")
    assert (verdict.defect, verdict.events) == (None, 100_000)
    assert seconds < 10


def test_of_1_000_changes_each_is_found_and_named(database: Database, tmp_path: Path) -> None:
    length = 200
    write(database, some_events(length, chance_of(1)))
    key = SigningKey(tmp_path)
    head = key.sign(Purpose.HEAD, head_of(database), AT)
    chance = chance_of(1_000)
    missed = []

    for _ in range(1_000):
        with database.engine.connect() as connection:
            without_rules(connection)
            change = change_anything(connection, chance, length)
            defect = verify(connection, key.public_key, [head]).defect
            connection.rollback()
        if defect is None or defect.sequence != change.first:
            missed.append((change, defect))

    print(f"\n{database.engine.dialect.name}: {1_000 - len(missed)} of 1,000 changes were found and named")
    assert missed == []

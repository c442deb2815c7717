"""A disk that is full at any step of the way: the sender is told, and nothing is lost or doubled once there is room."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest
from pacs_ai_storage.database import Database, LedgerUnavailable
from pacs_ai_storage.instances import InstanceStore, OutOfSpace
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.migration import migrate
from pacs_ai_storage.outbox import Outbox
from pacs_ai_storage.records import StudyState
from pacs_ai_storage.tampering import verify
from pydicom import dcmread

from pacs_ai import readers

from .conftest import quick_settings
from .disks import Disk, small_disk, until_it_works
from .peers import Archive, listening, push
from .services import Gated, Running, radiograph, running
from .studies import STABLE, actions, arrived, capture, claim, read_as_positive, report, seen
from .waiting import wait_until

pytestmark = pytest.mark.timeout(180)
OUT_OF_RESOURCES = 0xA700


@dataclass
class Place:
    """One service for all that follows, which is never restarted: instances on one disk, the ledger on another."""

    started: Running
    archive: Archive
    reading: Gated
    instances: Disk
    ledger: Disk

    def read_onto_a_full_disk(self, study: str, path: Path) -> None:
        """The study was read, and there was no room for its results."""
        self.reading.gate.clear()
        push(self.started.port, path)
        self.started.wait_for(study, StudyState.PROCESSING)
        self.instances.fill()
        self.reading.gate.set()
        wait_until(lambda: ("postpone", None) in self.started.trail(study))

    def assert_delivered_once(self, study: str, path: Path) -> None:
        view = self.started.wait_for(study, StudyState.DELIVERED)
        sent = Counter(self.archive.instances)
        assert [sent[item.sop_instance_uid] for item in view.objects] == [1] * 2
        assert [item.sop_instance_uid for item in view.outcomes] == [dcmread(path).SOPInstanceUID]
        assert [event for event in self.started.trail(study) if event[0] == "receive"] == [("receive", "kept")]
        assert not list((self.instances.folder / "instances" / "incoming").iterdir())
        with self.started.service.stores.database.read() as connection:
            assert verify(connection, None).defect is None


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder, reading = tmp_path_factory.mktemp("disks"), Gated()
    reading.gate.set()
    with (
        small_disk(folder / "data") as instances,
        small_disk(folder / "ledger") as ledger,
        listening(Archive()) as archive,
    ):
        settings = quick_settings(
            instances.folder, archive.node, url=f"sqlite:///{ledger.folder / 'ledger.sqlite'}", readers=2
        )
        with running(settings, reading) as started:
            started.service.wait_until_ready()
            yield Place(started=started, archive=archive, reading=reading, instances=instances, ledger=ledger)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk", megabytes=8) as found:
        yield found


def test_while_the_disk_of_instances_is_full_they_are_refused_and_afterwards_read(place: Place, tmp_path: Path) -> None:
    study, path = radiograph(tmp_path)

    place.instances.fill()
    refused = push(place.started.port, path)
    place.instances.make_room()
    accepted = push(place.started.port, path)

    assert (refused, accepted) == ([OUT_OF_RESOURCES], [0x0000])
    place.assert_delivered_once(study, path)


def test_an_instance_that_the_ledger_has_no_room_for_is_refused_and_afterwards_read(
    place: Place, tmp_path: Path
) -> None:
    study, path = radiograph(tmp_path)

    place.ledger.fill()
    refused = push(place.started.port, path)
    place.ledger.make_room()
    accepted = push(place.started.port, path)

    assert (refused, accepted) == ([OUT_OF_RESOURCES], [0x0000])
    place.assert_delivered_once(study, path)


def test_results_for_which_there_is_no_room_are_made_again(place: Place, tmp_path: Path) -> None:
    study, path = radiograph(tmp_path)

    place.read_onto_a_full_disk(study, path)
    place.instances.make_room()

    place.assert_delivered_once(study, path)


def test_what_came_in_before_the_disk_reached_its_reserve_is_read_and_delivered(tmp_path: Path) -> None:
    study, path = radiograph(tmp_path)
    _, refused = radiograph(tmp_path)

    with listening(Archive()) as archive:
        settings = quick_settings(tmp_path / "data", archive.node)
        waits = settings.ingest.model_copy(update={"stable_after": 60})
        with running(settings.model_copy(update={"ingest": waits})) as first:
            push(first.port, path)
        full = settings.ingest.model_copy(update={"disk_reserve_gb": 1e6})
        with running(settings.model_copy(update={"ingest": full})) as started:
            assert push(started.port, refused) == [OUT_OF_RESOURCES]
            started.wait_for(study, StudyState.DELIVERED)

    assert len(archive.instances) == 2


def test_while_the_disk_is_full_no_study_is_read_in_vain(
    place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "_PAUSE_AFTER_TROUBLE", timedelta(seconds=0.1))
    study, path = radiograph(tmp_path)

    place.read_onto_a_full_disk(study, path)
    wait_until(lambda: "no study is read: the disk is full" in caplog.text)
    Event().wait(1)  # ten times as long as the study has to wait
    place.instances.make_room()

    place.assert_delivered_once(study, path)
    assert [event for event in place.started.trail(study) if event[0] == "postpone"] == [("postpone", None)]


def test_results_that_the_ledger_has_no_room_for_are_made_again(
    place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    study, path = radiograph(tmp_path)

    place.reading.gate.clear()
    push(place.started.port, path)
    place.started.wait_for(study, StudyState.PROCESSING)
    place.ledger.fill()
    place.reading.gate.set()
    wait_until(lambda: "has to wait" in caplog.text)
    place.ledger.make_room()

    place.assert_delivered_once(study, path)


def test_what_a_node_accepted_while_the_ledger_had_no_room_is_not_sent_again(
    place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    study, path = radiograph(tmp_path)

    def accept_and_fill(_event: object, _number: int) -> int:
        place.archive.answers = lambda _event, _number: 0x0000
        place.ledger.fill()
        return 0x0000

    place.archive.answers = accept_and_fill
    push(place.started.port, path)
    wait_until(lambda: "the ledger is not available" in caplog.text)
    place.ledger.make_room()

    place.assert_delivered_once(study, path)


def test_wherever_the_disk_ends_a_file_is_whole_or_not_there(disk: Disk) -> None:
    store, content = InstanceStore(disk.folder / "instances"), bytes(range(256)) * 64

    def keep() -> bool:
        try:
            kept = store.keep([content])
        except OutOfSpace:
            assert not list(disk.folder.rglob("*.part"))
            assert not list(disk.folder.rglob("*.dcm"))
            return False
        assert store.locate(kept).read_bytes() == content
        return True

    assert until_it_works(disk, keep) >= 2


def test_wherever_the_disk_of_the_ledger_ends_a_change_stands_with_its_event_or_not_at_all(disk: Disk) -> None:
    database = Database(f"sqlite:///{disk.folder / 'ledger.sqlite'}")
    migrate(database)
    ledger, outbox = Ledger(database), Outbox(database)

    def done(step: Callable[[], object], event: str) -> bool:
        """Whether it stands: both, or neither."""
        before = actions(database)
        with suppress(LedgerUnavailable):
            step()
        added = [action for action, _ in actions(database)[len(before) :]]
        assert added in ([], [event]) or event in added
        return bool(added)

    received = until_it_works(disk, lambda: done(lambda: ledger.record(arrived()), "receive"))
    claimed = claim(ledger)
    result = read_as_positive(claimed, capture(), report())
    kept = until_it_works(disk, lambda: done(lambda: ledger.keep_results(claimed, result, ["pacs"], STABLE), "finish"))
    for due in outbox.due("pacs", STABLE):
        until_it_works(disk, lambda due=due: done(lambda: outbox.accept(due, STABLE, "0x0000"), "deliver"))

    assert received >= 1
    assert kept >= 1
    assert seen(database).study.state is StudyState.DELIVERED
    assert [action for action, _ in actions(database)].count("receive") == 1
    with database.read() as connection:
        assert verify(connection, None).defect is None
    database.close()

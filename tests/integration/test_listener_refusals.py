"""What cannot be kept is refused with the status that says why, and the association goes on."""

import resource
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pacs_ai_storage.database import Database
from pydicom import dcmread
from pydicom.tag import Tag
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian
from sqlalchemy import text

from tests.builders import make_instance, part10, phantom

from .conftest import Inbox
from .peers import associated, contexts_for, data_set_of, file_of, push, store_as
from .studies import seen

SMALL = phantom(64, 48)
CANNOT_UNDERSTAND, DOES_NOT_MATCH, OUT_OF_RESOURCES = 0xC000, 0xA900, 0xA700
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
Damage = Callable[[bytes], bytes]


def radiograph(folder: Path, **changes: object) -> Path:
    return file_of(folder, make_instance(stored=SMALL, **changes))


def tampered(folder: Path, damage: Damage) -> Path:
    """A file whose meta information says what was meant, and whose data set is damaged."""
    path = radiograph(folder)
    content = data_set_of(path)
    meta = path.read_bytes()[: -len(content)]
    path.write_bytes(meta + damage(content))
    return path


def with_uid(keyword: str, value: str) -> Damage:
    """The data set with another value in the place of one of its UIDs, written past every check."""

    def damage(content: bytes) -> bytes:
        tag = Tag(keyword)
        start = content.index(struct.pack("<HH", tag.group, tag.element) + b"UI") + 6
        length = int.from_bytes(content[start : start + 2], "little")
        padded = value.encode() + b"\0" * (len(value) % 2)
        return content[:start] + struct.pack("<H", len(padded)) + padded + content[start + 2 + length :]

    return damage


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """The disk takes no file larger than this: writing past it fails as on a full disk (EFBIG)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def refusals(inbox: Inbox) -> list[tuple[str | None, str]]:
    return [(event.outcome, event.actor) for event in inbox.events if event.action == "refuse-receive"]


NO_INSTANCES: dict[str, Damage] = {
    "noise": lambda _content: b"\xff" * 500,
    "a letter": lambda _content: b"This is a letter and no data set at all.",
    "cut short": lambda content: content[:20],
    "empty": lambda _content: b"",
    "up and out": with_uid("StudyInstanceUID", "../../../outside"),
    "from the root": with_uid("StudyInstanceUID", "/outside"),
    "through a series": with_uid("SeriesInstanceUID", "1.2.3/../4"),
    "through an instance": with_uid("SOPInstanceUID", "../outside"),
    "only dots": with_uid("StudyInstanceUID", ".."),
    "an empty component": with_uid("StudyInstanceUID", "1.2..3"),
    "longer than 64": with_uid("StudyInstanceUID", "1.2.3" + ".4" * 40),
    "another than announced": with_uid("SOPInstanceUID", "1.2.3"),
}


def test_what_is_no_instance_is_refused_and_the_association_takes_the_next(inbox: Inbox, tmp_path: Path) -> None:
    bad = [tampered(tmp_path, damage) for damage in NO_INSTANCES.values()]
    good = radiograph(tmp_path)
    before = set(tmp_path.rglob("*"))

    *statuses, last = push(inbox.port, *bad, good)

    assert dict(zip(NO_INSTANCES, statuses, strict=True)) == dict.fromkeys(NO_INSTANCES, CANNOT_UNDERSTAND)
    assert last == 0x0000
    assert refusals(inbox) == [("0xC000", "MODALITY")] * len(bad)
    (kept,) = inbox.files
    new = {path for path in set(tmp_path.rglob("*")) - before if path.is_file()}
    assert new <= {kept, *tmp_path.glob("ledger.sqlite*")}


def test_an_instance_that_is_known_in_another_study_is_refused(inbox: Inbox, tmp_path: Path) -> None:
    instance = make_instance(stored=SMALL)
    first = file_of(tmp_path, instance).rename(tmp_path / "first.dcm")
    instance.StudyInstanceUID = "1.2.3.4"
    second = file_of(tmp_path, instance)

    assert push(inbox.port, first, second, first) == [0x0000, CANNOT_UNDERSTAND, 0x0000]

    assert refusals(inbox) == [("0xC000", "MODALITY")]


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_an_instance_without_its_identifiers_is_refused(keyword: str, inbox: Inbox, tmp_path: Path) -> None:
    bad, good = radiograph(tmp_path, **{keyword: None}), radiograph(tmp_path)

    assert push(inbox.port, bad, good) == [CANNOT_UNDERSTAND, 0x0000]

    assert len(inbox.files) == 1
    assert refusals(inbox) == [("0xC000", "MODALITY")]
    assert keyword in (inbox.events[0].detail or "")


def test_a_data_set_of_another_class_than_announced_is_refused(inbox: Inbox, tmp_path: Path) -> None:
    instance = make_instance(stored=SMALL)
    content = data_set_of(file_of(tmp_path, make_instance(stored=SMALL, SOPClassUID=CTImageStorage)))
    head = part10(instance)[: -len(data_set_of(file_of(tmp_path, instance)))]
    bad, good = tmp_path / "bad.dcm", radiograph(tmp_path)
    bad.write_bytes(head + content)

    assert push(inbox.port, bad, good) == [DOES_NOT_MATCH, 0x0000]

    assert len(inbox.files) == 1
    assert refusals(inbox) == [("0xA900", "MODALITY")]


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI:UserWarning")  # pynetdicom warns at both ends
def test_a_command_whose_uid_is_a_path_is_refused_and_nothing_lies_outside(inbox: Inbox, tmp_path: Path) -> None:
    path = radiograph(tmp_path)

    with associated(inbox.port, contexts_for([path])) as association:
        refused = store_as(association, path, "../../../outside")
        accepted = association.send_c_store(path).Status

    assert (refused, accepted) == (CANNOT_UNDERSTAND, 0x0000)
    assert len(inbox.files) == 1
    assert [event.sop_instance_uid for event in inbox.events if event.action == "refuse-receive"] == [None]


def test_below_the_reserve_instances_are_refused_and_the_association_stays(
    open_inbox: Callable[..., Inbox], tmp_path: Path
) -> None:
    inbox = open_inbox(reserve_bytes=1 << 62)
    paths = [radiograph(tmp_path), radiograph(tmp_path)]

    with associated(inbox.port, contexts_for(paths)) as association:
        answers = [association.send_c_store(path) for path in paths]
        still_there = association.is_established

    assert [answer.Status for answer in answers] == [OUT_OF_RESOURCES] * 2
    assert "disk_reserve_gb" in answers[0].ErrorComment
    assert still_there
    assert inbox.files == []


def test_a_refusal_for_want_of_space_is_in_the_audit_log(open_inbox: Callable[..., Inbox], tmp_path: Path) -> None:
    inbox = open_inbox(reserve_bytes=1 << 62)

    push(inbox.port, radiograph(tmp_path))

    assert refusals(inbox) == [("0xA700", "MODALITY")]


def test_a_disk_that_fills_refuses_the_instance_and_takes_it_once_there_is_space(inbox: Inbox, tmp_path: Path) -> None:
    path = file_of(tmp_path, make_instance(stored=phantom(1024, 1024)))

    with associated(inbox.port, contexts_for([path])) as association:
        with largest_file(1_000_000):
            refused = association.send_c_store(path).Status
            left = inbox.files
        accepted = association.send_c_store(path).Status

    assert (refused, left, accepted) == (OUT_OF_RESOURCES, [], 0x0000)
    assert len(inbox.files) == 1


def test_a_ledger_that_cannot_be_written_makes_the_peer_try_again(
    inbox: Inbox, database: Database, tmp_path: Path
) -> None:
    path = radiograph(tmp_path)
    with database.change() as connection:
        connection.execute(text("ALTER TABLE instances RENAME TO elsewhere"))

    with associated(inbox.port, contexts_for([path])) as association:
        refused = association.send_c_store(path).Status
        with database.change() as connection:
            connection.execute(text("ALTER TABLE elsewhere RENAME TO instances"))
        accepted = association.send_c_store(path).Status

    sent = dcmread(path)
    assert (refused, accepted) == (OUT_OF_RESOURCES, 0x0000)
    assert [found.sop_instance_uid for found in seen(database, sent.StudyInstanceUID).instances] == [
        sent.SOPInstanceUID
    ]


def test_a_data_set_that_inflates_to_gigabytes_is_kept_without_being_inflated(inbox: Inbox, tmp_path: Path) -> None:
    instance = make_instance(stored=SMALL, syntax=DeflatedExplicitVRLittleEndian, PixelData=bytes(256 << 20))
    path = file_of(tmp_path, instance)

    tracemalloc.start()
    statuses = push(inbox.port, path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert statuses == [0x0000]
    assert most < 64 << 20

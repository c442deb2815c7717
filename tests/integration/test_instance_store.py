"""Files are whole and durable, or not there."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from pacs_ai_storage.database import Database, sqlite_url
from pacs_ai_storage.instances import InstanceStore, OutOfSpace
from pacs_ai_storage.migration import migrate
from pacs_ai_storage.occupancy import OCCUPIED_NAME, Occupancy, Occupied

FULL_DISK = """
import resource, sys
from pathlib import Path
from types import SimpleNamespace
from pacs_ai_storage.instances import InstanceStore, OutOfSpace
store = InstanceStore(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    store.keep([b"\\0" * 60_000, b"\\1" * 60_000])
except OutOfSpace as error:
    print(error)
kept = store.keep([b"\\0" * 60_000])
print(kept.size)
"""


@pytest.fixture
def store(tmp_path: Path) -> InstanceStore:
    return InstanceStore(tmp_path / "instances")


def files_under(folder: Path) -> list[Path]:
    return [found for found in folder.rglob("*") if found.is_file()]


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_kept_file_is_named_by_the_hash_of_its_bytes(store: InstanceStore) -> None:
    kept = store.keep([b"one ", memoryview(b"two")])

    assert kept.sha256 == hashlib.sha256(b"one two").hexdigest()
    assert kept.path == f"{kept.sha256[:2]}/{kept.sha256}.dcm"
    assert kept.size == len(b"one two")
    assert store.locate(kept).read_bytes() == b"one two"


def test_the_same_bytes_are_the_same_file(store: InstanceStore, tmp_path: Path) -> None:
    first, second = store.keep([b"same"]), store.keep([b"sa", b"me"])

    assert first == second
    assert files_under(tmp_path) == [store.locate(first)]


def test_other_bytes_are_another_file(store: InstanceStore, tmp_path: Path) -> None:
    first, second = store.keep([b"one"]), store.keep([b"two"])

    assert first != second
    assert set(files_under(tmp_path)) == {store.locate(first), store.locate(second)}


def test_a_kept_file_is_found_by_the_next_run(store: InstanceStore, tmp_path: Path) -> None:
    kept = store.keep([b"lasting"])

    assert InstanceStore(tmp_path / "instances").locate(kept).read_bytes() == b"lasting"


def test_below_the_reserve_nothing_comes_in_and_results_are_kept(tmp_path: Path) -> None:
    store = InstanceStore(tmp_path, reserve_bytes=1 << 62)

    with pytest.raises(OutOfSpace, match="disk_reserve_gb"):
        store.begin()
    kept = store.keep([b"a result"])

    assert store.free_bytes() < 0
    assert store.has_room_for_results()
    assert files_under(tmp_path) == [store.locate(kept)]


def test_a_disk_that_does_not_answer_has_no_room(tmp_path: Path) -> None:
    store = InstanceStore(tmp_path / "disk")
    (tmp_path / "disk").rename(tmp_path / "elsewhere")

    assert not store.has_room_for_results()


def test_what_does_not_fit_above_the_reserve_is_not_begun(store: InstanceStore, tmp_path: Path) -> None:
    with pytest.raises(OutOfSpace):
        store.begin(expected_bytes=1 << 62)

    assert files_under(tmp_path) == []


def test_a_disk_that_fills_while_writing_is_out_of_space_and_leaves_nothing(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )

    assert ended.stdout.splitlines() == ["the disk is full", "60000"]
    assert [found.stat().st_size for found in files_under(tmp_path)] == [60_000]


def test_another_error_of_the_disk_is_raised_as_it_is_and_leaves_nothing(store: InstanceStore, tmp_path: Path) -> None:
    blocked = hashlib.sha256(b"one").hexdigest()
    (tmp_path / "instances" / blocked[:2] / f"{blocked}.dcm").mkdir(parents=True)

    with pytest.raises(IsADirectoryError):
        store.keep([b"one"])

    assert files_under(tmp_path) == []


def test_pieces_that_end_in_an_error_leave_nothing(store: InstanceStore, tmp_path: Path) -> None:
    def broken() -> object:
        yield b"one"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        store.keep(broken())

    assert files_under(tmp_path) == []


def test_a_sweep_takes_away_what_an_earlier_run_had_begun_and_nothing_that_is_whole(
    store: InstanceStore, tmp_path: Path
) -> None:
    kept = store.keep([b"whole"])
    for name in ("a", "b"):
        (tmp_path / "instances" / "incoming" / f"{name}.part").write_bytes(b"half")

    store.sweep()

    assert files_under(tmp_path) == [store.locate(kept)]


def test_only_the_owner_can_read_the_database(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path))

    migrate(database)
    with database.read():
        beside = {path.name: mode(path) for path in tmp_path.glob("pacs-ai.sqlite*")}
    database.close()

    assert set(beside) >= {"pacs-ai.sqlite"}
    assert set(beside.values()) == {0o600}


def test_only_the_owner_can_read_what_is_kept(store: InstanceStore, tmp_path: Path) -> None:
    kept = store.locate(store.keep([b"private"]))

    assert mode(kept) == 0o600
    assert [mode(folder) for folder in (kept.parent, tmp_path / "instances" / "incoming")] == [0o700, 0o700]
    assert mode(tmp_path / "instances") == 0o700


def test_a_file_that_is_left_leaves_nothing(tmp_path: Path) -> None:
    store = InstanceStore(tmp_path)

    with store.begin() as arriving:
        arriving.write(b"half")
        assert len(list(tmp_path.rglob("*.part"))) == 1

    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_reserve_is_looked_at_while_a_large_file_comes_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = InstanceStore(tmp_path)
    room = iter([1, 1, -1])
    monkeypatch.setattr(store, "free_bytes", lambda: next(room))

    with store.begin() as arriving:
        for _ in range(31):
            arriving.write(bytes(1 << 20))
        with pytest.raises(OutOfSpace, match="disk_reserve_gb"):
            arriving.write(bytes(1 << 20))

    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not say so of a file system")
@pytest.mark.parametrize(
    ("changes", "takes"),
    [
        ({"f_files": 1000, "f_favail": 0}, False),
        ({"f_files": 0, "f_favail": 0}, True),
        ({"f_files": 1000, "f_favail": 1, "f_flag": os.ST_RDONLY}, False),
    ],
)
def test_a_disk_that_takes_no_more_files_says_so(
    changes: dict[str, int], takes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = InstanceStore(tmp_path / "instances")
    found = os.statvfs(tmp_path)
    said = {name: getattr(found, name) for name in ("f_files", "f_favail", "f_flag")} | changes

    monkeypatch.setattr(os, "statvfs", lambda _path: SimpleNamespace(**said))

    assert store.takes_files() is takes


def test_a_folder_that_does_not_let_us_in_is_named(tmp_path: Path) -> None:
    (tmp_path / OCCUPIED_NAME).mkdir()  # a file that cannot be opened, whoever asks

    with pytest.raises(Occupied, match=r"cannot be written \(Is a directory\)"):
        Occupancy(tmp_path)

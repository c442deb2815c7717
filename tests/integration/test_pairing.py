"""A ledger and a data folder that do not belong together are found out before anything is claimed or removed."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pacs_ai_storage import pairing
from pacs_ai_storage.database import SQLITE_NAME, Database, sqlite_url
from pacs_ai_storage.migration import migrate
from pacs_ai_storage.occupancy import Occupied
from pacs_ai_storage.pairing import MARK_NAME, NotPaired, mark_of, pair
from pacs_ai_storage.records import StudyState

from pacs_ai.doctor.check import Verdict
from pacs_ai.doctor.ledger import check_ledger
from pacs_ai.service import Service
from pacs_ai.settings import Settings

from .peers import push
from .services import radiograph, running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@contextmanager
def new_ledger(path: Path) -> Iterator[Database]:
    path.mkdir()
    database = Database(sqlite_url(path))
    migrate(database)
    yield database
    database.close()


def test_a_new_ledger_and_a_new_folder_belong_together_from_then_on(database: Database, folder: Path) -> None:
    pair(database, folder)
    mark = mark_of(database)
    pair(database, folder)

    assert mark == mark_of(database) == (folder / MARK_NAME).read_text(encoding="ascii")
    assert (folder / MARK_NAME).stat().st_mode & 0o777 == 0o600
    assert [found.name for found in folder.iterdir()] == [MARK_NAME]


def test_a_second_folder_is_refused_by_the_ledger_of_the_first(
    database: Database, folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    pair(database, folder)

    with pytest.raises(NotPaired, match=r"another folder than .*other.* a ledger of its own"):
        pair(database, other)

    assert list(other.iterdir()) == []


def test_a_folder_that_takes_the_place_of_a_lost_one_is_told_how(
    database: Database, folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    pair(database, folder)
    with pytest.raises(NotPaired) as refused:
        pair(database, other)
    told = re.search(r"write (\w+) into (\S+):", str(refused.value))
    assert told is not None

    Path(told[2]).write_text(f"{told[1]}\n", encoding="ascii")  # as somebody does who follows that
    pair(database, other)

    assert (told[1], Path(told[2])) == (mark_of(database), other / MARK_NAME)


def test_a_new_ledger_is_refused_where_the_files_are_those_of_another(folder: Path, tmp_path: Path) -> None:
    with new_ledger(tmp_path / "first") as first:
        pair(first, folder)

    with new_ledger(tmp_path / "second") as second, pytest.raises(NotPaired, match="files of another ledger"):
        pair(second, folder)

    (folder / MARK_NAME).unlink()
    with new_ledger(tmp_path / "third") as third:
        pair(third, folder)
        assert mark_of(third) == (folder / MARK_NAME).read_text(encoding="ascii")


@pytest.mark.parametrize("step", ["_mark", "sync_folder"])
def test_what_stopped_halfway_is_brought_to_its_end(
    database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def stop(*_: object) -> None:
        raise InterruptedError

    with monkeypatch.context() as patched:
        patched.setattr(pairing, step, stop)
        with pytest.raises(InterruptedError):
            pair(database, folder)

    pair(database, folder)

    assert mark_of(database) == (folder / MARK_NAME).read_text(encoding="ascii")


def test_what_stopped_between_ledger_and_folder_is_brought_to_its_end(
    database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = pairing._mark

    def mark_and_stop(database: Database, mark: str) -> None:
        real(database, mark)
        raise InterruptedError

    with monkeypatch.context() as patched:
        patched.setattr(pairing, "_mark", mark_and_stop)
        with pytest.raises(InterruptedError):
            pair(database, folder)

    pair(database, folder)

    assert mark_of(database) == (folder / MARK_NAME).read_text(encoding="ascii")


def test_of_two_folders_at_the_same_moment_one_is_refused(
    database: Database, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    real = pairing._mark

    def second(database: Database, mark: str) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(pairing, "_mark", real)
            pair(database, other)
        real(database, mark)

    with monkeypatch.context() as patched:
        patched.setattr(pairing, "_mark", second)
        with pytest.raises(NotPaired):
            pair(database, folder)

    assert mark_of(database) == (other / MARK_NAME).read_text(encoding="ascii")


def test_a_service_with_another_folder_leaves_the_studies_of_the_first_alone(
    settings_with: Callable[..., Settings], tmp_path: Path, database_url: str
) -> None:
    settings = settings_with(url=database_url)
    study, path = radiograph(tmp_path)
    with running(settings) as first:
        push(first.port, path)
        with pytest.raises(NotPaired):
            Service(settings.model_copy(update={"data": tmp_path / "other"}))
        first.wait_for(study, StudyState.READY, StudyState.DELIVERED)


def test_a_second_service_with_the_same_folder_is_refused_while_the_first_runs(
    settings_with: Callable[..., Settings],
) -> None:
    settings = settings_with()
    with running(settings), pytest.raises(Occupied, match="in use by another service"):
        Service(settings)
    with running(settings):
        pass


def test_the_doctor_tells_of_a_ledger_of_another_folder(
    settings_with: Callable[..., Settings], tmp_path: Path, database_url: str
) -> None:
    settings = settings_with(url=database_url)
    with running(settings):
        pass

    found = check_ledger(settings.model_copy(update={"data": tmp_path / "other"})).check

    assert check_ledger(settings).check.verdict is Verdict.OK
    assert (found.verdict, "another folder" in found.detail) == (Verdict.FAILED, True)


def test_the_doctor_tells_of_a_folder_whose_ledger_is_gone(settings_with: Callable[..., Settings]) -> None:
    settings = settings_with()
    with running(settings):
        pass
    (settings.data / SQLITE_NAME).unlink()

    found = check_ledger(settings).check

    assert (found.verdict, "another ledger" in found.detail) == (Verdict.FAILED, True)

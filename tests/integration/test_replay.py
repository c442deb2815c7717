"""Readings that are made again from the kept instances."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pacs_ai_storage.schema import readings
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless
from sqlalchemy import update

from pacs_ai.replay import Replayed, Verdict

from .replays import READ_AT, Folder, film, network, new_folder

COMMAND = Path(sys.executable).with_name("pacs-ai")
LATER = READ_AT + timedelta(days=30)
COUNT = 50


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Folder, list[str]]]:
    """Fifty studies that were read, from dark to bright; one is of a hand."""
    folder = new_folder(tmp_path_factory.mktemp("archive"))
    films = [film(60 * number + 20, BodyPartExamined="CHEST") for number in range(COUNT - 1)]
    hand = film(900, BodyPartExamined="HAND", AnatomicRegionSequence=None)
    studies = folder.read(*films, hand)
    yield folder, studies
    folder.stores.database.close()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    opened = new_folder(tmp_path / "folder")
    yield opened
    opened.stores.database.close()


def _named(item: Replayed) -> set[str]:
    return {found.what for found in item.differences}


def test_fifty_studies_are_read_again_as_they_were(archive: tuple[Folder, list[str]]) -> None:
    folder, studies = archive

    replayed = folder.replay(folder.settings, *studies)

    assert [item.verdict for item in replayed] == [Verdict.SAME] * COUNT
    assert {item.kept.said.outcome for item in replayed} == {"positive", "negative", "not_analysed"}
    assert all(item.differences == () == item.software for item in replayed)


def test_after_a_change_of_network_every_study_is_named_with_the_network_and_since_when(tmp_path: Path) -> None:
    folder = new_folder(tmp_path / "folder")
    studies = folder.read(*(film(300 * number + 40) for number in range(8)))
    other = folder.changed(path=str(network(tmp_path / "other", version="2", calibration={"temperature": 1.3})))
    folder.begin(other, LATER)

    replayed = folder.replay(other, *studies)

    assert [item.verdict for item in replayed] == [Verdict.DIFFERS] * len(studies)
    assert all({"model.version", "model.card_sha256", "probability"} <= _named(item) for item in replayed)
    assert all("model.sha256" not in _named(item) for item in replayed)
    assert {found.since for item in replayed for found in item.differences} == {LATER}
    folder.stores.database.close()


def test_a_network_that_no_service_has_read_with_is_not_dated(folder: Folder, tmp_path: Path) -> None:
    studies = folder.read(film(700))
    other = folder.changed(path=str(network(tmp_path / "other", version="2")))

    (item,) = folder.replay(other, *studies)

    assert _named(item) == {"model.version", "model.card_sha256"}
    assert {found.since for found in item.differences} == {None}


def test_since_when_is_the_last_time_that_a_service_went_over_to_what_is_in_use(folder: Folder) -> None:
    strict = folder.changed(threshold=0.9)
    folder.begin(strict, READ_AT - timedelta(minutes=30))
    folder.begin(folder.settings, READ_AT - timedelta(minutes=10))
    studies = folder.read(film(3000))
    folder.begin(strict, LATER)

    (item,) = folder.replay(strict, *studies)

    assert {(found.what, found.then, found.now, found.since) for found in item.differences} == {
        ("outcome", "positive", "negative", LATER),
        ("settings.model.threshold", 0.5, 0.9, LATER),
    }


def test_an_instance_that_is_gone_or_changed_is_not_read_again(folder: Folder) -> None:
    gone, changed, intact = folder.read(film(500), film(900), film(1300))
    folder.kept_file(gone).unlink()
    with folder.kept_file(changed).open("r+b") as file:
        file.seek(-2, 2)
        file.write(b"\x01\x02")

    found = folder.replay(folder.settings, gone, changed, intact)

    assert [(item.verdict, *(difference.now for difference in item.differences)) for item in found] == [
        (Verdict.NOT_KEPT, "gone"),
        (Verdict.NOT_KEPT, "changed"),
        (Verdict.SAME,),
    ]


def test_of_two_patients_in_a_study_the_first_to_come_is_read_again(folder: Folder) -> None:
    study = {"StudyInstanceUID": "1.2.3"}
    first = film(900, SOPInstanceUID="1.2.3.9", PatientID="ONE", **study)
    second = film(900, SOPInstanceUID="1.2.3.1", PatientID="TWO", **study)

    folder.receive(first, at=READ_AT - timedelta(seconds=1))
    folder.read(second)

    replayed = folder.replay(folder.settings, "1.2.3")
    said = {item.kept.said.sop_instance_uid: item.kept.said.reason for item in replayed}
    assert said == {"1.2.3.9": None, "1.2.3.1": "OTHER_PATIENT"}
    assert [item.verdict for item in replayed] == [Verdict.SAME] * 2


@pytest.mark.parametrize("changes", [{"probability": 0.123}, {"outcome": "positive"}, {"reason": "NOT_CHEST"}], ids=str)
def test_what_was_not_said_by_this_network_differs(folder: Folder, changes: dict[str, object]) -> None:
    studies = folder.read(film(500))
    with folder.stores.database.change() as connection:
        connection.execute(update(readings).values(**changes))

    (item,) = folder.replay(folder.settings, *studies)

    assert (item.verdict, _named(item)) == (Verdict.DIFFERS, set(changes))


@pytest.mark.parametrize(("shift", "verdict"), [(5e-7, Verdict.SAME), (2e-6, Verdict.DIFFERS)])
def test_a_probability_may_move_by_a_millionth(folder: Folder, shift: float, verdict: Verdict) -> None:
    studies = folder.read(film(500))
    with folder.stores.database.change() as connection:
        connection.execute(update(readings).values(probability=readings.c.probability + shift))

    assert [item.verdict for item in folder.replay(folder.settings, *studies)] == [verdict]


def test_a_reading_of_an_earlier_version_is_held_against_what_was_kept_of_it(folder: Folder, tmp_path: Path) -> None:
    studies = folder.read(film(500))
    with folder.stores.database.change() as connection:
        connection.execute(update(readings).values(setup_sha256=None, evidence=None))
    other = folder.changed(path=str(network(tmp_path / "other", version="2")))

    (same,), (differs,) = (folder.replay(settings, *studies) for settings in (folder.settings, other))

    assert same.verdict is Verdict.SAME
    assert _named(differs) == {"model.version"}


def test_the_newest_reading_of_each_instance_is_made_again(folder: Folder) -> None:
    first = film(500)
    (study,) = folder.read(first)
    folder.read(film(900, StudyInstanceUID=study), at=LATER)

    replayed = folder.replay(folder.settings, study)

    assert [(item.kept.revision, item.verdict) for item in replayed] == [(2, Verdict.SAME)] * 2
    assert [item.revision for item in folder.view(study).readings] == [1, 2, 2]


@pytest.mark.parametrize("syntax", [DeflatedExplicitVRLittleEndian, JPEG2000Lossless], ids=lambda syntax: syntax.name)
def test_compressed_films_are_read_again_and_the_hash_is_of_their_pixel_data(folder: Folder, syntax: Any) -> None:
    plain, packed = film(500), film(500, syntax=syntax)
    studies = folder.read(plain, packed)

    replayed = folder.replay(folder.settings, *studies)

    assert [item.verdict for item in replayed] == [Verdict.SAME] * 2
    first, second = (json.loads(item.kept.said.evidence or "") for item in replayed)
    assert second["pixel_data_sha256"] == hashlib.sha256(dcmread(folder.kept_file(studies[1])).PixelData).hexdigest()
    assert first["model_input_sha256"] == second["model_input_sha256"]
    is_inflated_alike = syntax == DeflatedExplicitVRLittleEndian
    assert (first["pixel_data_sha256"] == second["pixel_data_sha256"]) is is_inflated_alike


def _run(folder: Folder, *arguments: str, model: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PACS_AI_")}
    environment |= {
        "PACS_AI_DATA": str(folder.settings.data),
        "PACS_AI_MODEL__PATH": model or folder.settings.model.path,
        "PACS_AI_INGEST__DISK_RESERVE_GB": "0",
    }
    line = [COMMAND, "audit", "replay", *arguments]
    return subprocess.run(line, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_the_command_says_of_fifty_studies_that_they_are_the_same(archive: tuple[Folder, list[str]]) -> None:
    folder, studies = archive

    ended = _run(folder, "--all-since", "2026-01-01", "--json")

    printed = [json.loads(line) for line in ended.stdout.splitlines()]
    assert (ended.returncode, ended.stderr) == (0, "")
    assert {line["study_instance_uid"] for line in printed} == set(studies)
    assert {line["verdict"] for line in printed} == {"same"}


def test_the_command_names_all_fifty_after_a_change_of_network(
    archive: tuple[Folder, list[str]], tmp_path: Path
) -> None:
    folder, studies = archive
    other = str(network(tmp_path / "other", version="2"))

    ended = _run(folder, "--all-since", "2026-01-01", model=other)

    lines = ended.stdout.splitlines()
    assert ended.returncode == 1
    assert len([line for line in lines if "model.version 1 -> 2 (not in the log)" in line]) == len(studies)
    assert lines[-1] == f"{COUNT} instances: 0 same, {COUNT} differs, 0 not kept"


def test_the_command_says_which_instance_is_gone_and_ends_with_1(folder: Folder) -> None:
    gone, intact = folder.read(film(500), film(900))
    folder.kept_file(gone).unlink()

    ended = _run(folder, gone, intact)

    assert ended.returncode == 1
    assert [line.split("\t")[3::3] for line in ended.stdout.splitlines()[1:3]] == [
        ["not kept", "the kept instance is gone"],
        ["same", ""],
    ]
    assert "\n2 instances: 1 same, 0 differs, 1 not kept\n" in ended.stdout


def test_the_command_names_what_it_does_not_find(archive: tuple[Folder, list[str]]) -> None:
    folder, _ = archive

    assert [_run(folder, *arguments).returncode for arguments in ([], ["1.2.3"])] == [2, 3]

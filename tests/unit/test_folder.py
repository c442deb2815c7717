"""Files to result objects without a network: one line for each file."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    CTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from pacs_ai.folder import process_folder
from tests.builders import BARE_FORMS, make_instance, part10

from .making import bright, dark, lay, make_reader

STUDY = "1.2.3.4"


def _process(paths: list[Path], out: Path, **changes: object) -> list[dict]:
    return [line.document for line in process_folder(paths, make_reader(**changes), out)]


def _paths(folder: Path, *instances: object) -> list[Path]:
    return [file.path for file in lay(folder, *instances)]


def test_a_film_gives_a_line_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    film = bright()

    (line,) = _process(_paths(tmp_path, film), tmp_path / "out")

    assert line["path"] == str(tmp_path / "0.dcm")
    assert line["study_instance_uid"] == film.StudyInstanceUID
    assert line["sop_instance_uid"] == film.SOPInstanceUID
    assert (line["outcome"], line["reason"], line["detail"]) == ("positive", None, None)
    assert line["probability"] >= line["threshold"] == 0.5
    assert line["model"] == {"name": "tiny", "version": "0.0.1", "sha256": "0123456789abcdef" * 4}


def test_the_objects_of_a_line_are_on_disk_and_are_what_it_says(tmp_path: Path) -> None:
    (line,) = _process(_paths(tmp_path, bright()), tmp_path / "out")

    assert [item["kind"] for item in line["objects"]] == ["capture", "report"]
    for item in line["objects"]:
        written = dcmread(item["path"])
        assert Path(item["path"]).parent == tmp_path / "out"
        assert (written.SOPClassUID, written.SOPInstanceUID) == (item["sop_class_uid"], item["sop_instance_uid"])
    assert [item["sop_class_uid"] for item in line["objects"]] == [
        SecondaryCaptureImageStorage,
        Comprehensive3DSRStorage,
    ]


def test_the_films_of_a_study_share_its_report(tmp_path: Path) -> None:
    paths = _paths(tmp_path, bright(StudyInstanceUID=STUDY), dark(StudyInstanceUID=STUDY))

    first, second = _process(paths, tmp_path / "out")

    assert first["objects"][1] == second["objects"][1]
    assert first["objects"][0] != second["objects"][0]
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_two_studies_have_two_reports_in_the_order_in_which_they_are_met(tmp_path: Path) -> None:
    films = [dark(StudyInstanceUID="1.2"), dark(StudyInstanceUID="1.1"), dark(StudyInstanceUID="1.2")]

    lines = _process(_paths(tmp_path, *films), tmp_path / "out")

    assert [line["study_instance_uid"] for line in lines] == ["1.2", "1.2", "1.1"]
    assert len({line["objects"][1]["path"] for line in lines}) == 2


def test_a_refused_film_gives_a_line_with_its_reason_and_the_report_of_its_study(tmp_path: Path) -> None:
    paths = _paths(tmp_path, dark(StudyInstanceUID=STUDY), dark(StudyInstanceUID=STUDY, Modality="MR"))

    read, refused = _process(paths, tmp_path / "out")

    assert read["outcome"] == "negative"
    assert (refused["outcome"], refused["reason"]) == ("not_analysed", "WRONG_MODALITY")
    assert (refused["probability"], refused["model"]) == (None, None)
    assert refused["objects"] == [item for item in read["objects"] if item["kind"] == "report"]
    assert refused["detail"]


def test_no_report_speaks_of_what_is_no_radiograph(tmp_path: Path) -> None:
    slice_of_ct = dark(StudyInstanceUID=STUDY, SOPClassUID=CTImageStorage, Modality="CT")

    read, refused = _process(_paths(tmp_path, dark(StudyInstanceUID=STUDY), slice_of_ct), tmp_path / "out")

    assert len(read["objects"]) == 2
    assert (refused["reason"], refused["objects"]) == ("UNSUPPORTED_SOP_CLASS", [])


def test_a_file_that_is_no_dicom_gives_a_line_without_uids(tmp_path: Path) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear colleague")

    (line,) = _process([letter], tmp_path / "out")

    assert (line["path"], line["outcome"], line["reason"]) == (str(letter), "not_analysed", "NOT_DICOM")
    assert (line["study_instance_uid"], line["sop_instance_uid"]) == (None, None)


def test_every_file_has_its_line_whatever_it_holds(tmp_path: Path) -> None:
    paths = _paths(tmp_path, bright(), dark(Modality="MR"), make_instance(PixelData=None))
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(name)
        paths.append(tmp_path / name)

    lines = _process(paths, tmp_path / "out")

    assert sorted(line["path"] for line in lines) == sorted(map(str, paths))
    assert [line["reason"] for line in lines] == [None, "WRONG_MODALITY", "UNDECODABLE", "NOT_DICOM", "NOT_DICOM"]


@pytest.mark.parametrize("written", BARE_FORMS, ids=lambda form: form.__name__)
@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian], ids=lambda syntax: syntax.keyword
)
def test_a_film_without_preamble_or_file_meta_is_answered_as_a_whole_file_is(
    tmp_path: Path, written: Callable[[Dataset], bytes], syntax: UID
) -> None:
    film = bright(syntax=syntax)
    bare = tmp_path / "bare"
    bare.write_bytes(written(film))
    (whole,) = _process(_paths(tmp_path, film), tmp_path / "whole")

    (line,) = _process([bare], tmp_path / "out")

    kept = ("outcome", "probability", "study_instance_uid", "sop_instance_uid")
    assert [line[key] for key in kept] == [whole[key] for key in kept]
    assert line["outcome"] == "positive"
    assert [item["sop_instance_uid"] for item in line["objects"]] == [
        item["sop_instance_uid"] for item in whole["objects"]
    ]


def test_a_file_above_the_limit_gives_a_line(tmp_path: Path) -> None:
    (line,) = _process(_paths(tmp_path, bright()), tmp_path / "out", max_bytes=1000)

    assert line["reason"] == "LIMIT_EXCEEDED"


def test_an_instance_in_two_files_is_read_once_and_has_two_lines(tmp_path: Path) -> None:
    film = bright()

    lines = _process(_paths(tmp_path, film, film), tmp_path / "out")

    assert [line["path"] for line in lines] == [str(tmp_path / "0.dcm"), str(tmp_path / "1.dcm")]
    assert lines[0]["objects"] == lines[1]["objects"]
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_the_same_files_give_the_same_bytes_wherever_they_lie(tmp_path: Path) -> None:
    film = bright()
    elsewhere = tmp_path / "elsewhere.dcm"
    elsewhere.write_bytes(part10(film))

    _process(_paths(tmp_path, film), tmp_path / "first")
    _process([elsewhere], tmp_path / "second")

    written = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("first", "second")]
    assert written[0] == written[1]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("20260105", "101500")),
        ({"AcquisitionDate": "2026", "ContentDate": "20260204", "ContentTime": "0930"}, ("20260204", "093000")),
        (
            {f"{kind}Date": None for kind in ("Acquisition", "Content", "Series", "Study")},
            ("19700101", "000000"),
        ),
        ({"AcquisitionTime": "101501.123456"}, ("20260105", "101501")),
        ({"AcquisitionDate": "00010101", "ContentDate": "20251231", "ContentTime": "0930"}, ("20251231", "093000")),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR DA")
def test_results_are_dated_by_the_film_so_that_they_can_be_made_again(
    tmp_path: Path, changes: dict[str, str | None], expected: tuple[str, str]
) -> None:
    (line,) = _process(_paths(tmp_path, bright(**changes)), tmp_path / "out")

    for item in line["objects"]:
        written = dcmread(item["path"])
        assert (written.ContentDate, written.ContentTime) == expected
        assert (written.InstanceCreationDate, written.InstanceCreationTime) == expected
        assert written.ContributingEquipmentSequence[0].ContributionDateTime == "".join(expected)


def test_no_files_give_no_lines_and_an_empty_folder(tmp_path: Path) -> None:
    assert _process([], tmp_path / "deep" / "out") == []
    assert list((tmp_path / "deep" / "out").iterdir()) == []

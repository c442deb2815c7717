"""Sets of films in the forms in which they are published, made small; and how they are parted by patient."""

import json
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest
from pacs_ai_training.collection import gather, in_words, write_found
from pacs_ai_training.errors import FilmError
from pacs_ai_training.films import load_grey
from pacs_ai_training.layouts import list_published
from pacs_ai_training.recipe import FilmsChoice, Layout, PopulationChoice, Recipe

from pacs_ai.header import quietly
from pacs_ai.process import encode
from tests.builders import make_instance

ADULTS = PopulationChoice(min_age_years=18, description="adults")


def _recipe(layout: Layout, population: PopulationChoice = ADULTS) -> Recipe:
    return Recipe(films=FilmsChoice(layout=layout, validation_share=0.3, test_share=0.3), population=population)


def _picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (40, 50)).astype(np.uint8))


def _table(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def _found(data: Path, layout: Layout) -> Mapping[str, tuple[str, int, str]]:
    return {film.path.name: (film.patient, film.label, film.part) for film in list_published(data, _recipe(layout))}


def test_a_manifest_gives_path_label_patient_and_part(tmp_path: Path) -> None:
    for number in range(3):
        _picture(tmp_path / "films" / f"{number}.png", number)
    manifest = _table(
        tmp_path / "films.csv",
        "path,label,patient,part",
        "films/0.png,normal,A,train",
        "films/1.png,1,B,test",
        "films/2.png,PNEUMONIA,C,val",
    )

    assert _found(manifest, Layout.MANIFEST) == {
        "0.png": ("A", 0, "train"),
        "1.png": ("B", 1, "test"),
        "2.png": ("C", 1, "validation"),
    }


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("films/0.png,perhaps,A,", "line 2: label 'perhaps'"),
        ("films/0.png,1,,", "line 2: no patient"),
        ("films/0.png,1,A,spare", "line 2: part 'spare'"),
        ("films/9.png,1,A,", "9.png: cannot be read"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path: Path, row: str, said: str) -> None:
    _picture(tmp_path / "films" / "0.png", 0)
    manifest = _table(tmp_path / "films.csv", "path,label,patient,part", row)

    with pytest.raises(FilmError, match=said):
        list_published(manifest, _recipe(Layout.MANIFEST))


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FilmError, match="no column 'patient'"):
        list_published(_table(tmp_path / "films.csv", "path,label", "a.png,1"), _recipe(Layout.MANIFEST))


def _rsna(tmp_path: Path, classes: str = "Lung Opacity") -> Path:
    folder = tmp_path / "stage_2_train_images"
    folder.mkdir()
    for name, age in (("aa", "054Y"), ("bb", "33"), ("cc", "010Y")):
        with quietly():  # the set has ages without a unit
            (folder / f"{name}.dcm").write_bytes(encode(make_instance(modality="CR", PatientAge=age)))
    _table(
        tmp_path / "stage_2_train_labels.csv",
        "patientId,x,y,width,height,Target",
        "aa,1,1,9,9,1",
        "aa,20,1,9,9,1",
        "bb,,,,,0",
        "cc,,,,,0",
        "dd,,,,,0",
    )
    _table(
        tmp_path / "stage_2_detailed_class_info.csv",
        "patientId,class",
        f"aa,{classes}",
        f"aa,{classes}",
        "bb,No Lung Opacity / Not Normal",
        "cc,Normal",
        "dd,Normal",
    )
    return tmp_path


def test_rsna_films_are_dicom_labelled_by_box_and_minors_are_left_out(tmp_path: Path) -> None:
    data = _rsna(tmp_path)

    assert _found(data, Layout.RSNA) == {"aa.dcm": ("aa", 1, ""), "bb.dcm": ("bb", 0, "")}
    images = load_grey(list_published(data, _recipe(Layout.RSNA)), 64)
    assert images.shape == (2, 64, 64)
    assert images.std() > 0


def test_rsna_tables_that_contradict_each_other_are_found_out(tmp_path: Path) -> None:
    with pytest.raises(FilmError, match=r"stage_2_detailed_class_info.csv, line 2"):
        list_published(_rsna(tmp_path, classes="Normal"), _recipe(Layout.RSNA))


def test_nih_films_follow_the_official_lists_age_and_view(tmp_path: Path) -> None:
    for number, folder in (
        (1, "images_001/images"),
        (2, "images_001/images"),
        (3, "images"),
        (4, "images"),
        (5, "images"),
    ):
        _picture(tmp_path / folder / f"0000000{number}_000.png", number)
    head = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"
    _table(
        tmp_path / "Data_Entry_2017_v2020.csv",
        head,
        "00000001_000.png,Effusion|Pneumonia,0,1,58,M,PA",
        "00000002_000.png,No Finding,0,2,81,F,AP",
        "00000003_000.png,Infiltration,0,3,44,F,PA",
        "00000004_000.png,No Finding,0,4,9,F,PA",
        "00000005_000.png,No Finding,0,5,50,F,LL",
        "00000006_000.png,No Finding,0,6,50,F,PA",
    )
    _table(tmp_path / "train_val_list.txt", "00000001_000.png", "00000002_000.png")
    _table(tmp_path / "test_list.txt", "00000003_000.png")

    assert _found(tmp_path, Layout.NIH) == {
        "00000001_000.png": ("1", 1, "train"),
        "00000002_000.png": ("2", 0, "train"),
        "00000003_000.png": ("3", 0, "test"),
    }


def test_chexpert_films_are_frontal_and_certain(tmp_path: Path) -> None:
    names = [f"train/patient0000{number}/study1/view1_frontal.jpg" for number in range(1, 5)]
    for number, name in enumerate([*names, "valid/patient64541/study1/view1_frontal.jpg"]):
        _picture(tmp_path / name, number)
    head = "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Pneumonia"
    _table(
        tmp_path / "train.csv",
        head,
        f"CheXpert-v1.0-small/{names[0]},Male,60,Frontal,PA,,1.0",
        f"CheXpert-v1.0-small/{names[1]},Male,60,Frontal,AP,1.0,",
        f"CheXpert-v1.0-small/{names[2]},Male,60,Frontal,AP,,-1.0",
        f"CheXpert-v1.0-small/{names[3]},Male,60,Lateral,,,1.0",
    )
    _table(
        tmp_path / "valid.csv",
        head,
        "CheXpert-v1.0-small/valid/patient64541/study1/view1_frontal.jpg,Male,70,Frontal,AP,,0.0",
    )

    films = list_published(tmp_path, _recipe(Layout.CHEXPERT))

    assert [(film.patient, film.label, film.part) for film in films] == [
        ("patient00001", 1, "train"),
        ("patient00002", 0, "train"),
        ("patient64541", 0, "test"),
    ]


def test_a_set_in_another_layout_is_told(tmp_path: Path) -> None:
    _rsna(tmp_path)
    for path in (tmp_path / "stage_2_train_images").iterdir():
        path.unlink()

    with pytest.raises(FilmError, match="layout 'rsna'"):
        list_published(tmp_path, _recipe(Layout.RSNA))


def _kaggle(folder: Path, counts: Mapping[tuple[str, str], int]) -> Path:
    for (part, kind), count in counts.items():
        for number in range(count):
            patient = (0 if part == "train" else 500) + number
            name = f"IM-{patient:04d}-0001.png" if kind == "NORMAL" else f"person{patient}_virus_1.png"
            _picture(folder / part / kind / name, hash((part, kind, number)) % 2**31)
    return folder


_COUNTS = {("train", "NORMAL"): 20, ("train", "PNEUMONIA"): 20, ("test", "NORMAL"): 4, ("test", "PNEUMONIA"): 4}


def test_no_patient_is_in_two_parts_and_the_report_says_what_was_left_out(tmp_path: Path) -> None:
    data = _kaggle(tmp_path, _COUNTS)
    _picture(data / "train" / "NORMAL" / "IM-0501-0009.png", 77)  # of a patient of the test part
    copy = (data / "train" / "PNEUMONIA" / "person3_virus_1.png").read_bytes()
    (data / "train" / "PNEUMONIA" / "person4_bacteria_2.png").write_bytes(copy)

    films, found = gather(data, _recipe(Layout.FOLDERS))

    patients = [{film.patient for film in part} for part in (films.train, films.validation, films.test)]
    assert sum(len(part) for part in patients) == len(set().union(*patients))
    assert len(films.validation) == 12
    assert (found.listed, found.duplicates, found.patients_on_both_sides) == (50, 1, 1)
    assert found.films_of_test_patients_left_out == 1
    assert found.width == {"least": 50, "median": 50, "most": 50}
    assert json.loads(write_found(found, tmp_path / "out").read_text())["parts"]["test"]["films"] == 8
    assert any("50 films; 1 are copies" in line for line in in_words(found))


def test_a_film_of_the_test_part_is_not_learned_from_under_another_patient(tmp_path: Path) -> None:
    data = _kaggle(tmp_path, _COUNTS)
    copy = (data / "test" / "NORMAL" / "IM-0500-0001.png").read_bytes()
    (data / "train" / "NORMAL" / "IM-0900-0001.png").write_bytes(copy)

    films, _ = gather(data, _recipe(Layout.FOLDERS))

    assert "IM-0900" not in {film.patient for film in (*films.train, *films.validation)}
    assert len(films.test) == 8


def test_a_patient_in_two_named_parts_is_refused_with_the_film(tmp_path: Path) -> None:
    for number in range(4):
        _picture(tmp_path / f"{number}.png", number)
    manifest = _table(
        tmp_path / "films.csv",
        "path,label,patient,part",
        "0.png,0,A,train",
        "1.png,1,B,train",
        "2.png,0,A,validation",
        "3.png,1,C,test",
    )

    with pytest.raises(FilmError, match=r"2\.png: its patient is in the validation part and in another"):
        gather(manifest, _recipe(Layout.MANIFEST))


@pytest.mark.parametrize("kind", ["NORMAL", "PNEUMONIA"])
def test_an_empty_class_folder_is_named(tmp_path: Path, kind: str) -> None:
    data = _kaggle(tmp_path, _COUNTS)
    for path in (data / "train" / kind).iterdir():
        path.unlink()

    with pytest.raises(FilmError, match=f"{kind}: no films"):
        gather(data, _recipe(Layout.FOLDERS))


def test_a_corrupt_image_is_named_before_anything_is_learned(tmp_path: Path) -> None:
    data = _kaggle(tmp_path, _COUNTS)
    (data / "train" / "NORMAL" / "IM-0003-0001.png").write_bytes(b"no image")

    with pytest.raises(FilmError, match=r"IM-0003-0001\.png: not a readable image"):
        gather(data, _recipe(Layout.FOLDERS))


def test_parts_drawn_from_a_set_without_any_come_again_with_the_seed(tmp_path: Path) -> None:
    rows = ["path,label,patient"]
    for number in range(40):
        _picture(tmp_path / f"{number}.png", number)
        rows.append(f"{number}.png,{number % 2},{'NP'[number % 2]}{number // 4}")
    manifest = _table(tmp_path / "films.csv", *rows)

    first, again = (gather(manifest, _recipe(Layout.MANIFEST))[0] for _ in range(2))

    assert first == again
    assert first.test
    assert not {film.patient for film in first.test} & {film.patient for film in (*first.train, *first.validation)}

"""The forms in which sets of films are published, each read as it comes."""

import csv
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from pacs_ai.header import quietly, text

from .errors import FilmError
from .films import Film, film_at, images_in, label_of, list_films
from .recipe import Layout, Recipe

_PARTS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
_AGE = re.compile(r"(\d+(?:\.\d+)?)([YyMmWwDd]?)")
_CHEXPERT_PATIENT = re.compile(r"patient\d+")

Row = Mapping[str, str]


def list_published(data: Path, recipe: Recipe) -> list[Film]:
    """Every film of the set that the recipe can use, with the part where its publisher put it.

    Raises FilmError for a file, a column or a label that is not as the layout says, naming it.
    """
    films = _LISTINGS[recipe.films.layout](data, recipe)
    if not films:
        message = f"{data}: no film of this set can be used; is it in the layout {recipe.films.layout.value!r}?"
        raise FilmError(message)
    return films


def _folders(data: Path, _recipe: Recipe) -> list[Film]:
    """`train|val|test` / `NORMAL|PNEUMONIA`, as Kaggle has the Kermany collection.

    The 16 films that it calls validation are too few to choose by: they are learned from, and validation is drawn.
    """
    films = list_films(data / "train", part="train")
    if (data / "val").is_dir():
        films += list_films(data / "val", part="train")
    return films + (list_films(data / "test", part="test") if (data / "test").is_dir() else [])


def _manifest(path: Path, _recipe: Recipe) -> list[Film]:
    """CSV with the columns path (from the file's own folder), label, patient, and perhaps part."""
    return [
        film_at(
            path.parent / row["path"],
            patient=_given(row, "patient", path, line),
            label=_label(row["label"], path, line),
            part=_part(row.get("part") or "", path, line),
        )
        for line, row in _rows(path, "path", "label", "patient")
    ]


def _rsna(data: Path, recipe: Recipe) -> list[Film]:
    """RSNA Pneumonia Detection Challenge 2018: DICOM files; a box is a row, so that an image may have several."""
    targets: dict[str, int] = {}
    labels = data / "stage_2_train_labels.csv"
    for line, row in _rows(labels, "patientId", "Target"):
        targets[row["patientId"]] = max(targets.get(row["patientId"], 0), _label(row["Target"], labels, line))
    classes = data / "stage_2_detailed_class_info.csv"
    for line, row in _rows(classes, "patientId", "class"):
        if (row["class"] == "Lung Opacity") != bool(targets.get(row["patientId"])):
            message = f"{classes}, line {line}: class {row['class']!r} is not what {labels.name} says of this image"
            raise FilmError(message)
    folder = data / "stage_2_train_images"
    paths = {image: folder / f"{image}.dcm" for image in sorted(targets)}
    return [
        film_at(path, patient=image, label=targets[image])
        for image, path in paths.items()
        if path.is_file() and _is_of_age(_age_in(path), recipe)
    ]


def _age_in(path: Path) -> str:
    try:
        with quietly():
            return text(dcmread(path, specific_tags=["PatientAge"], stop_before_pixels=True), "PatientAge")
    except (OSError, InvalidDicomError) as error:
        message = f"{path}: not a readable DICOM file"
        raise FilmError(message) from error


def _nih(data: Path, recipe: Recipe) -> list[Film]:
    """NIH ChestX-ray14: the official lists part it by patient; images lie in `images` or `images_001/images` and on."""
    table = data / "Data_Entry_2017_v2020.csv"
    where = {path.name: path for folder in _nih_folders(data) for path in images_in(folder)}
    test = (
        set((data / "test_list.txt").read_text(encoding="utf-8").split())
        if (data / "test_list.txt").is_file()
        else None
    )
    films = []
    for line, row in _rows(table, "Image Index", "Finding Labels", "Patient ID", "Patient Age", "View Position"):
        name = row["Image Index"]
        if name in where and row["View Position"] in recipe.films.views and _is_of_age(row["Patient Age"], recipe):
            findings = row["Finding Labels"].split("|")
            part = "" if test is None else "test" if name in test else "train"
            label = int(recipe.films.finding in findings)
            films.append(film_at(where[name], patient=_given(row, "Patient ID", table, line), label=label, part=part))
    return films


def _nih_folders(data: Path) -> list[Path]:
    return [folder for folder in (data / "images", *sorted(data.glob("images_*/images"))) if folder.is_dir()]


def _chexpert(data: Path, recipe: Recipe) -> list[Film]:
    """CheXpert: `train.csv` and `valid.csv`; frontal films; a finding said to be uncertain (-1) is left out."""
    films = []
    for table, part in ((data / "train.csv", "train"), (data / "valid.csv", "test")):
        if part == "test" and not table.is_file():
            continue
        for line, row in _rows(table, "Path", "Age", "Frontal/Lateral", recipe.films.finding):
            said = row[recipe.films.finding].strip()
            if row["Frontal/Lateral"] != "Frontal" or said in {"-1", "-1.0"} or not _is_of_age(row["Age"], recipe):
                continue
            patient = _CHEXPERT_PATIENT.search(row["Path"])
            if patient is None:
                message = f"{table}, line {line}: no patient in the path {row['Path']!r}"
                raise FilmError(message)
            label = _label(said or "0", table, line)
            films.append(film_at(_below(data, row["Path"]), patient=patient[0], label=label, part=part))
    return films


def _below(data: Path, path: str) -> Path:
    """Paths in the table begin with the name of the folder that the set was unpacked to."""
    return data / path if (data / path).is_file() else data / Path(*Path(path).parts[1:])


_LISTINGS: dict[Layout, Callable[[Path, Recipe], list[Film]]] = {
    Layout.FOLDERS: _folders,
    Layout.MANIFEST: _manifest,
    Layout.RSNA: _rsna,
    Layout.NIH: _nih,
    Layout.CHEXPERT: _chexpert,
}


def _rows(path: Path, *columns: str) -> Iterator[tuple[int, Row]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            absent = [column for column in columns if column not in (rows.fieldnames or ())]
            if absent:
                message = f"{path}: no column {', '.join(map(repr, absent))}"
                raise FilmError(message)
            for row in rows:
                yield rows.line_num, {key: value or "" for key, value in row.items() if key}
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise FilmError(message) from error


def _label(said: str, path: Path, line: int) -> int:
    label = label_of(said)
    if label is None:
        message = f"{path}, line {line}: label {said!r} is neither normal nor pneumonia"
        raise FilmError(message)
    return label


def _given(row: Row, column: str, path: Path, line: int) -> str:
    if not row[column].strip():
        message = f"{path}, line {line}: no {column}; films are parted by patient"
        raise FilmError(message)
    return row[column].strip()


def _part(said: str, path: Path, line: int) -> str:
    if said and said.strip().lower() not in _PARTS:
        message = f"{path}, line {line}: part {said!r} is none of train, validation, test"
        raise FilmError(message)
    return _PARTS.get(said.strip().lower(), "")


def _is_of_age(said: str, recipe: Recipe) -> bool:
    """By completed years, as a number or as PS3.5 6.2 writes ages; a film whose age is not said is used."""
    age = _AGE.fullmatch(said.strip())
    if age is None:
        return True
    years = int(float(age[1])) if age[2] in {"", "Y", "y"} else 0
    low, high = recipe.population.min_age_years, recipe.population.max_age_years
    return (low is None or years >= low) and (high is None or years <= high)

"""Labelled films in folders (`train|val|test` / `NORMAL|PNEUMONIA`), their patients, and splits by patient."""

import hashlib
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pacs_ai.imaging.geometry import shrink

from .errors import FilmError

CLASSES = {"NORMAL": 0, "PNEUMONIA": 1}
_PATIENT = re.compile(r"^(?:(?:NORMAL|PNEUMONIA)_)?(person\d+|(?:NORMAL2-)?IM-\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """One labelled radiograph on disk."""

    path: Path
    patient: str
    label: int
    sha256: str


def patient_of(name: str) -> str:
    """The patient that a file name of the Kermany collection carries (`person12_virus_3.jpeg`: `person12`)."""
    found = _PATIENT.match(name)
    if found is None:
        raise FilmError(f"{name}: no patient in the file name (expected personN_… or IM-N-…)")
    return found[1]


def list_films(folder: Path) -> list[Film]:
    """Every JPEG and PNG under NORMAL and PNEUMONIA, sorted by name, with patient, label and hash."""
    films = [
        Film(
            path=path, patient=patient_of(path.name), label=label, sha256=hashlib.sha256(path.read_bytes()).hexdigest()
        )
        for name, label in CLASSES.items()
        for path in _images_in(folder / name)
    ]
    if not films:
        raise FilmError(f"{folder}: no films; expected the folders NORMAL and PNEUMONIA with JPEG or PNG files")
    return films


def without_duplicates(films: Sequence[Film]) -> list[Film]:
    """The films with each byte-identical copy after the first left out."""
    seen: set[str] = set()
    return [film for film in films if not (film.sha256 in seen or seen.add(film.sha256))]  # type: ignore[func-returns-value]


def without_patients(films: Sequence[Film], patients: Collection[str]) -> list[Film]:
    """The films of all other patients."""
    return [film for film in films if film.patient not in patients]


def split_by_patient(films: Sequence[Film], *, share: float, seed: int) -> tuple[list[Film], list[Film]]:
    """(rest, drawn): about `share` of the patients of each class drawn by lot; no patient is on both sides."""
    rng = np.random.default_rng(seed)
    drawn: set[str] = set()
    for label in CLASSES.values():
        patients = sorted({film.patient for film in films if film.label == label} - drawn)
        drawn.update(rng.permutation(np.array(patients))[: round(share * len(patients))].tolist())
    return _parted(films, lambda film: film.patient in drawn)


def _parted(films: Sequence[Film], is_drawn: Callable[[Film], bool]) -> tuple[list[Film], list[Film]]:
    return [film for film in films if not is_drawn(film)], [film for film in films if is_drawn(film)]


def load_grey(films: Sequence[Film], size: int) -> NDArray[np.uint8]:
    """The films as uint8 (n, size, size), resized by the service's own function."""
    images = np.empty((len(films), size, size), np.uint8)
    for row, film in enumerate(films):
        images[row] = _read_grey(film.path, size)
    return images


def load_folder(folder: Path, size: int) -> NDArray[np.uint8]:
    """Every JPEG and PNG of a folder as uint8 (n, size, size), by name; at least two."""
    paths = _images_in(folder)
    if len(paths) < 2:
        raise FilmError(f"{folder}: no films; expected JPEG or PNG files")
    return np.stack([_read_grey(path, size) for path in paths])


def _images_in(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*")) if path.suffix.lower() in {".jpeg", ".jpg", ".png"}]


def _read_grey(path: Path, size: int) -> NDArray[np.uint8]:
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        raise FilmError(f"{path}: not a readable image")
    return np.asarray(shrink(grey, size, size), np.uint8)

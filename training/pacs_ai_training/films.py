"""Labelled films, their patients, splits by patient, and their pixels as the service sees them."""

import hashlib
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pacs_ai.errors import PacsAiError
from pacs_ai.imaging.decoders import register
from pacs_ai.imaging.film import open_film
from pacs_ai.imaging.geometry import shrink

from .errors import FilmError

CLASSES = {"NORMAL": 0, "PNEUMONIA": 1}
_LABELS = {"0": 0, "0.0": 0, "normal": 0, "negative": 0, "1": 1, "1.0": 1, "pneumonia": 1, "positive": 1}
_PICTURES = {".jpeg", ".jpg", ".png"}
_DICOM = {".dcm", ".dicom"}
_PATIENT = re.compile(r"^(?:(?:NORMAL|PNEUMONIA)_)?(person\d+|(?:NORMAL2-)?IM-\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """One labelled radiograph on disk; `part` is where its publisher put it (train, validation, test), if anywhere."""

    path: Path
    patient: str
    label: int
    sha256: str
    part: str = ""


def patient_of(name: str) -> str:
    """The patient that a file name of the Kermany collection carries (`person12_virus_3.jpeg`: `person12`)."""
    found = _PATIENT.match(name)
    if found is None:
        raise FilmError(f"{name}: no patient in the file name (expected personN_… or IM-N-…)")
    return found[1]


def label_of(said: str) -> int | None:
    """0 or 1 as a reader wrote it (0, normal, negative; 1, pneumonia, positive); None for any other word."""
    return _LABELS.get(said.strip().lower())


def film_at(path: Path, *, patient: str, label: int, part: str = "") -> Film:
    """The film with its hash; FilmError when the file cannot be read."""
    try:
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise FilmError(f"{path}: cannot be read ({error.strerror})") from error
    return Film(path=path, patient=patient, label=label, sha256=sha256, part=part)


def list_films(folder: Path, *, part: str = "") -> list[Film]:
    """Every JPEG, PNG and DICOM file under NORMAL and PNEUMONIA, sorted by name; FilmError when a class has none."""
    films = [
        film_at(path, patient=patient_of(path.name), label=label, part=part)
        for name, label in CLASSES.items()
        for path in images_in(folder / name)
    ]
    for name, label in CLASSES.items():
        if not any(film.label == label for film in films):
            raise FilmError(f"{folder / name}: no films; expected the folders NORMAL and PNEUMONIA with image files")
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
    """The films as uint8 (n, size, size), as the service's own functions make them; FilmError names a corrupt one."""
    images = np.empty((len(films), size, size), np.uint8)
    for row, film in enumerate(films):
        images[row] = read_grey(film.path, size)
    return images


def load_folder(folder: Path, size: int) -> NDArray[np.uint8]:
    """Every JPEG and PNG of a folder as uint8 (n, size, size), by name; at least two."""
    paths = images_in(folder)
    if len(paths) < 2:
        raise FilmError(f"{folder}: no films; expected image files")
    return np.stack([read_grey(path, size) for path in paths])


def images_in(folder: Path) -> list[Path]:
    """The image files of a folder, by name."""
    return [path for path in sorted(folder.glob("*")) if path.suffix.lower() in _PICTURES | _DICOM]


def read_grey(path: Path, size: int) -> NDArray[np.uint8]:
    """One film as uint8 (size, size); a DICOM instance goes through the service's own pixel functions."""
    if not path.is_file():
        raise FilmError(f"{path}: there is no such file")
    if path.suffix.lower() not in _PICTURES:
        return _read_instance(path, size)
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        raise FilmError(f"{path}: not a readable image")
    return np.asarray(shrink(grey, size, size), np.uint8)


def _read_instance(path: Path, size: int) -> NDArray[np.uint8]:
    register()
    try:
        pixels = open_film(path, input_size=size).model_input.pixels
    except (PacsAiError, OSError) as error:
        raise FilmError(f"{path}: {error}") from error
    return np.rint(pixels[..., 0] * 255).astype(np.uint8)

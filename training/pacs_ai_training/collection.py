"""Films parted by patient: who learns, who chooses, who judges; and what was found on the way."""

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from .errors import FilmError
from .films import Film, patient_of, split_by_patient, without_duplicates, without_patients
from .layouts import list_published
from .recipe import Recipe

REPORT_NAME = "films.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Films:
    """Who learns, who chooses, who judges."""

    train: list[Film]
    validation: list[Film]
    test: list[Film]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a set of films was found to be: counts by part, and what was left out and why."""

    listed: int
    duplicates: int
    same_film_both_labels: int
    patients_on_both_sides: int
    films_of_test_patients_left_out: int
    films_of_other_patients_left_out: int
    parts: dict[str, dict[str, int]]
    width: dict[str, int]
    height: dict[str, int]


def gather(data: Path, recipe: Recipe, left_out: Path | None = None) -> tuple[Films, Found]:
    """The films of a published set, parted; no patient of the films in `left_out` is learned from."""
    shipped = {patient_of(path.name) for path in left_out.iterdir()} if left_out else set()
    return part_by_patient(list_published(data, recipe), data, recipe, shipped)


def part_by_patient(
    listed: Sequence[Film], data: Path, recipe: Recipe, shipped: Collection[str] = ()
) -> tuple[Films, Found]:
    """No patient is in two parts, no film is learned from twice, no patient of `shipped` is learned from.

    Validation patients are drawn from those who learn unless the publisher named them; so is the test part.
    Raises FilmError when a part would have films of one class only.
    """
    unique = without_duplicates(listed)
    # The test part is judged as it was published, its copies too, so that figures can be compared with others'.
    test, validation, known = _of(listed, "test"), _of(unique, "validation"), _of(unique, "")
    if not test:
        known, test = split_by_patient(known, share=recipe.films.test_share, seed=recipe.seed + 1)
    tested, tested_films = {film.patient for film in test}, {film.sha256 for film in test}
    known = [film for film in known if film.sha256 not in tested_films or film.patient in tested]
    _refuse_shared(validation, test)
    usable = without_patients(without_patients(known, tested), shipped)
    if validation:
        _refuse_shared(validation, usable)
    else:
        usable, validation = split_by_patient(usable, share=recipe.films.validation_share, seed=recipe.seed)
    films = Films(train=usable, validation=validation, test=test)
    _refuse_one_sided(films, data)
    found = Found(
        listed=len(listed),
        duplicates=len(listed) - len(unique),
        same_film_both_labels=_with_both_labels(listed),
        patients_on_both_sides=len({film.patient for film in known} & tested),
        films_of_test_patients_left_out=sum(film.patient in tested for film in known),
        films_of_other_patients_left_out=sum(film.patient in set(shipped) - tested for film in known),
        parts={name: _counts(getattr(films, name)) for name in ("train", "validation", "test")},
        **_sizes([film.path for film in unique]),
    )
    return films, found


def write_found(found: Found, folder: Path) -> Path:
    """The report is in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / REPORT_NAME
    path.write_text(json.dumps(asdict(found), indent=2) + "\n", encoding="utf-8")
    return path


def in_words(found: Found) -> list[str]:
    """The report in lines."""
    both = (
        f"{found.patients_on_both_sides} patients are in the training and the test part: "
        f"{found.films_of_test_patients_left_out} of their films are not learned from"
    )
    return [
        f"{found.listed} films; {found.duplicates} are copies of another and are used once",
        both,
        *(
            f"{name}: {part['films']} films of {part['patients']} patients, {part['positive']} with the finding"
            for name, part in found.parts.items()
        ),
        f"width {_span(found.width)}, height {_span(found.height)} (least, median, most)",
    ]


def _of(films: Sequence[Film], part: str) -> list[Film]:
    return [film for film in films if film.part == part or (part == "" and film.part == "train")]


def _refuse_shared(validation: Sequence[Film], others: Sequence[Film]) -> None:
    shared = sorted({film.patient for film in validation} & {film.patient for film in others})
    if shared:
        path = next(film.path for film in validation if film.patient == shared[0])
        message = f"{path}: its patient is in the validation part and in another; {len(shared)} patients are"
        raise FilmError(message)


def _refuse_one_sided(films: Films, data: Path) -> None:
    for name in ("train", "validation", "test"):
        if len({film.label for film in getattr(films, name)}) < 2:
            message = f"{data}: the {name} part needs films of both classes, of more than one patient each"
            raise FilmError(message)


def _with_both_labels(films: Sequence[Film]) -> int:
    labels: dict[str, set[int]] = {}
    for film in films:
        labels.setdefault(film.sha256, set()).add(film.label)
    return sum(len(found) > 1 for found in labels.values())


def _counts(films: Sequence[Film]) -> dict[str, int]:
    labels = Counter(film.label for film in films)
    return {"films": len(films), "patients": len({film.patient for film in films}), "positive": labels[1]}


def _sizes(paths: Sequence[Path]) -> dict[str, dict[str, int]]:
    sizes = np.array([_size(path) for path in paths])
    return {
        name: {"least": int(side.min()), "median": int(np.median(side)), "most": int(side.max())}
        for name, side in (("width", sizes[:, 0]), ("height", sizes[:, 1]))
    }


def _size(path: Path) -> tuple[int, int]:
    """(width, height), from the header alone."""
    try:
        if path.suffix.lower() in {".dcm", ".dicom"}:
            header = dcmread(path, specific_tags=["Rows", "Columns"], stop_before_pixels=True)
            return int(header.Columns), int(header.Rows)
        with Image.open(path) as image:
            return image.size
    except (OSError, UnidentifiedImageError, InvalidDicomError, AttributeError) as error:
        message = f"{path}: not a readable image"
        raise FilmError(message) from error


def _span(side: dict[str, int]) -> str:
    return "/".join(str(side[name]) for name in ("least", "median", "most"))

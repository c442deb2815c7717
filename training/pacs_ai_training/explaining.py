"""Films and what the network saw in them, side by side on disk."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pacs_ai.findings import ModelInput, Reading
from pacs_ai.imaging.geometry import to_network_scale
from pacs_ai.inference.card import read_card
from pacs_ai.inference.classifier import CardClassifier

from .errors import FilmError, written
from .films import images_in, read_grey
from .judging import picture_of

_SIDE = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """A film, what was said of it, and where its picture is."""

    film: Path
    reading: Reading
    picture: Path


def explain(model: str | Path, paths: Sequence[Path], out: Path) -> Iterator[Explained]:
    """Each JPEG, PNG or DICOM file, or those of a folder, with a PNG at `out`: the film under its heat map."""
    classifier = CardClassifier(read_card(model))
    for film in _films(paths):
        small = read_grey(film, classifier.input_size)
        reading = classifier.read([ModelInput(pixels=to_network_scale(small / np.float32(255)))])[0]
        yield Explained(film=film, reading=reading, picture=write_picture(film, reading, out))


def write_picture(film: Path, reading: Reading, out: Path) -> Path:
    """The PNG of the film under its heat map is in the folder."""
    picture = picture_of(read_grey(film, _SIDE), reading)
    path = out / f"{film.stem}_gradcam.png"
    with written(out):
        out.mkdir(parents=True, exist_ok=True)
        _, content = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        path.write_bytes(content.tobytes())
    return path


def _films(paths: Sequence[Path]) -> list[Path]:
    found = [film for path in paths for film in (images_in(path) if path.is_dir() else [path])]
    if not found:
        message = f"{', '.join(map(str, paths))}: no films; expected image files"
        raise FilmError(message)
    return found

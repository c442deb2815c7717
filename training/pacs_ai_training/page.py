"""The evaluation as one HTML file that needs nothing beside it."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader
from numpy.typing import NDArray

from pacs_ai.inference.card import ModelCard

from .evaluation import Evaluation


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """A film that was called wrongly, uint8 RGB (rows, columns, 3) with its heat map."""

    name: str
    label: str
    probability: float
    picture: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What stands on the page; `refused` is how many of the films the detector would have refused."""

    card: ModelCard
    evaluation: Evaluation
    part: str
    refused: int
    plots: dict[str, Path]
    mistakes: Sequence[Mistake]


def write_page(path: Path, page: Page) -> None:
    """The page is at the path; its pictures are inside it."""
    environment = Environment(loader=PackageLoader("pacs_ai_training"), autoescape=True, trim_blocks=True)
    text = environment.get_template("evaluation.html").render(
        card=page.card.document,
        part=page.part,
        document=page.evaluation.document(),
        figures=page.evaluation.figures,
        subgroups=page.evaluation.subgroups,
        refused=page.refused,
        plots=[_address(plot.read_bytes(), "image/svg+xml") for plot in page.plots.values()],
        mistakes=[(mistake, _address(_png(mistake.picture), "image/png")) for mistake in page.mistakes],
    )
    path.write_text(text, encoding="utf-8")


def _address(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _png(picture: NDArray[np.uint8]) -> bytes:
    written, content = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    assert written
    return content.tobytes()

"""A shipped network on labelled films, as the service would read them, to an evaluation in files."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pacs_ai.findings import ModelInput, Reading
from pacs_ai.imaging.geometry import to_network_scale
from pacs_ai.inference.card import ModelCard, read_card
from pacs_ai.inference.classifier import CardClassifier
from pacs_ai.results.drawing import Rgb, plain, with_heat_map

from .evaluation import Evaluation, Judged, evaluate, worst_mistakes
from .films import CLASSES, Film, load_grey
from .page import Mistake, Page, write_page
from .plots import write_plots


def judge(card: ModelCard, films: Sequence[Film]) -> tuple[Judged, list[Reading]]:
    """What the service's own classifier says of the films, each read whether or not the detector would refuse it."""
    images = load_grey(films, card.input_size)
    readings = CardClassifier(card).read([ModelInput(pixels=to_network_scale(image / 255)) for image in images])
    judged = Judged(
        films=tuple(films),
        probabilities=np.array([reading.classification.probability for reading in readings]),
        labels=np.array([film.label for film in films], np.float64),
        threshold=card.threshold,
    )
    return judged, readings


def write_evaluation(model: str | Path, films: Sequence[Film], out: Path, *, part: str) -> Evaluation:
    """`evaluation.html` and `evaluation.json` are in the folder, and the plots as SVG and PNG under `plots`."""
    out.mkdir(parents=True, exist_ok=True)
    card = read_card(model)
    judged, readings = judge(card, films)
    evaluation = evaluate(judged)
    refused = sum(reading.refusal is not None for reading in readings)
    document = {
        "model": {"name": card.identity.name, "version": card.identity.version, "sha256": card.identity.sha256},
        "part": part,
        "refused_by_the_detector": refused,
        **evaluation.document(),
    }
    (out / "evaluation.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    page = Page(
        card=card,
        evaluation=evaluation,
        part=part,
        refused=refused,
        plots=write_plots(judged, out / "plots"),
        mistakes=_mistakes(judged, readings, card.input_size),
    )
    write_page(out / "evaluation.html", page)
    return evaluation


def picture_of(film: NDArray[np.uint8], reading: Reading) -> Rgb:
    """The film under its heat map, or alone where the network has none."""
    return plain(film) if reading.heat_map is None else with_heat_map(film, reading.heat_map)


def _mistakes(judged: Judged, readings: Sequence[Reading], size: int) -> list[Mistake]:
    names = {label: name.lower() for name, label in CLASSES.items()}
    rows = worst_mistakes(judged)
    films = load_grey([judged.films[row] for row in rows], size)
    return [
        Mistake(
            name=judged.films[row].path.name,
            label=names[judged.films[row].label],
            probability=readings[row].classification.probability,
            picture=picture_of(film, readings[row]),
        )
        for row, film in zip(rows, films, strict=True)
    ]

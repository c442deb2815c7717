"""From a trained network to the folder that the service takes: model file, calibration, operating point, card."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from pacs_ai.inference.calibration import Calibration

from .card import calibration_document, example_outputs, metrics, write_card
from .collection import Films
from .copies import FilmSet, Inputs, Rows, augmented_inputs, plain_inputs
from .errors import FilmError
from .export import MODEL_NAME, export_model
from .films import Film, load_grey
from .networks import backbone_named
from .operating_point import choose, in_words
from .recipe import Recipe, document
from .scores import Floats, calibrate, probabilities_of

log = logging.getLogger(__name__)

_BATCH = 32
_LEVEL = 1e6
_STYLE = 1 << 20  # a stream of chance of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What validation patients decide: how logits become probabilities, and where a finding begins."""

    calibration: Calibration
    threshold: float


def ship(model: keras.Model, films: Films, out: Path, recipe: Recipe, *, file: str = MODEL_NAME) -> Path:
    """Model file and card are in `out`; every figure on the card is of the file as it is shipped, in float16."""
    _, sha256 = export_model(model, out, file)
    shipped = keras.saving.load_model(out / file, compile=False)
    validation, test = film_set(films.validation, recipe), film_set(films.test, recipe)
    chosen = choose_on(shipped, validation, recipe)
    backbone = backbone_named(recipe.network.backbone)
    rows, columns = shipped.get_layer(backbone.last_convolution).output.shape[1:3]
    return write_card(
        out,
        identity={"name": recipe.name, "version": recipe.version, "file": file, "sha256": sha256},
        size=recipe.network.size,
        grad_cam={"layer": backbone.last_convolution, "rows": rows, "columns": columns},
        calibration=calibration_document(chosen.calibration, _where(recipe)),
        operating_point={
            "threshold": chosen.threshold,
            "rule": in_words(recipe.calibration.rule, recipe.calibration.target, _where(recipe)),
        },
        population=recipe.population.model_dump(exclude={"limits"}),
        architecture=f"{recipe.network.backbone} up to {backbone.last_convolution}, global average, "
        f"dense {recipe.network.units}, one logit",
        metrics={
            part: metrics(
                probabilities_of(chosen.calibration, logits_of(shipped, found)),
                found.labels.astype(np.float64),
                getattr(films, part),
                chosen.threshold,
            )
            for part, found in (("validation", validation), ("test", test))
        },
        training_data=recipe.films.model_dump(mode="json", include={"source", "license"})
        | {
            "films": len(films.train),
            "split": "by patient; byte-identical films once; no patient of the test part",
            "pretraining": recipe.network.pretraining,
        },
        examples=example_outputs(shipped),
        recipe=document(recipe),
        limits=list(recipe.population.limits),
    )


def choose_on(model: keras.Model, validation: FilmSet, recipe: Recipe) -> Chosen:
    """Calibration and operating point from restyled copies of the films of validation patients.

    Films of another site differ in position and exposure, and a network is surer of films like its own than it may be
    of those: what is fitted to plain validation films does not hold elsewhere (Ovadia et al., NeurIPS 2019).
    """
    choice = recipe.calibration
    seen = [
        _logits(
            model,
            [
                augmented_inputs(validation, part, recipe.augmentation, (recipe.seed, _STYLE, copy))
                for part in _parts(validation)
            ],
        )
        for copy in range(choice.copies)
    ] or [logits_of(model, validation)]
    logits = np.concatenate(seen)
    labels = np.tile(validation.labels.astype(np.float64), len(seen))
    try:
        calibration = calibrate(logits, labels, method=choice.method, balanced=True)
    except FilmError:
        # What was learned is kept all the same, and the figures on its card say how little that is.
        log.warning(
            "the network tells validation films apart no better than chance; every film gets the same probability"
        )
        calibration = Calibration(temperature=_LEVEL)
    return Chosen(
        calibration=calibration,
        threshold=choose(choice.rule, probabilities_of(calibration, logits), labels, choice.target),
    )


def film_set(films: Sequence[Film], recipe: Recipe) -> FilmSet:
    """The films loaded, with their labels."""
    return FilmSet(
        images=load_grey(films, recipe.network.size), labels=np.array([film.label for film in films], np.float32)
    )


def logits_of(model: keras.Model, films: FilmSet) -> Floats:
    """One logit for each film, computed in float32 as the service does."""
    return _logits(model, (plain_inputs(films, part) for part in _parts(films)))


def _parts(films: FilmSet) -> list[Rows]:
    rows = np.arange(len(films.labels))
    return [rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH)]


def _logits(model: keras.Model, batches: Iterable[Inputs]) -> Floats:
    return np.concatenate([np.asarray(model(batch, training=False))[:, 0] for batch in batches]).astype(np.float64)


def _where(recipe: Recipe) -> str:
    copies = recipe.calibration.copies
    return f"{copies} restyled copies of validation films" if copies else "validation films"

"""The run that made the embedded network, from a folder of films to a model file with its card."""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from .card import metrics, write_card
from .export import MODEL_NAME, export_model
from .films import Film, list_films, load_grey, patient_of, split_by_patient, without_duplicates, without_patients
from .fit import Recipe, train
from .network import LAST_CONVOLUTION, build_vgg16
from .operating_point import Rule, choose, in_words
from .scores import calibrate

log = logging.getLogger(__name__)

TARGET_SENSITIVITY = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Films:
    """Who learns, who chooses, who judges."""

    train: list[Film]
    validation: list[Film]
    test: list[Film]


def gather(data: Path, left_out: Path | None, recipe: Recipe) -> Films:
    """Validation patients come from the training part; no patient of the test part or of `left_out` is learned from."""
    test = list_films(data / "test")
    known = list_films(data / "train") + (list_films(data / "val") if (data / "val").is_dir() else [])
    shipped = {patient_of(path.name) for path in left_out.iterdir()} if left_out else set()
    usable = without_patients(without_duplicates(known), shipped | {film.patient for film in test})
    rest, validation = split_by_patient(usable, share=recipe.validation_share, seed=recipe.seed)
    return Films(train=rest, validation=validation, test=test)


def fit(films: Films, weights: Path, out: Path, recipe: Recipe) -> keras.Model:
    """The trained network; checkpoints and logs are under `out`."""
    out.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(recipe.seed)
    keras.mixed_precision.set_global_policy(recipe.mixed_precision)
    log.info("%d films to learn from, %d to choose by", len(films.train), len(films.validation))
    model = build_vgg16(weights, size=recipe.size)
    train(model, _loaded(films.train, recipe), _loaded(films.validation, recipe), recipe, out)
    keras.mixed_precision.set_global_policy("float32")
    plain = build_vgg16(None, size=recipe.size)
    plain.set_weights(model.get_weights())
    return plain


def ship(model: keras.Model, films: Films, out: Path, recipe: Recipe, *, name: str, version: str) -> Path:
    """Model file and card are in `out`; every figure on the card is of the file as it is shipped, in float16."""
    path, sha256 = export_model(model, out)
    shipped = keras.saving.load_model(path, compile=False)
    logits = {part: logits_of(shipped, load_grey(getattr(films, part), recipe.size)) for part in ("validation", "test")}
    labels = {part: _labels(getattr(films, part)).astype(np.float64) for part in ("validation", "test")}
    calibration = calibrate(logits["validation"], labels["validation"])
    probabilities = {part: calibration.probability(found) for part, found in logits.items()}
    threshold = choose(Rule.SENSITIVITY, probabilities["validation"], labels["validation"], TARGET_SENSITIVITY)
    return write_card(
        out,
        identity={"name": name, "version": version, "file": MODEL_NAME, "sha256": sha256},
        calibration=calibration,
        operating_point={
            "threshold": threshold,
            "rule": in_words(Rule.SENSITIVITY, TARGET_SENSITIVITY, "validation patients"),
        },
        architecture=f"VGG16 up to {LAST_CONVOLUTION}, global average, dense 128, one logit; "
        f"learned: {', '.join(recipe.tuned_layers)}",
        metrics={
            part: metrics(probabilities[part], labels[part], getattr(films, part), threshold)
            for part in ("validation", "test")
        },
        training_data={
            "source": "Kermany, Zhang, Goldbaum: Chest X-Ray Images, Mendeley Data, doi:10.17632/rscbjbr9sj",
            "license": "CC BY 4.0",
            "films": len(films.train),
            "split": "by patient; byte-identical films once; no patient of the test part or of the shipped samples",
            "test": "half of the published test part, by patient",
            "pretraining": "ImageNet weights of the Oxford Visual Geometry Group, CC BY 4.0",
        },
        recipe={key: value for key, value in asdict(recipe).items() if key != "augmentation"}
        | {"augmentation": asdict(recipe.augmentation)},
    )


def logits_of(model: keras.Model, images: NDArray[np.uint8], *, batch: int = 32) -> NDArray[np.float64]:
    """One logit for each film, computed in float32 as the service does."""
    found = [
        model(images[start : start + batch, ..., np.newaxis].astype(np.float32) / np.float32(255), training=False)
        for start in range(0, len(images), batch)
    ]
    return np.concatenate([np.asarray(part)[:, 0] for part in found]).astype(np.float64)


def _loaded(films: list[Film], recipe: Recipe) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    return load_grey(films, recipe.size), _labels(films)


def _labels(films: list[Film]) -> NDArray[np.float32]:
    return np.array([film.label for film in films], np.float32)

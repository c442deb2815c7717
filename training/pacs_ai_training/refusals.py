"""A network is given its detector: taught on training patients, limited on validation patients, judged on others."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from pacs_ai.inference.card import read_card, verify
from pacs_ai.inference.detector import Detector

from .card import rewrite_card
from .collection import Films
from .detector import Floats, Lessons, fit_detector, taps_of, write_detector
from .features import Images, features_of
from .films import Film, load_folder, load_grey
from .strangers import TURNS, drawn, turned

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lot:
    """How many images are drawn by lot for each lesson."""

    seed: int = 20261124
    known: int = 1200
    turned: int = 160
    drawn: int = 300
    judged_turned: int = 60


def teach_refusals(folder: Path, films: Films, others: Path, lot: Lot | None = None) -> Path:
    """The folder holds the detector, and its card the limits and how much they refuse; the weights are not touched.

    `others` are frontal films of patients whom the network was not made for: every second one teaches, the rest judge.
    """
    lot = lot or Lot()
    card = read_card(folder)
    verify(card)
    model = keras.saving.load_model(card.weights, compile=False)
    size, taps = card.input_size, taps_of(model, card.last_convolution)
    strangers = load_folder(others, size)
    taught, judged = strangers[::2], strangers[1::2]
    known = load_grey(_by_lot(films.train, lot.known, lot.seed), size)

    def features(images: Images) -> Floats:
        log.info("features of %d images", len(images))
        return features_of(model, taps, images)

    wrong = turned(np.concatenate([known[: lot.turned], taught[: lot.turned]]))
    lessons = Lessons(
        known=features(known),
        other_patients=features(taught),
        other_images=features(np.concatenate([wrong, drawn(lot.drawn, size, seed=lot.seed)])),
        validation=features(load_grey(films.validation, size)),
    )
    detector = fit_detector(lessons, taps)
    test = load_grey(films.test, size)
    wrong_test = turned(np.concatenate([test[: lot.judged_turned], judged[: lot.judged_turned]]))
    refused = {
        "validation": _share(detector, lessons.validation),
        "test": _share(detector, features(test)),
        "other patients not used for teaching": _share(detector, features(judged)),
        "drawings not used for teaching": _share(detector, features(drawn(lot.drawn, size, seed=lot.seed + 1))),
        **_turned_shares(detector, features(wrong_test)),
    }
    document = card.document | {"detector": write_detector(detector, folder) | {"refused": refused}}
    return rewrite_card(folder, document)


def _by_lot(films: Sequence[Film], count: int, seed: int) -> list[Film]:
    rows = np.random.default_rng(seed).permutation(len(films))[:count]
    return [films[row] for row in sorted(rows)]


def _share(detector: Detector, features: Floats) -> dict[str, object]:
    refusals = [refusal is not None for refusal in detector.judge(features, any_population=False)]
    allowed = [refusal is not None for refusal in detector.judge(features, any_population=True)]
    return {
        "images": len(refusals),
        "share": round(float(np.mean(refusals)), 4),
        "share_of_any_population": round(float(np.mean(allowed)), 4),
    }


def _turned_shares(detector: Detector, features: Floats) -> dict[str, dict[str, object]]:
    parts = np.split(features, len(TURNS))
    return {name: _share(detector, part) for name, part in zip(TURNS, parts, strict=True)}

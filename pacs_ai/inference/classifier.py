"""A Keras network as the service uses it: hash checked, one compiled function for each batch size, never `predict`."""

from collections.abc import Sequence
from functools import partial

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pacs_ai.errors import ModelError
from pacs_ai.findings import Classification, HeatMap, ModelIdentity, ModelInput, Reading, Refusal

from .card import ModelCard, verify
from .gradcam import explain, split
from .taps import Tap

BATCH_SIZES = (1, 2, 4, 8)


class KerasClassifier:
    """Reads images in batches of fixed sizes; safe to call from one thread at a time."""

    def __init__(self, card: ModelCard, threshold: float | None = None, *, any_population: bool = False) -> None:
        """The network is loaded and its function traced for each batch size; ModelError when it is not the card's."""
        verify(card)
        self.identity: ModelIdentity = card.identity
        self.threshold = card.threshold if threshold is None else threshold
        self.input_size = card.input_size
        self._card = card
        self._any_population = any_population
        self._detector = card.load_detector()
        taps = self._detector.taps if self._detector else ()
        backbone, head = split(_load(card), card.last_convolution, taps)
        self._functions = {size: _compiled(backbone, head, taps, size, card.input_size) for size in BATCH_SIZES}

    def read(self, inputs: Sequence[ModelInput]) -> list[Reading]:
        """One reading for each input, in order."""
        readings: list[Reading] = []
        for start in range(0, len(inputs), BATCH_SIZES[-1]):
            readings += self._read_batch([item.pixels for item in inputs[start : start + BATCH_SIZES[-1]]])
        return readings

    def _read_batch(self, images: list[NDArray[np.float32]]) -> list[Reading]:
        size = next(size for size in BATCH_SIZES if size >= len(images))
        batch = np.zeros((size, self.input_size, self.input_size, 1), np.float32)
        batch[: len(images)] = images
        logits, maps, features = (part.numpy()[: len(images)] for part in self._functions[size](tf.constant(batch)))
        refusals = self._refusals(features)
        return [
            self._reading(float(logit), heat, refusal)
            for logit, heat, refusal in zip(logits, maps, refusals, strict=True)
        ]

    def _refusals(self, features: NDArray[np.float32]) -> list[Refusal | None]:
        if self._detector is None:
            return [None] * len(features)
        return self._detector.judge(features, any_population=self._any_population)

    def _reading(self, logit: float, heat: NDArray[np.float32], refusal: Refusal | None) -> Reading:
        calibrated = logit / self._card.temperature + self._card.bias
        highest = float(heat.max())
        return Reading(
            classification=Classification(
                probability=float(1.0 / (1.0 + np.exp(-calibrated))), threshold=self.threshold
            ),
            heat_map=HeatMap(values=heat / highest if highest > 0 else heat),
            refusal=refusal,
        )


def _load(card: ModelCard) -> keras.Model:
    try:
        model = keras.saving.load_model(card.weights, compile=False, safe_mode=True)
        for layer in (card.last_convolution, *(tap.layer for tap in (card.detector.taps if card.detector else ()))):
            model.get_layer(layer)
    except (ValueError, OSError, KeyError, TypeError) as error:
        message = f"{card.weights}: not a Keras model that can be used here ({type(error).__name__}: {error})"
        raise ModelError(message) from error
    return model


def _compiled(
    backbone: keras.Model, head: keras.Model, taps: tuple[Tap, ...], batch: int, size: int
) -> tf.types.experimental.ConcreteFunction:
    signature = tf.TensorSpec((batch, size, size, 1), tf.float32)
    return tf.function(partial(explain, backbone, head, taps), autograph=False).get_concrete_function(signature)

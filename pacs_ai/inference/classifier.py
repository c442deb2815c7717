"""A Keras network as the service uses it: hash checked, one compiled function for each batch size, never `predict`."""

from collections.abc import Sequence
from functools import partial

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pacs_ai.errors import ModelError
from pacs_ai.findings import Classification, HeatMap, ModelIdentity, ModelInput, Reading

from .card import ModelCard, verify
from .gradcam import explain, split

BATCH_SIZES = (1, 2, 4, 8)


class KerasClassifier:
    """Reads images in batches of fixed sizes; safe to call from one thread at a time."""

    def __init__(self, card: ModelCard, threshold: float | None = None) -> None:
        """The network is loaded and its function traced for each batch size; ModelError when it is not the card's."""
        verify(card)
        self.identity: ModelIdentity = card.identity
        self.threshold = card.threshold if threshold is None else threshold
        self.input_size = card.input_size
        self._card = card
        backbone, head = split(_load(card), card.last_convolution)
        self._functions = {size: _compiled(backbone, head, size, card.input_size) for size in BATCH_SIZES}

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
        logits, maps = self._functions[size](tf.constant(batch))
        return [
            self._reading(float(logit), heat)
            for logit, heat in zip(logits.numpy()[: len(images)], maps.numpy(), strict=False)
        ]

    def _reading(self, logit: float, heat: NDArray[np.float32]) -> Reading:
        calibrated = logit / self._card.temperature + self._card.bias
        highest = float(heat.max())
        return Reading(
            classification=Classification(
                probability=float(1.0 / (1.0 + np.exp(-calibrated))), threshold=self.threshold
            ),
            heat_map=HeatMap(values=heat / highest if highest > 0 else heat),
        )


def _load(card: ModelCard) -> keras.Model:
    try:
        model = keras.saving.load_model(card.weights, compile=False, safe_mode=True)
        model.get_layer(card.last_convolution)
    except (ValueError, OSError, KeyError, TypeError) as error:
        message = f"{card.weights}: not a Keras model that can be used here ({type(error).__name__}: {error})"
        raise ModelError(message) from error
    return model


def _compiled(
    backbone: keras.Model, head: keras.Model, batch: int, size: int
) -> tf.types.experimental.ConcreteFunction:
    signature = tf.TensorSpec((batch, size, size, 1), tf.float32)
    return tf.function(partial(explain, backbone, head), autograph=False).get_concrete_function(signature)

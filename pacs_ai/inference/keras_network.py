"""A Keras network as the service runs it: un-nested, one compiled function for each batch size, never `predict`."""

from collections.abc import Sequence
from functools import cache, partial

import keras
import tensorflow as tf

from pacs_ai.errors import ModelError

from .card import PROBABILITY, ModelCard
from .gradcam import explain, split
from .network import BATCH_SIZES, Floats, Outputs
from .taps import Tap


class KerasNetwork:
    """Loaded in Keras's safe mode: nothing in the file is executed."""

    def __init__(self, card: ModelCard, taps: Sequence[Tap]) -> None:
        """Ready for one image; ModelError when the file is not what the card says.

        A larger batch is traced when it first comes: a start would wait for all of them as long as for the file.
        """
        model = _load(card, taps)
        backbone, head = split(model, card.last_convolution, taps)
        compute = partial(explain, backbone, head, tuple(taps), is_probability=card.output == PROBABILITY)
        shape = (card.input_size, card.input_size, 1)
        self._traced = cache(lambda size: _compiled(compute, (size, *shape), model.input_shape[-1]))
        self._traced(BATCH_SIZES[0])

    def run(self, images: Floats) -> Outputs:
        """Outputs for (n, rows, columns, 1), n one of BATCH_SIZES."""
        logits, maps, features = (part.numpy() for part in self._traced(len(images))(tf.constant(images)))
        return Outputs(logits=logits, maps=maps, features=features)


def _load(card: ModelCard, taps: Sequence[Tap]) -> keras.Model:
    try:
        model = keras.saving.load_model(card.weights, compile=False, safe_mode=True)
        for layer in (card.last_convolution, *(tap.layer for tap in taps)):
            model.get_layer(layer)
    except (ValueError, OSError, KeyError, TypeError) as error:
        message = f"{card.weights}: not a Keras model that can be used here ({type(error).__name__}: {error})"
        raise ModelError(message) from error
    if model.output_shape != (None, 1) or model.input_shape[-1] not in {1, 3}:
        message = (
            f"{card.weights}: takes {model.input_shape} and gives {model.output_shape}; "
            "a network of one grey or three equal channels and one output is needed"
        )
        raise ModelError(message)
    return model


def _compiled(
    compute: "partial[tuple[tf.Tensor, tf.Tensor, tf.Tensor]]", shape: tuple[int, ...], channels: int
) -> tf.types.experimental.ConcreteFunction:
    def run(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        return compute(tf.repeat(images, channels, axis=-1) if channels > 1 else images)

    return tf.function(run, autograph=False).get_concrete_function(tf.TensorSpec(shape, tf.float32))

"""Grad-CAM (Selvaraju et al., ICCV 2017, equations 1 and 2), from the gradient of the head alone."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from .taps import Tap

_EDGE = 1e-7  # float32 probabilities nearer to 0 or 1 than this have no logit


def split(model: keras.Model, last_convolution: str, taps: Sequence[Tap] = ()) -> tuple[keras.Model, keras.Model]:
    """(backbone, head): image to the feature maps of the last convolution and of each tap; the first to the logit."""
    features = model.get_layer(last_convolution).output
    tapped = [model.get_layer(tap.layer).output for tap in taps]
    return keras.Model(model.input, [features, *tapped]), keras.Model(features, model.output)


def pool(tapped: Sequence[tf.Tensor], taps: Sequence[Tap]) -> tf.Tensor:
    """(n, features): the mean of each map over each cell of its grid, tap after tap."""
    return tf.concat([_cells(maps, tap.grid) for maps, tap in zip(tapped, taps, strict=True)], axis=1)


def _cells(maps: tf.Tensor, grid: int) -> tf.Tensor:
    images, rows, columns, _channels = maps.shape
    means = tf.nn.avg_pool2d(maps, (rows // grid, columns // grid), (rows // grid, columns // grid), "VALID")
    return tf.reshape(means, (images, -1))


def explain(
    backbone: keras.Model, head: keras.Model, taps: Sequence[Tap], images: tf.Tensor, *, is_probability: bool = False
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """(logits (n,), maps (n, rows, columns), features (n, features)): the maps are rectified and not yet scaled.

    The weight of a feature map is the mean of the logit's gradient over it. That gradient needs the head only, so the
    backbone, which is nearly all of the network, is never run backwards. A network that ends in a sigmoid is explained
    by the logit before it, as the paper does: where the sigmoid is level, its own gradient vanishes.
    """
    found = backbone(images, training=False)
    features, *tapped = found if taps else (found,)  # Keras gives a lone output bare
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(features)
        said = head(features, training=False)[:, 0]
        logits = _logit_of(said) if is_probability else said
    weights = tf.reduce_mean(tape.gradient(logits, features), axis=(1, 2), keepdims=True)
    maps = tf.nn.relu(tf.reduce_sum(weights * features, axis=-1))
    return logits, maps, pool(tapped, taps) if taps else tf.zeros((images.shape[0], 0))


def _logit_of(probability: tf.Tensor) -> tf.Tensor:
    within = tf.clip_by_value(probability, _EDGE, 1 - _EDGE)
    return tf.math.log(within) - tf.math.log1p(-within)

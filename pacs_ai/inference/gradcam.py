"""Grad-CAM (Selvaraju et al., ICCV 2017, equations 1 and 2), from the gradient of the head alone."""

import keras
import tensorflow as tf


def split(model: keras.Model, last_convolution: str) -> tuple[keras.Model, keras.Model]:
    """(backbone, head): image to the feature maps of the last convolution, and those maps to the logit."""
    features = model.get_layer(last_convolution).output
    return keras.Model(model.input, features), keras.Model(features, model.output)


def explain(backbone: keras.Model, head: keras.Model, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """(logits (n,), maps (n, rows, columns)): the maps are rectified and not yet scaled.

    The weight of a feature map is the mean of the logit's gradient over it. That gradient needs the head only, so the
    backbone, which is nearly all of the network, is never run backwards.
    """
    features = backbone(images, training=False)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(features)
        logits = head(features, training=False)[:, 0]
    weights = tf.reduce_mean(tape.gradient(logits, features), axis=(1, 2), keepdims=True)
    return logits, tf.nn.relu(tf.reduce_sum(weights * features, axis=-1))

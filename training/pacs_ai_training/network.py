"""The network: VGG16 without its top and a small head of our own, in one un-nested Keras model."""

from pathlib import Path

import keras

LAST_CONVOLUTION = "block5_conv3"
# Simonyan & Zisserman 2015, as Keras ships the weights: BGR, 0..255, less the ImageNet means.
_IMAGENET_MEAN_BGR = (103.939, 116.779, 123.68)


def build_vgg16(weights: Path | str | None, *, size: int = 224, dropout: float = 0.4, units: int = 128) -> keras.Model:
    """Input (size, size, 1) in 0..1, output one logit; the head averages block5_conv3, so Grad-CAM has 14 x 14 cells.

    `weights` is the Keras file without top, or "imagenet" where the network allows the download.
    """
    grey = keras.Input((size, size, 1), name="grey")
    bgr = keras.layers.Concatenate(name="bgr")([grey, grey, grey])
    scaled = keras.layers.Rescaling(255.0, offset=[-mean for mean in _IMAGENET_MEAN_BGR], name="imagenet_scale")(bgr)
    backbone = keras.applications.VGG16(
        weights=str(weights) if weights else None, include_top=False, input_shape=(size, size, 3)
    )
    features = scaled
    for layer in backbone.layers[1:]:
        features = layer(features)
        if layer.name == LAST_CONVOLUTION:
            break
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(features)
    hidden = keras.layers.Dropout(dropout, name="pool_dropout")(pooled)
    hidden = keras.layers.Dense(units, activation="relu", name="hidden")(hidden)
    hidden = keras.layers.Dropout(dropout, name="hidden_dropout")(hidden)
    logit = keras.layers.Dense(1, dtype="float32", name="logit")(hidden)
    return keras.Model(grey, logit, name="pacs_ai_vgg16")


def train_only(model: keras.Model, prefixes: tuple[str, ...]) -> None:
    """Only layers whose name begins with one of the prefixes learn afterwards."""
    for layer in model.layers:
        layer.trainable = layer.name.startswith(prefixes)

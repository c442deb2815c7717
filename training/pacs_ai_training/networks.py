"""The networks that can be trained: a backbone by name, a head of our own, in one un-nested Keras model."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from .errors import FilmError

HEAD_START = "pool"
_MOMENTUM = 0.9
IMAGENET = "imagenet"
WEIGHTS_FOLDER = "PACS_AI_WEIGHTS"

Scaling = Callable[[keras.KerasTensor], keras.KerasTensor]


def _to_caffe(grey: keras.KerasTensor) -> keras.KerasTensor:
    """BGR, 0..255, less the ImageNet means: as the weights of Simonyan & Zisserman 2015 and He et al. 2016 expect."""
    bgr = keras.layers.Concatenate(name="bgr")([grey, grey, grey])
    return keras.layers.Rescaling(255.0, offset=[-103.939, -116.779, -123.68], name="imagenet_scale")(bgr)


def _to_signed_unit(grey: keras.KerasTensor) -> keras.KerasTensor:
    """RGB in -1..1 (Sandler et al. 2018, as Keras ships the weights)."""
    rgb = keras.layers.Concatenate(name="rgb")([grey, grey, grey])
    return keras.layers.Rescaling(2.0, offset=-1.0, name="imagenet_scale")(rgb)


def _to_standard_score(grey: keras.KerasTensor) -> keras.KerasTensor:
    """RGB less the ImageNet mean, by its deviation (Huang et al. 2017, as Keras ships the weights)."""
    rgb = keras.layers.Concatenate(name="rgb")([grey, grey, grey])
    means, deviations = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return keras.layers.Rescaling(
        [1 / deviation for deviation in deviations],
        offset=[-mean / deviation for mean, deviation in zip(means, deviations, strict=True)],
        name="imagenet_scale",
    )(rgb)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """`last_convolution` is where the head and Grad-CAM begin; what follows `last_blocks_after` is tuned by default.

    `weights_file` is the file without top that Keras publishes.
    """

    build: Callable[..., keras.Model] | None
    scale: Scaling | None
    last_convolution: str
    last_blocks_after: str
    weights_file: str = ""


BACKBONES = {
    "vgg16": Backbone(
        build=keras.applications.VGG16,
        scale=_to_caffe,
        last_convolution="block5_conv3",
        last_blocks_after="block3_pool",
        weights_file="vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
    ),
    "resnet50": Backbone(
        build=keras.applications.ResNet50,
        scale=_to_caffe,
        last_convolution="conv5_block3_out",
        last_blocks_after="conv4_block6_out",
        weights_file="resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
    ),
    "mobilenetv2": Backbone(
        build=keras.applications.MobileNetV2,
        scale=_to_signed_unit,
        last_convolution="out_relu",
        last_blocks_after="block_12_add",
        weights_file="mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
    ),
    "densenet121": Backbone(
        build=keras.applications.DenseNet121,
        scale=_to_standard_score,
        last_convolution="relu",
        last_blocks_after="pool4_pool",
        weights_file="densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5",
    ),
    "custom_cnn": Backbone(build=None, scale=None, last_convolution="conv4_relu", last_blocks_after=""),
}


def backbone_named(name: str) -> Backbone:
    """The backbone; FilmError with the names that there are."""
    if name not in BACKBONES:
        message = f"{name}: no such backbone; there are {', '.join(BACKBONES)}"
        raise FilmError(message)
    return BACKBONES[name]


def find_weights(name: str, given: Path | None) -> Path | str | None:
    """The file that was given, or the backbone's in the folder that was; "imagenet" when none was; None where none is.

    The folder may also be named by the environment's PACS_AI_WEIGHTS. FilmError says which file to get.
    """
    backbone = backbone_named(name)
    if backbone.build is None:
        return None
    place = given or (Path(os.environ[WEIGHTS_FOLDER]) if os.environ.get(WEIGHTS_FOLDER) else None)
    if place is None or place.is_file():
        return place or IMAGENET
    found = [place / backbone.weights_file, *sorted(place.glob(f"{name}*.h5"))]
    for path in found:
        if path.is_file():
            return path
    message = f"{place}: no ImageNet weights of {name}; {_what_to_get(backbone)}"
    raise FilmError(message)


def build_network(
    name: str, weights: Path | str | None = None, *, size: int = 224, dropout: float = 0.4, units: int = 128
) -> keras.Model:
    """Input (size, size, 1) in 0..1, output one logit, whose sigmoid is the probability.

    `weights` is a Keras file without top, "imagenet" where the network allows the download, or None for random ones.
    FilmError says which file to get when the weights cannot be had or do not fit.
    """
    backbone = backbone_named(name)
    grey = keras.Input((size, size, 1), name="grey")
    features = _pretrained(name, backbone, grey, weights) if backbone.build else _convolutions(grey)
    pooled = keras.layers.GlobalAveragePooling2D(name=HEAD_START)(features)
    hidden = keras.layers.Dropout(dropout, name="pool_dropout")(pooled)
    hidden = keras.layers.Dense(units, activation="relu", name="hidden")(hidden)
    hidden = keras.layers.Dropout(dropout, name="hidden_dropout")(hidden)
    logit = keras.layers.Dense(1, dtype="float32", name="logit")(hidden)
    return keras.Model(grey, logit, name=f"pacs_ai_{name}")


def learn_after(model: keras.Model, layer: str) -> keras.Model:
    """The part of the model from that layer's output on, which alone learns afterwards; all of it for "".

    Normalisation keeps the statistics it came with unless everything learns: small batches would spoil them.
    """
    if not layer:
        for one in model.layers:
            one.trainable = True
            if isinstance(one, keras.layers.BatchNormalization):
                # Keras's 0.999 for some backbones follows films over thousands of steps; a run here has a thousand.
                one.momentum = min(one.momentum, _MOMENTUM)
        return model
    _known_layer(model, layer)
    tail = keras.Model(model.get_layer(layer).output, model.output)
    learning = {one.name for one in tail.layers}
    for one in model.layers:
        one.trainable = one.name in learning and not isinstance(one, keras.layers.BatchNormalization)
    return tail


def _known_layer(model: keras.Model, layer: str) -> None:
    if layer not in {one.name for one in model.layers}:
        message = f"{layer}: the network has no such layer to learn after; its last are {_last_names(model)}"
        raise FilmError(message)


def _last_names(model: keras.Model) -> str:
    return ", ".join(layer.name for layer in model.layers[-12:])


def _pretrained(
    name: str, backbone: Backbone, grey: keras.KerasTensor, weights: Path | str | None
) -> keras.KerasTensor:
    assert backbone.build is not None
    assert backbone.scale is not None
    loaded = _loaded(name, backbone, (*grey.shape[1:3], 3), weights) if weights else None
    placed = backbone.build(weights=None, include_top=False, input_tensor=backbone.scale(grey))
    if loaded is not None:
        placed.set_weights(loaded)
    return placed.get_layer(backbone.last_convolution).output


def _loaded(name: str, backbone: Backbone, shape: tuple[int, ...], weights: Path | str) -> list[NDArray[np.float32]]:
    assert backbone.build is not None
    try:
        loaded = backbone.build(weights=str(weights), include_top=False, input_shape=shape)
    except Exception as error:  # Keras raises what the file format or the network library raises
        message = f"{name}: the weights {weights} cannot be used ({_first_line(error)}); {_what_to_get(backbone)}"
        raise FilmError(message) from error
    return list(loaded.get_weights())


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def _what_to_get(backbone: Backbone) -> str:
    where = "https://storage.googleapis.com/tensorflow/keras-applications/"
    return f"get {backbone.weights_file} from {where} and name it, or its folder in {WEIGHTS_FOLDER}"


def _convolutions(grey: keras.KerasTensor) -> keras.KerasTensor:
    """Four blocks of convolution, batch normalisation and max pooling."""
    features = grey
    for block, filters in enumerate((32, 64, 128, 256), start=1):
        features = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"conv{block}")(features)
        features = keras.layers.BatchNormalization(name=f"conv{block}_norm")(features)
        features = keras.layers.ReLU(name=f"conv{block}_relu")(features)
        features = keras.layers.MaxPooling2D(name=f"conv{block}_pool")(features)
    return features

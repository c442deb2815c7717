"""A small set of films in Kaggle's folders, made of the shipped samples: pneumonia is a white patch in them."""

from pathlib import Path

import cv2
import keras
import numpy as np
from pacs_ai_training.networks import BACKBONES

from pacs_ai.inference.card import read_card
from tests.builders import sample_film

SIDE = 64


def write_films(folder: Path, *, patients: int, part: str = "", first: int = 0) -> Path:
    """As many patients of either class, one film each, under `folder/part`."""
    rng = np.random.default_rng(first)
    for number in range(first, first + patients):
        for kind, name in (("NORMAL", f"IM-{number:04d}-0001.png"), ("PNEUMONIA", f"person{number}_virus_1.png")):
            film = sample_film(number, 96, 96, bits=8) // 2 + rng.integers(0, 20, (96, 96)).astype(np.uint8)
            if kind == "PNEUMONIA":
                cv2.circle(film, (30, 60), 16, 255, -1)
            (folder / part / kind).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / part / kind / name), film)
    return folder


def write_set(folder: Path, *, patients: int = 24) -> Path:
    """Train and test parts."""
    write_films(folder, patients=patients, part="train")
    return write_films(folder, patients=6, part="test", first=900)


def write_embedded_weights(folder: Path) -> Path:
    """The convolutions of the embedded network, in the form of the published files; the folder is returned."""
    network = keras.saving.load_model(read_card("").weights, compile=False)
    backbone = keras.applications.VGG16(weights=None, include_top=False, input_shape=(SIDE, SIDE, 3))
    for layer in backbone.layers:
        if layer.weights:
            layer.set_weights(network.get_layer(layer.name).get_weights())
    backbone.save_weights(folder / "vgg16_notop.weights.h5")
    return folder


def write_weights(name: str, folder: Path, *, size: int = SIDE) -> Path:
    """A file in the form of the published ones, with weights drawn by lot."""
    keras.utils.set_random_seed(4)
    build = BACKBONES[name].build
    assert build is not None
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}_notop.weights.h5"
    build(weights=None, include_top=False, input_shape=(size, size, 3)).save_weights(path)
    return path

"""What a network makes of images on its way, pooled as the service pools it."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pacs_ai.inference.gradcam import pool
from pacs_ai.inference.taps import Tap

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]


def features_of(model: keras.Model, taps: Sequence[Tap], images: Images, *, batch: int = 8) -> Floats:
    """(n, features) of uint8 (n, rows, columns), by the service's own pooling."""
    backbone = keras.Model(model.input, [model.get_layer(tap.layer).output for tap in taps])
    pooled = tf.function(lambda part: pool(backbone(part, training=False), taps), autograph=False)
    found = []
    for start in range(0, len(images), batch):
        part = images[start : start + batch, ..., np.newaxis].astype(np.float32) / np.float32(255)
        padded = np.concatenate([part, np.zeros((batch - len(part), *part.shape[1:]), np.float32)])
        found.append(pooled(tf.constant(padded)).numpy()[: len(part)])
    return np.concatenate(found)

"""What a network learns from: augmented copies of the films, as they are or as its frozen part sees them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pacs_ai.imaging.geometry import to_network_scale

from .augment import Augmentation, augment
from .errors import written

Images = NDArray[np.uint8]
Labels = NDArray[np.float32]
Inputs = NDArray[np.float32]
Features = NDArray[np.float16]
Rows = NDArray[np.int64]

_HIGHEST = float(np.finfo(np.float16).max)


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmSet:
    """Films as uint8 (n, rows, columns) and labels (n,) of 0 and 1."""

    images: Images
    labels: Labels


def plain_inputs(films: FilmSet, rows: Rows) -> Inputs:
    """Network inputs of those films as they are."""
    return np.stack([to_network_scale(films.images[row] / np.float32(255)) for row in rows])


def augmented_inputs(films: FilmSet, rows: Rows, ranges: Augmentation, seed: tuple[int, ...]) -> Inputs:
    """Network inputs of one changed copy of each; the same film is changed in the same way for the same seed."""
    return np.stack(
        [to_network_scale(augment(films.images[row], ranges, np.random.default_rng([*seed, row]))) for row in rows]
    )


def streamed(inputs: Callable[[Rows], Inputs], labels: Labels, rows: Rows, batch: int) -> tf.data.Dataset:
    """Batches of inputs made on the fly, in the order of `rows`."""

    def batches() -> Iterator[tuple[Inputs, Labels]]:
        for start in range(0, len(rows), batch):
            part = rows[start : start + batch]
            yield inputs(part), labels[part, np.newaxis]

    found = inputs(rows[:1])
    signature = (tf.TensorSpec((None, *found.shape[1:]), found.dtype), tf.TensorSpec((None, 1), tf.float32))
    count = tf.data.experimental.assert_cardinality(-(-len(rows) // batch))
    return tf.data.Dataset.from_generator(batches, output_signature=signature).apply(count).prefetch(4)


def kept_features(
    frozen: keras.Model, path: Path, inputs: Callable[[Rows], Inputs], films: int, *, batch: int
) -> Features:
    """(films, ...) what the frozen part makes of the inputs, in a file; not made anew when the file is there.

    Raises FilmError when the disk is full; a half-written file is never taken for a whole one.
    """
    if not path.is_file():
        with written(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            _write(frozen, part, inputs, films, batch)
            part.replace(path)
    return np.asarray(np.load(path, mmap_mode="r"))


def _write(frozen: keras.Model, path: Path, inputs: Callable[[Rows], Inputs], films: int, batch: int) -> None:
    signature = [tf.TensorSpec((None, *frozen.input_shape[1:]), tf.float32)]
    run = tf.function(lambda images: tf.cast(frozen(images, training=False), tf.float32), signature)
    kept = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(films, *frozen.output_shape[1:]))
    start = 0
    for images, _ in streamed(inputs, np.zeros(films, np.float32), np.arange(films), batch):
        features = run(images).numpy()
        kept[start : start + len(features)] = np.clip(features, -_HIGHEST, _HIGHEST)
        start += len(features)
    kept.flush()

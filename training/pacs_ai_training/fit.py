"""Two stages: first the head on the frozen backbone, then the last blocks too with a small rate."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pacs_ai.imaging.geometry import to_network_scale

from .augment import Augmentation, augment
from .network import train_only

Images = NDArray[np.uint8]
Labels = NDArray[np.float32]

HEAD = ("hidden", "logit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Every choice of a run."""

    seed: int = 20261123
    size: int = 224
    batch: int = 32
    validation_share: float = 0.12
    head_epochs: int = 1
    head_rate: float = 1e-3
    tuned_layers: tuple[str, ...] = ("block3", "block4", "block5", *HEAD)
    tuned_epochs: int = 8
    tuned_rate: float = 3e-5
    weight_decay: float = 1e-4
    label_smoothing: float = 0.05
    mixed_precision: str = "mixed_bfloat16"
    augmentation: Augmentation = field(default_factory=Augmentation)


def train(
    model: keras.Model,
    train_set: tuple[Images, Labels],
    validation_set: tuple[Images, Labels],
    recipe: Recipe,
    folder: Path,
) -> None:
    """The model holds the weights of the epoch with the best validation AUC; the run is logged under `folder`."""
    for stage, layers, epochs, rate in (
        ("head", HEAD, recipe.head_epochs, recipe.head_rate),
        ("tuned", recipe.tuned_layers, recipe.tuned_epochs, recipe.tuned_rate),
    ):
        train_only(model, layers)
        steps = len(train_set[0]) // recipe.batch
        _compile(model, recipe, rate, steps * epochs)
        best = folder / f"best_{stage}.weights.h5"
        model.fit(
            _augmented(train_set, recipe, stage),
            steps_per_epoch=steps,
            epochs=epochs,
            validation_data=_plain(validation_set, recipe.batch),
            class_weight=_class_weight(train_set[1]),
            callbacks=[
                keras.callbacks.ModelCheckpoint(
                    best, monitor="val_auc", mode="max", save_best_only=True, save_weights_only=True
                ),
                keras.callbacks.CSVLogger(folder / f"log_{stage}.csv"),
            ],
            verbose=2,
        )
        model.load_weights(best)


def _compile(model: keras.Model, recipe: Recipe, rate: float, steps: int) -> None:
    schedule = keras.optimizers.schedules.CosineDecay(
        rate / 10, steps - min(100, steps // 5), alpha=0.02, warmup_target=rate, warmup_steps=min(100, steps // 5)
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(schedule, weight_decay=recipe.weight_decay),
        loss=keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=recipe.label_smoothing),
        metrics=[keras.metrics.AUC(name="auc", from_logits=True, num_thresholds=1000)],
    )


def _class_weight(labels: Labels) -> dict[int, float]:
    positive = float(labels.mean())
    return {0: 0.5 / (1 - positive), 1: 0.5 / positive}


def _augmented(films: tuple[Images, Labels], recipe: Recipe, stage: str) -> tf.data.Dataset:
    images, labels = films

    def batches() -> Iterator[tuple[NDArray[np.float32], Labels]]:
        rng = np.random.default_rng([recipe.seed, len(stage)])
        while True:
            order = rng.permutation(len(images))
            for start in range(0, len(order) - recipe.batch + 1, recipe.batch):
                rows = order[start : start + recipe.batch]
                changed = [to_network_scale(augment(images[row], recipe.augmentation, rng)) for row in rows]
                yield np.stack(changed), labels[rows, np.newaxis]

    return tf.data.Dataset.from_generator(batches, output_signature=_signature(recipe)).prefetch(4)


def _signature(recipe: Recipe) -> tuple[tf.TensorSpec, tf.TensorSpec]:
    return (
        tf.TensorSpec((recipe.batch, recipe.size, recipe.size, 1), tf.float32),
        tf.TensorSpec((recipe.batch, 1), tf.float32),
    )


def _plain(films: tuple[Images, Labels], batch: int) -> tf.data.Dataset:
    images, labels = films
    scaled = tf.data.Dataset.from_tensor_slices((images, labels[:, np.newaxis])).batch(batch)
    return scaled.map(lambda image, label: (tf.cast(image, tf.float32)[..., tf.newaxis] / 255.0, label)).prefetch(2)

"""Stage after stage: the head on the frozen backbone, then the last blocks with a small rate."""

import csv
import logging
import math
import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from .checkpoint import Progress, load_last, save_best, save_last
from .copies import (
    Features,
    FilmSet,
    Inputs,
    Labels,
    Rows,
    augmented_inputs,
    kept_features,
    plain_inputs,
    streamed,
)
from .errors import written
from .networks import HEAD_START, backbone_named, learn_after
from .recipe import Recipe, Stage, TrainingChoice

log = logging.getLogger(__name__)

_PLATEAU_EPOCHS = 2
_PLATEAU_SHARE = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """A line of the log."""

    stage: str
    epoch: int
    rate: float
    loss: float
    auc: float
    val_loss: float
    val_auc: float
    seconds: float


def train(model: keras.Model, films: FilmSet, validation: FilmSet, recipe: Recipe, folder: Path) -> list[Epoch]:
    """The model holds the weights of the epoch with the best validation AUC of the last stage.

    `folder` has for each stage `<stage>-best.weights.h5` and `<stage>-last.npz`, and `log.csv` and `tensorboard/`.
    A run that was interrupted goes on after its last whole epoch when the folder is the same.
    """
    folder.mkdir(parents=True, exist_ok=True)
    epochs: list[Epoch] = []
    for number, stage in enumerate(recipe.stages):
        epochs += _StageRun(model, films, validation, recipe, folder, number, stage).run()
        model.load_weights(folder / f"{stage.name}-best.weights.h5")
    return epochs


class _StageRun:
    """One stage: what learns, from what, and how far it has come."""

    def __init__(  # noqa: PLR0913 - one for each thing that a stage needs
        self,
        model: keras.Model,
        films: FilmSet,
        validation: FilmSet,
        recipe: Recipe,
        folder: Path,
        number: int,
        stage: Stage,
    ) -> None:
        self._model, self._films, self._validation = model, films, validation
        self._recipe, self._folder, self._number, self._stage = recipe, folder, number, stage
        self._frozen_until = _frozen_until(stage, recipe)
        self._learner = learn_after(model, self._frozen_until)
        self._batch = recipe.training.batch
        self._steps = max(len(films.labels) // self._batch, 1)
        _compile(self._learner, recipe.training, stage.rate, self._steps * stage.epochs)

    def run(self) -> list[Epoch]:
        last, best = (self._folder / f"{self._stage.name}-{kind}" for kind in ("last.npz", "best.weights.h5"))
        progress = load_last(last, self._learner)
        epochs: list[Epoch] = []
        while progress.epochs < self._stage.epochs and progress.since_best < self._recipe.training.patience:
            epoch = self._epoch(progress)
            epochs.append(epoch)
            if epoch.val_auc > progress.best_auc:
                save_best(best, self._model)
            progress = self._adapted(progress.after(epoch.val_auc))
            save_last(last, self._learner, progress)
            _log(self._folder, epoch, step=sum(one.epochs for one in self._recipe.stages[: self._number]))
        for path in self._features_folder.glob("*.npy"):
            path.unlink()
        return epochs

    @property
    def _features_folder(self) -> Path:
        return self._folder / "features"

    def _epoch(self, progress: Progress) -> Epoch:
        began = time.perf_counter()
        found = self._learner.fit(
            self._lessons(progress.epochs),
            initial_epoch=progress.epochs,
            epochs=progress.epochs + 1,
            validation_data=self._examination(),
            class_weight=_class_weight(self._films.labels) if self._recipe.training.balance == "weights" else None,
            shuffle=False,
            verbose=1 if sys.stderr.isatty() else 0,
        ).history
        epoch = Epoch(
            stage=self._stage.name,
            epoch=progress.epochs + 1,
            rate=float(self._learner.optimizer.learning_rate),
            seconds=round(time.perf_counter() - began, 1),
            **{name: float(found[name][0]) for name in ("loss", "auc", "val_loss", "val_auc")},
        )
        log.info(
            "%s, epoch %d of %d: loss %.4f, AUC %.4f; validation loss %.4f, AUC %.4f; %.0f s",
            epoch.stage,
            epoch.epoch,
            self._stage.epochs,
            epoch.loss,
            epoch.auc,
            epoch.val_loss,
            epoch.val_auc,
            epoch.seconds,
        )
        return epoch

    def _lessons(self, epoch: int) -> tf.data.Dataset:
        seed = (self._recipe.seed, self._number)
        rows = _order(self._films.labels, self._recipe.training, np.random.default_rng([*seed, epoch]))
        rows = rows[: max(len(rows) // self._batch * self._batch, min(len(rows), self._batch))]
        copy = epoch // self._stage.epochs_per_copy if self._frozen_until else epoch
        changed = partial(augmented_inputs, self._films, ranges=self._recipe.augmentation, seed=(*seed, copy))
        if not self._frozen_until:
            return streamed(changed, self._films.labels, rows, self._batch)
        self._forget(copy - 1)
        kept = self._kept(f"{self._stage.name}-copy{copy}", changed, len(self._films.labels))
        return streamed(partial(_rows_of, kept), self._films.labels, rows, self._batch)

    def _examination(self) -> tf.data.Dataset:
        labels = self._validation.labels
        plain = partial(plain_inputs, self._validation)
        if not self._frozen_until:
            return streamed(plain, labels, np.arange(len(labels)), self._batch)
        kept = self._kept(f"{self._stage.name}-validation", plain, len(labels))
        return streamed(partial(_rows_of, kept), labels, np.arange(len(labels)), self._batch)

    def _kept(self, name: str, inputs: "partial[Inputs]", films: int) -> Features:
        frozen = keras.Model(self._model.input, self._model.get_layer(self._frozen_until).output)
        return kept_features(frozen, self._features_folder / f"{name}.npy", inputs, films, batch=self._batch)

    def _forget(self, copy: int) -> None:
        (self._features_folder / f"{self._stage.name}-copy{copy}.npy").unlink(missing_ok=True)

    def _adapted(self, progress: Progress) -> Progress:
        is_stuck = progress.since_best and progress.since_best % _PLATEAU_EPOCHS == 0
        if self._recipe.training.schedule != "plateau" or not is_stuck:
            return progress
        share = progress.rate_share * _PLATEAU_SHARE
        self._learner.optimizer.learning_rate = self._stage.rate * share
        return replace(progress, rate_share=share)


def _frozen_until(stage: Stage, recipe: Recipe) -> str:
    words = {
        "head": HEAD_START,
        "last blocks": backbone_named(recipe.network.backbone).last_blocks_after,
        "nothing": "",
    }
    return words.get(stage.learn_after, stage.learn_after)


def _rows_of(kept: Features, rows: Rows) -> Inputs:
    return np.asarray(kept[rows], np.float32)


def _order(labels: Labels, choice: TrainingChoice, rng: np.random.Generator) -> Rows:
    """The films of an epoch: each once, or as many of either class drawn with replacement."""
    if choice.balance != "sampling":
        return rng.permutation(len(labels))
    halves = [rng.choice(np.flatnonzero(labels == label), len(labels) // 2) for label in (0, 1)]
    return rng.permutation(np.concatenate(halves))


def _class_weight(labels: Labels) -> dict[int, float]:
    positive = float(labels.mean())
    return {0: 0.5 / (1 - positive), 1: 0.5 / positive}


def _compile(learner: keras.Model, choice: TrainingChoice, rate: float, steps: int) -> None:
    warm = min(100, steps // 5)
    schedule = (
        keras.optimizers.schedules.CosineDecay(
            rate / 10, max(steps - warm, 1), alpha=0.02, warmup_target=rate, warmup_steps=warm
        )
        if choice.schedule == "cosine"
        else rate
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=choice.weight_decay)
    learner.compile(
        optimizer=optimizer,
        loss=keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=choice.label_smoothing),
        metrics=[keras.metrics.AUC(name="auc", from_logits=True, num_thresholds=1000)],
    )
    optimizer.build(learner.trainable_variables)


def _log(folder: Path, epoch: Epoch, *, step: int) -> None:
    """A row in log.csv, and the same for TensorBoard."""
    row = {name: getattr(epoch, name) for name in Epoch.__slots__}
    path = folder / "log.csv"
    with written(folder), path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, row)
        if not file.tell():
            writer.writeheader()
        writer.writerow(row)
    board = tf.summary.create_file_writer(str(folder / "tensorboard"))
    with board.as_default(step=step + epoch.epoch):
        for name in ("loss", "auc", "val_loss", "val_auc", "rate"):
            if math.isfinite(row[name]):
                tf.summary.scalar(name, row[name])
    board.close()

"""Where a run stands after an epoch: one file, whole or not there, from which it goes on as if never stopped."""

from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np

from .errors import FilmError, written


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Epochs done in a stage, the best validation AUC so far, and how many epochs have not bettered it."""

    epochs: int = 0
    best_auc: float = -1.0
    since_best: int = 0
    rate_share: float = 1.0

    def after(self, auc: float) -> "Progress":
        """One epoch later."""
        if auc > self.best_auc:
            return replace(self, epochs=self.epochs + 1, best_auc=auc, since_best=0)
        return replace(self, epochs=self.epochs + 1, since_best=self.since_best + 1)


def save_last(path: Path, learner: keras.Model, progress: Progress) -> None:
    """Weights, optimiser and progress are in the file; FilmError when the disk refuses, and the file before is kept."""
    variables = {f"v{number}": variable.numpy() for number, variable in enumerate(_variables(learner))}
    state = np.array([progress.epochs, progress.best_auc, progress.since_best, progress.rate_share])
    part = path.with_suffix(".part")
    with written(path.parent):
        with part.open("wb") as file:
            np.savez(file, progress=state, **variables)
        part.replace(path)


def load_last(path: Path, learner: keras.Model) -> Progress:
    """The learner is as it was when the file was written; Progress() when there is none yet."""
    if not path.is_file():
        return Progress()
    variables = _variables(learner)
    with np.load(path, allow_pickle=False) as found:
        if len(found.files) != len(variables) + 1:
            message = f"{path}: not of this network; choose another --out, or go on with the recipe it was begun with"
            raise FilmError(message)
        for number, variable in enumerate(variables):
            variable.assign(found[f"v{number}"])
        epochs, best_auc, since_best, rate_share = found["progress"].tolist()
    return Progress(epochs=int(epochs), best_auc=best_auc, since_best=int(since_best), rate_share=rate_share)


def save_best(path: Path, model: keras.Model) -> None:
    """The weights of the whole model are in a file that any Keras loads."""
    part = path.with_name(f"part-{path.name}")
    with written(path.parent):
        model.save_weights(part, overwrite=True)
        part.replace(path)


def _variables(learner: keras.Model) -> list[keras.Variable]:
    return [*learner.variables, *learner.optimizer.variables]

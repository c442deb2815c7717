"""A run of training: the same twice, the same after an interruption, and nothing half-written when the disk is full."""

import csv
import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pacs_ai_training.checkpoint import Progress, load_last, save_last
from pacs_ai_training.errors import FilmError
from pacs_ai_training.networks import build_network
from pacs_ai_training.recipe import NetworkChoice, Recipe, Stage, TrainingChoice, write_recipe
from pacs_ai_training.run import fit

from pacs_ai.inference.card import read_card

from .films import SIDE, write_set

pytestmark = pytest.mark.timeout(900)  # minutes of processor time, on a machine that may have others to serve

RECIPE = Recipe(
    name="small",
    network=NetworkChoice(backbone="custom_cnn", size=SIDE),
    stages=(
        Stage(name="head", learn_after="head", epochs=2, epochs_per_copy=2, rate=1e-3),
        Stage(name="blocks", learn_after="conv2_pool", epochs=2, rate=1e-4),
    ),
    training=TrainingChoice(batch=8, precision="float32", patience=9),
)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="module")
def whole(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    return fit(films, None, tmp_path_factory.mktemp("whole") / "out", RECIPE).parent


def test_a_run_leaves_model_card_recipe_report_and_logs(whole: Path) -> None:
    card = read_card(whole)

    assert card.document["recipe"]["stages"][1]["learn_after"] == "conv2_pool"
    assert len(card.document["examples"]["logits"]) == 4
    assert json.loads((whole / "films.json").read_text())["parts"]["test"]["films"] == 12
    rows = list(csv.DictReader((whole / "checkpoints" / "log.csv").read_text().splitlines()))
    assert [(row["stage"], row["epoch"]) for row in rows] == [
        ("head", "1"),
        ("head", "2"),
        ("blocks", "1"),
        ("blocks", "2"),
    ]
    assert list((whole / "checkpoints" / "tensorboard").iterdir())
    assert not list((whole / "checkpoints" / "features").iterdir())


def test_a_run_that_was_stopped_goes_on_to_the_same_network(films: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    program = (
        "import os, sys; from pathlib import Path\n"
        "import pacs_ai_training.fit as stages\n"
        "from pacs_ai_training.recipe import read_recipe\n"
        "from pacs_ai_training.run import fit\n"
        "data, out, recipe = map(Path, sys.argv[1:])\n"
        "log = stages._log\n"
        "def stop(folder, epoch, **where):\n"
        "    log(folder, epoch, **where)\n"
        "    if (epoch.stage, epoch.epoch) == ('blocks', 1): os._exit(9)\n"
        "stages._log = stop\n"
        "fit(data, None, out, read_recipe(recipe))\n"
    )
    stopped = subprocess.run([sys.executable, "-c", program, films, out, write_recipe(RECIPE, tmp_path)], check=False)
    assert stopped.returncode == 9
    assert not (out / "card.json").exists()

    fit(films, None, out, RECIPE, resume=True)

    assert read_card(out).identity.sha256 == read_card(whole).identity.sha256
    assert read_card(out).document["metrics"] == read_card(whole).document["metrics"]


def test_the_same_seed_gives_the_same_network_twice(films: Path, whole: Path, tmp_path: Path) -> None:
    again = fit(films, None, tmp_path / "out", RECIPE)

    assert read_card(again.parent).identity.sha256 == read_card(whole).identity.sha256


def test_a_folder_with_a_run_in_it_is_not_written_over(films: Path, whole: Path) -> None:
    with pytest.raises(FilmError, match="go on with --resume"):
        fit(films, None, whole, RECIPE)


def test_a_run_is_not_taken_up_with_another_recipe(films: Path, whole: Path, tmp_path: Path) -> None:
    other = RECIPE.model_copy(update={"seed": 5})

    with pytest.raises(FilmError, match="no run of this recipe"):
        fit(films, None, whole, other, resume=True)
    with pytest.raises(FilmError, match="no run of this recipe"):
        fit(films, None, tmp_path, RECIPE, resume=True)


def test_a_full_disk_is_told_and_leaves_the_checkpoint_before_it_whole(tmp_path: Path) -> None:
    learner = build_network("custom_cnn", size=SIDE)
    learner.compile(optimizer="adam", loss="mse")
    learner.optimizer.build(learner.trainable_variables)
    path = tmp_path / "head-last.npz"
    save_last(path, learner, Progress(epochs=1, best_auc=0.7))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    learner.layers[1].set_weights([np.ones_like(weight) for weight in learner.layers[1].get_weights()])

    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(FilmError, match=r"cannot be written .*go on with --resume"):
            save_last(path, learner, Progress(epochs=2, best_auc=0.9))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert load_last(path, learner) == Progress(epochs=1, best_auc=0.7)
    assert not np.allclose(learner.layers[1].get_weights()[0], 1)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    first, second = (build_network(name, size=SIDE) for name in ("custom_cnn", "mobilenetv2"))
    for network in (first, second):
        network.compile(optimizer="adam", loss="mse")
        network.optimizer.build(network.trainable_variables)
    save_last(tmp_path / "one-last.npz", first, Progress())

    with pytest.raises(FilmError, match="not of this network"):
        load_last(tmp_path / "one-last.npz", second)

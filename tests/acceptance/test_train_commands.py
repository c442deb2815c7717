"""`pacs-ai-train` on a few films: what a data scientist gets, in files."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from pacs_ai_training.collection import Films
from pacs_ai_training.films import list_films
from pacs_ai_training.refusals import Lot, teach_refusals
from pydicom import dcmread

from pacs_ai.demonstration import sample_paths
from pacs_ai.imaging.film import open_film
from pacs_ai.inference.card import EMBEDDED, read_card, verify
from pacs_ai.inference.classifier import CardClassifier
from tests.builders import sample_film

from .films import write_set

pytestmark = pytest.mark.timeout(900)  # minutes of processor time, on a machine that may have others to serve

TRAIN = (sys.executable, "-c", "from pacs_ai_training.cli import main; main()")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve films in Kaggle's folders; which label each has does not matter here."""
    folder = tmp_path_factory.mktemp("films")
    for number in range(12):
        kind, name = (
            ("NORMAL", f"IM-{number:04d}-0001.png") if number % 2 else ("PNEUMONIA", f"person{number}_virus_1.png")
        )
        (folder / kind).mkdir(exist_ok=True)
        cv2.imwrite(str(folder / kind / name), sample_film(number, 256, 256, bits=8))
    return folder


def _train(*words: str | Path) -> str:
    done = subprocess.run([*TRAIN, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_evaluate_prints_the_figures_and_writes_page_document_and_plots(films: Path, tmp_path: Path) -> None:
    printed = _train("evaluate", films, "--out", tmp_path)

    document = json.loads((tmp_path / "evaluation.json").read_text())
    assert (document["films"], document["positive"]) == (12, 6)
    assert document["model"]["sha256"] == read_card("").identity.sha256
    for name, figure in document["figures"].items():
        assert f"{name:<28}{figure['value']:.3f}" in printed
    assert len(list((tmp_path / "plots").iterdir())) == 10
    assert "data:image/svg+xml" in (tmp_path / "evaluation.html").read_text()


def test_compare_ends_with_a_verdict(films: Path) -> None:
    assert "within chance" in _train("compare", "", "", films).splitlines()[-1]


def test_a_network_is_taught_what_to_refuse_and_its_weights_stay(films: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(EMBEDDED, folder)
    others = tmp_path / "others"
    others.mkdir()
    for number in range(6):
        cv2.imwrite(str(others / f"{number}.png"), sample_film(number, 200, 300, bits=8)[:, 100:])
    listed = list_films(films)
    lot = Lot(known=8, turned=2, drawn=12, judged_turned=1)

    card_path = teach_refusals(folder, Films(train=listed[:8], validation=listed[8:], test=listed[:2]), others, lot)

    card = read_card(card_path)
    verify(card)
    assert card.identity == read_card("").identity
    assert card.detector is not None
    refused = card.document["detector"]["refused"]
    assert refused["validation"]["images"] == 4
    assert {"inverted", "upside down", "other patients not used for teaching"} < refused.keys()


def test_a_folder_without_films_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [*TRAIN, "evaluate", str(tmp_path), "--out", str(tmp_path / "out")], capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert str(tmp_path) in done.stderr
    assert "Traceback" not in done.stderr


def test_fit_by_command_makes_a_network_that_the_service_takes(tmp_path: Path) -> None:
    data = write_set(tmp_path / "films", patients=12)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        'name = "mine"\nversion = "3.2.1"\n'
        '[[stages]]\nname = "whole"\nlearn_after = "nothing"\nepochs = 2\nrate = 1e-3\n'
        '[network]\nbackbone = "custom_cnn"\nsize = 64\n'
    )
    out = tmp_path / "mine"

    _train("fit", data, "--config", recipe, "--out", out)

    assert "mine 3.2.1, custom_cnn" in _train("card", out)
    settings = tmp_path / "pacs-ai.toml"
    settings.write_text(f'[model]\npath = "{out}"\n')
    lines = _process(settings, tmp_path / "results")
    assert {line["model"]["name"] for line in lines} == {"mine"}
    assert {line["outcome"] for line in lines} <= {"positive", "negative"}
    refused = subprocess.run([*TRAIN, "fit", data, "--config", recipe, "--out", out], capture_output=True, check=False)
    assert refused.returncode == 1
    assert b"--resume" in refused.stderr


def _process(settings: Path, out: Path) -> list[dict[str, Any]]:
    words = ("process", *map(str, sample_paths()[:2]), "--out", str(out), "--json", "-c", str(settings))
    done = subprocess.run([sys.executable, "-m", "pacs_ai", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_explain_says_what_was_found_and_draws_where(films: Path, tmp_path: Path) -> None:
    printed = _train("explain", films / "NORMAL", sample_paths()[0], "--out", tmp_path)

    assert len(printed.splitlines()) == 7
    for line in printed.splitlines():
        assert "probability 0." in line
    assert len(list(tmp_path.glob("*_gradcam.png"))) == 7


def test_a_card_changed_by_hand_is_refused_until_it_is_sealed(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(EMBEDDED, folder)
    path = folder / "card.json"
    path.write_text(path.read_text().replace('"min_age_years": 1', '"min_age_years": 2'))

    refused = subprocess.run([*TRAIN, "card", str(folder)], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "changed since it was sealed" in refused.stderr

    assert "sealed" in _train("card", folder, "--seal")
    assert read_card(folder).population.min_age_years == 2


def test_a_network_exported_to_onnx_reads_as_the_one_it_was_made_from(tmp_path: Path) -> None:
    _train("export", "--out", tmp_path / "onnx" / "net.onnx")

    films = [open_film(path, input_size=224).model_input for path in sample_paths()[:4]]
    keras_said, onnx_said = (CardClassifier(read_card(folder)).read(films) for folder in ("", tmp_path / "onnx"))
    for one, other in zip(keras_said, onnx_said, strict=True):
        assert one.classification.probability == pytest.approx(other.classification.probability, abs=1e-4)
    settings = tmp_path / "pacs-ai.toml"
    settings.write_text(f'[model]\npath = "{tmp_path / "onnx"}"\n[results]\nheat_map = "always"\n')
    lines = _process(settings, tmp_path / "results")
    captures = [dcmread(part["path"]) for line in lines for part in line["objects"] if part["kind"] == "capture"]
    assert [capture.ImageComments for capture in captures] == ["No heat map drawn"] * 2


def test_a_network_exported_for_tensorflow_says_the_same(films: Path, tmp_path: Path) -> None:
    _train("export", "--out", tmp_path / "saved")

    image = np.random.default_rng(0).random((1, 224, 224, 1)).astype(np.float32)
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    found = loaded.serve(tf.constant(image))

    network = keras.saving.load_model(read_card("").weights, compile=False)
    assert float(found[0, 0]) == pytest.approx(float(network(image)[0, 0]), abs=1e-3)
    again = subprocess.run([*TRAIN, "export", "--out", str(tmp_path / "saved")], capture_output=True, check=False)
    assert again.returncode == 1

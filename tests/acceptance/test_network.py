"""The embedded network: what its card says, what it says, and where it looks."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray
from pacs_ai_training.strangers import TURNS, drawn

from pacs_ai.demonstration import sample_paths
from pacs_ai.findings import ModelInput
from pacs_ai.imaging.film import open_film
from pacs_ai.imaging.geometry import to_network_scale
from pacs_ai.inference.card import ModelCard, read_card
from pacs_ai.inference.classifier import CardClassifier
from pacs_ai.inference.gradcam import explain, split
from tests.builders import phantom


@pytest.fixture(scope="module")
def card() -> ModelCard:
    return read_card("")


@pytest.fixture(scope="module")
def network(card: ModelCard) -> CardClassifier:
    return CardClassifier(card)


@pytest.fixture(scope="module")
def inputs() -> list[ModelInput]:
    return [open_film(path, input_size=224).model_input for path in sample_paths()[:12]]


def test_the_model_file_is_small_enough_to_ship(card: ModelCard) -> None:
    assert card.weights.stat().st_size < 40_000_000


def test_the_card_says_all_that_a_site_must_know(card: ModelCard) -> None:
    said = card.document

    assert {"name", "version", "sha256", "input", "labels", "limits", "training_data", "population"} <= said.keys()
    assert (card.population.min_age_years, card.population.max_age_years) == (1, 5)
    for part in ("validation", "test"):
        for figure in ("auc", "sensitivity", "specificity"):
            interval = said["metrics"][part][figure]
            assert interval["low"] <= interval["value"] <= interval["high"]
    assert said["metrics"]["test"]["auc"]["value"] >= 0.95


def test_a_reading_is_the_same_alone_and_in_any_batch(network: CardClassifier, inputs: list[ModelInput]) -> None:
    together = [reading.classification.probability for reading in network.read(inputs[:6])]

    alone = [network.read([item])[0].classification.probability for item in inputs[:6]]

    assert np.allclose(together, alone, atol=1e-5)


def test_the_probability_is_the_calibrated_sigmoid_of_the_logit(
    card: ModelCard, network: CardClassifier, inputs: list[ModelInput]
) -> None:
    model = keras.saving.load_model(card.weights, compile=False)

    logit = float(model(inputs[0].pixels[np.newaxis], training=False)[0, 0])

    expected = 1 / (1 + np.exp(-(logit / card.calibration.temperature + card.calibration.bias)))
    assert network.read(inputs[:1])[0].classification.probability == pytest.approx(expected, abs=1e-5)


def test_grad_cam_from_the_head_equals_the_textbook(card: ModelCard, inputs: list[ModelInput]) -> None:
    model = keras.saving.load_model(card.weights, compile=False)
    images = tf.constant(np.stack([item.pixels for item in inputs[:4]]))
    both = keras.Model(model.input, [model.get_layer(card.last_convolution).output, model.output])
    with tf.GradientTape() as tape:
        features, logits = both(images, training=False)
        score = logits[:, 0]
    gradients = tape.gradient(score, features)
    weights = tf.reduce_mean(gradients, axis=(1, 2))
    textbook = tf.nn.relu(tf.einsum("nk,nyxk->nyx", weights, features))

    found_logits, found, _ = explain(*split(model, card.last_convolution), (), images)

    assert np.abs(found.numpy() - textbook.numpy()).max() < 1e-4
    assert np.abs(found_logits.numpy() - score.numpy()).max() < 1e-4
    assert found.numpy().max() > 0


def test_the_heat_map_runs_from_zero_to_one(network: CardClassifier, inputs: list[ModelInput]) -> None:
    for reading in network.read(inputs):
        heat = reading.heat_map.values
        assert heat.shape == (14, 14)
        assert heat.min() >= 0
        assert heat.max() == pytest.approx(1.0, abs=1e-6) or heat.max() == 0


def test_every_film_is_read_at_its_operating_point(card: ModelCard, network: CardClassifier) -> None:
    assert (
        network.threshold
        == card.threshold
        == json.loads((card.folder / "card.json").read_text())["operating_point"]["threshold"]
    )


def test_a_threshold_of_the_site_replaces_the_cards(card: ModelCard, inputs: list[ModelInput]) -> None:
    strict = CardClassifier(card, threshold=0.999999)

    readings = strict.read(inputs[:2])

    assert {reading.classification.threshold for reading in readings} == {0.999999}
    assert Path(card.weights).is_file()


def _share_refused(network: CardClassifier, images: NDArray[np.uint8]) -> float:
    inputs = [ModelInput(pixels=to_network_scale(image / 255)) for image in images]
    return float(np.mean([reading.refusal is not None for reading in network.read(inputs)]))


def test_every_sample_film_is_of_the_kind_that_was_learned(network: CardClassifier, samples: NDArray[np.uint8]) -> None:
    assert _share_refused(network, samples) == 0


@pytest.mark.parametrize("name", TURNS)
def test_a_film_shown_in_a_wrong_way_is_refused(name: str, network: CardClassifier, samples: NDArray[np.uint8]) -> None:
    assert _share_refused(network, np.ascontiguousarray(TURNS[name](samples))) >= 0.9


def test_what_is_no_radiograph_is_refused(network: CardClassifier) -> None:
    assert _share_refused(network, drawn(60, 224, seed=99)) >= 0.95


def test_a_phantom_is_refused(network: CardClassifier) -> None:
    assert _share_refused(network, np.stack([phantom(224, 224, bits=8, seed=seed) for seed in range(4)])) == 1


@pytest.fixture(scope="module")
def samples(inputs: list[ModelInput]) -> NDArray[np.uint8]:
    return np.stack([np.rint(item.pixels[..., 0] * 255).astype(np.uint8) for item in inputs])


def test_model_verify_computes_the_example_outputs_of_the_card() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pacs_ai", "model", "verify"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "4 example outputs as on the card" in done.stdout

"""A network made in small: built, learned a step, exported as it is shipped, and read by the service."""

from pathlib import Path

import keras
import numpy as np
import pytest
from pacs_ai_training.card import write_card
from pacs_ai_training.export import export_model
from pacs_ai_training.fit import Recipe, train
from pacs_ai_training.network import build_vgg16, train_only
from pacs_ai_training.scores import Calibration

from pacs_ai.errors import ModelError
from pacs_ai.findings import ModelInput
from pacs_ai.inference.card import read_card
from pacs_ai.inference.classifier import KerasClassifier

SIZE = 64


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(1)
    return build_vgg16(None, size=SIZE)


def test_the_network_is_flat_and_ends_in_one_logit(network: keras.Model) -> None:
    assert network.output_shape == (None, 1)
    assert not any(isinstance(layer, keras.Model) for layer in network.layers)


def test_only_the_named_layers_learn(network: keras.Model) -> None:
    train_only(network, ("block5", "hidden", "logit"))

    learning = {layer.name for layer in network.layers if layer.trainable and layer.weights}
    assert learning == {"block5_conv1", "block5_conv2", "block5_conv3", "hidden", "logit"}


@pytest.mark.filterwarnings("ignore")
def test_training_lowers_the_loss_and_keeps_the_best_epoch(tmp_path: Path) -> None:
    keras.utils.set_random_seed(2)
    rng = np.random.default_rng(0)
    labels = (np.arange(32) % 2).astype(np.float32)
    images = (rng.integers(0, 60, (32, SIZE, SIZE)) + labels[:, None, None] * 150).astype(np.uint8)
    recipe = Recipe(
        size=SIZE, batch=8, head_epochs=2, tuned_epochs=2, mixed_precision="float32", tuned_layers=("hidden", "logit")
    )
    network = build_vgg16(None, size=SIZE)

    train(network, (images, labels), (images, labels), recipe, tmp_path)

    assert (tmp_path / "best_head.weights.h5").is_file()
    assert (tmp_path / "best_tuned.weights.h5").is_file()
    logged = (tmp_path / "log_head.csv").read_text().splitlines()
    assert "val_auc" in logged[0]
    assert len(logged) == 3


def test_an_exported_network_is_half_the_size_says_the_same_and_is_the_same_file_twice(
    network: keras.Model, tmp_path: Path
) -> None:
    image = np.random.default_rng(1).random((1, SIZE, SIZE, 1)).astype(np.float32)

    path, sha256 = export_model(network, tmp_path / "a")
    _, again = export_model(network, tmp_path / "b")
    shipped = keras.saving.load_model(path, compile=False)

    assert sha256 == again
    assert path.stat().st_size < 0.55 * network.count_params() * 4
    assert shipped.layers[1].compute_dtype == "float32"
    assert np.allclose(shipped(image), network(image), atol=1e-2)


def test_the_service_reads_with_the_network_and_card_of_a_site(tmp_path: Path) -> None:
    network = build_vgg16(None)
    _, sha256 = export_model(network, tmp_path)
    write_card(
        tmp_path,
        identity={"name": "site", "version": "2.0", "file": "model.keras", "sha256": sha256},
        calibration=Calibration(temperature=1.5, bias=0.2),
        operating_point={"threshold": 0.4},
    )

    classifier = KerasClassifier(read_card(tmp_path))
    reading = classifier.read([ModelInput(pixels=np.zeros((224, 224, 1), np.float32))])[0]

    assert classifier.identity.name == "site"
    assert reading.classification.threshold == 0.4


def test_a_model_file_that_is_not_the_cards_is_not_used(network: keras.Model, tmp_path: Path) -> None:
    path, sha256 = export_model(network, tmp_path)
    write_card(
        tmp_path,
        identity={"name": "site", "version": "2.0", "file": "model.keras", "sha256": sha256},
        calibration=Calibration(temperature=1.0, bias=0.0),
        operating_point={"threshold": 0.4},
    )
    path.write_bytes(path.read_bytes()[:-1] + b"x")

    with pytest.raises(ModelError, match="will not be used"):
        KerasClassifier(read_card(tmp_path))

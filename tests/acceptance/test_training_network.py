"""Every network that can be trained: one epoch, saved, loaded by the service, and asked where it looked."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from pacs_ai_training.card import rewrite_card
from pacs_ai_training.errors import FilmError
from pacs_ai_training.export import MODEL_NAME, export_model
from pacs_ai_training.networks import BACKBONES, build_network, find_weights, learn_after
from pacs_ai_training.recipe import NetworkChoice, Recipe, Stage
from pacs_ai_training.run import fit

from pacs_ai.errors import ModelError
from pacs_ai.findings import ModelInput
from pacs_ai.inference.card import CARD_NAME, read_card
from pacs_ai.inference.classifier import CardClassifier
from pacs_ai.inference.gradcam import explain, split

from .films import SIDE, write_set, write_weights

pytestmark = pytest.mark.timeout(900)  # minutes of processor time, on a machine that may have others to serve


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(1)
    return build_network("vgg16", size=SIDE)


@pytest.mark.parametrize("name", BACKBONES)
def test_a_network_learns_an_epoch_is_saved_loaded_classifies_and_explains(
    name: str, films: Path, tmp_path: Path
) -> None:
    weights = None if name == "custom_cnn" else write_weights(name, tmp_path / "weights")
    stage = Stage(name="one", learn_after="last blocks", epochs=1, rate=1e-3)
    recipe = Recipe(name=name, network=NetworkChoice(backbone=name, size=SIDE), stages=(stage,))

    card = read_card(fit(films, weights, tmp_path / "out", recipe).parent)
    image = np.random.default_rng(0).random((SIDE, SIDE, 1)).astype(np.float32)
    reading = CardClassifier(card).read([ModelInput(pixels=image)])[0]

    assert card.identity.name == name
    assert 0 <= reading.classification.probability <= 1
    assert reading.heat_map is not None
    model = keras.saving.load_model(card.weights, compile=False)
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)
    textbook = _textbook(model, card.last_convolution, image[np.newaxis])
    _, found, _ = explain(*split(model, card.last_convolution), (), tf.constant(image[np.newaxis]))
    highest = max(textbook.max(), np.finfo(np.float32).tiny)  # with weights drawn by lot all may speak against
    assert np.allclose(found.numpy() / highest, textbook / highest, atol=1e-4)
    half_a_step = 0.5 / 255
    assert np.allclose(reading.heat_map.values, textbook[0] / highest, atol=1e-3 + half_a_step)


def _textbook(model: keras.Model, layer: str, images: np.ndarray) -> np.ndarray:
    """Grad-CAM (Selvaraju et al. 2017, equations 1 and 2) by a backward pass from the logit to the layer."""
    both = keras.Model(model.input, [model.get_layer(layer).output, model.output])
    with tf.GradientTape() as tape:
        features, logits = both(tf.constant(images), training=False)
        score = logits[:, 0]
    weights = tf.reduce_mean(tape.gradient(score, features), axis=(1, 2))
    return np.asarray(tf.nn.relu(tf.einsum("nk,nyxk->nyx", weights, features)))


def test_the_network_from_nothing_has_four_blocks_with_normalisation_and_dropout() -> None:
    kinds = [type(layer).__name__ for layer in build_network("custom_cnn", size=SIDE).layers]

    assert kinds.count("Conv2D") == kinds.count("BatchNormalization") == 4
    assert kinds.count("MaxPooling2D") == 4
    assert kinds.count("Dropout") == 2


def test_only_what_follows_the_named_layer_learns(network: keras.Model) -> None:
    learn_after(network, "block4_pool")

    learning = {layer.name for layer in network.layers if layer.trainable and layer.weights}
    assert learning == {"block5_conv1", "block5_conv2", "block5_conv3", "hidden", "logit"}


def test_normalisation_keeps_its_statistics_unless_everything_learns() -> None:
    network = build_network("mobilenetv2", size=SIDE)

    learn_after(network, "block_12_add")
    held = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable]
    learn_after(network, "")
    free = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable]

    assert not held
    assert free
    assert {layer.momentum for layer in free} == {0.9}


def test_a_layer_that_is_not_there_is_named(network: keras.Model) -> None:
    with pytest.raises(FilmError, match="block9_pool"):
        learn_after(network, "block9_pool")


def test_a_backbone_that_is_not_there_is_named() -> None:
    with pytest.raises(FilmError, match="alexnet: no such backbone; there are vgg16"):
        build_network("alexnet")


def test_weights_are_taken_from_the_folder_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_weights("vgg16", tmp_path)
    monkeypatch.setenv("PACS_AI_WEIGHTS", str(tmp_path))

    assert find_weights("vgg16", None) == path
    with pytest.raises(FilmError, match=r"get resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5 from https"):
        find_weights("resnet50", None)


def test_weights_of_another_network_are_refused_with_the_file_to_get(tmp_path: Path) -> None:
    with pytest.raises(FilmError, match=r"get vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"):
        build_network("vgg16", write_weights("mobilenetv2", tmp_path), size=SIDE)


def test_an_exported_network_is_half_the_size_says_the_same_and_is_the_same_file_twice(
    network: keras.Model, tmp_path: Path
) -> None:
    image = np.random.default_rng(1).random((1, SIDE, SIDE, 1)).astype(np.float32)

    path, sha256 = export_model(network, tmp_path / "a")
    _, again = export_model(network, tmp_path / "b")
    shipped = keras.saving.load_model(path, compile=False)

    assert sha256 == again
    assert path.stat().st_size < 0.55 * network.count_params() * 4
    assert shipped.layers[1].compute_dtype == "float32"
    assert np.allclose(shipped(image), network(image), atol=1e-2)


def _shipped(folder: Path, network: keras.Model, **changes: object) -> Path:
    _, sha256 = export_model(network, folder)
    document = {
        "name": "site",
        "version": "2.0",
        "file": MODEL_NAME,
        "sha256": sha256,
        "input": {"rows": SIDE},
        "grad_cam": {"layer": "block5_conv3"},
        "calibration": {"temperature": 1.5, "bias": 0.2},
        "operating_point": {"threshold": 0.4},
        "population": {},
    }
    return rewrite_card(folder, document | changes).parent


def test_the_service_reads_with_the_network_and_card_of_a_site(network: keras.Model, tmp_path: Path) -> None:
    classifier = CardClassifier(read_card(_shipped(tmp_path, network)))

    reading = classifier.read([ModelInput(pixels=np.zeros((SIDE, SIDE, 1), np.float32))])[0]

    assert classifier.identity.name == "site"
    assert reading.classification.threshold == 0.4


def test_a_keras_network_of_three_channels_that_ends_in_a_sigmoid_is_read_and_explained_by_its_logit(
    tmp_path: Path,
) -> None:
    keras.utils.set_random_seed(3)
    colour = keras.Input((SIDE, SIDE, 3))
    features = keras.layers.Conv2D(8, 5, strides=4, activation="relu", name="block5_conv3")(colour)
    pooled = keras.layers.GlobalAveragePooling2D()(features)
    probability = keras.layers.Dense(1, activation="sigmoid")(pooled)
    network = keras.Model(colour, probability)
    image = np.random.default_rng(2).random((SIDE, SIDE, 1)).astype(np.float32)
    folder = _shipped(tmp_path, network, output="probability", calibration={"temperature": 1.0})

    reading = CardClassifier(read_card(folder)).read([ModelInput(pixels=image)])[0]

    said = float(network(np.repeat(image[np.newaxis], 3, axis=-1))[0, 0])
    assert reading.classification.probability == pytest.approx(said, abs=1e-3)
    assert reading.heat_map is not None
    assert reading.heat_map.values.shape == (15, 15)


def test_a_network_with_two_outputs_is_refused_in_words(tmp_path: Path) -> None:
    grey = keras.Input((SIDE, SIDE, 1))
    features = keras.layers.Conv2D(4, 3, name="block5_conv3")(grey)
    network = keras.Model(grey, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(features)))

    with pytest.raises(ModelError, match="one output is needed"):
        CardClassifier(read_card(_shipped(tmp_path, network)))


def test_a_model_file_that_is_not_the_cards_is_not_used(network: keras.Model, tmp_path: Path) -> None:
    folder = _shipped(tmp_path, network)
    path = folder / MODEL_NAME
    path.write_bytes(path.read_bytes()[:-1] + b"x")

    with pytest.raises(ModelError, match="will not be used"):
        CardClassifier(read_card(folder))


def test_a_card_that_names_a_layer_that_is_not_there_is_refused(network: keras.Model, tmp_path: Path) -> None:
    folder = _shipped(tmp_path, network, grad_cam={"layer": "conv99"})

    with pytest.raises(ModelError, match="conv99"):
        CardClassifier(read_card(folder))
    assert (folder / CARD_NAME).is_file()

"""ONNX networks, made by hand, as the service runs them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pacs_ai.errors import ModelError
from pacs_ai.findings import ModelInput
from pacs_ai.inference.card import read_card
from pacs_ai.inference.classifier import CardClassifier, open_network
from pacs_ai.inference.examples import check_examples, example_inputs

from .networks import OFFSET, SIDE, WEIGHT, mean_network, model_folder


def _images(count: int) -> list[ModelInput]:
    rng = np.random.default_rng(1)
    return [ModelInput(pixels=rng.random((SIDE, SIDE, 1)).astype(np.float32)) for _ in range(count)]


@pytest.mark.parametrize(
    "shape", [["n", SIDE, SIDE, 1], ["n", 3, SIDE, SIDE], [1, SIDE, SIDE, 3], [None, 1, SIDE, SIDE]], ids=str
)
@pytest.mark.parametrize("sigmoid", [False, True])
def test_a_network_of_either_layout_is_read_alike(tmp_path: Path, shape: Sequence[object], *, sigmoid: bool) -> None:
    path = mean_network(tmp_path / "net.onnx", shape, sigmoid=sigmoid)
    classifier = CardClassifier(read_card(model_folder(path, output="probability" if sigmoid else "logit")))
    images = _images(11)

    readings = classifier.read(images)

    logits = np.array([item.pixels.mean() * WEIGHT + OFFSET for item in images])
    said = [reading.classification.probability for reading in readings]
    assert said == pytest.approx((1 / (1 + np.exp(-logits))).tolist(), abs=1e-5)
    assert all(reading.heat_map is None and reading.refusal is None for reading in readings)


def test_a_network_with_an_output_for_each_class_is_refused(tmp_path: Path) -> None:
    folder = model_folder(mean_network(tmp_path / "net.onnx", ["n", SIDE, SIDE, 1], outputs=2))

    with pytest.raises(ModelError, match="one figure for each is needed"):
        CardClassifier(read_card(folder))


def test_a_network_for_images_of_another_size_is_refused(tmp_path: Path) -> None:
    folder = model_folder(mean_network(tmp_path / "net.onnx", ["n", 64, 64, 1]))

    with pytest.raises(ModelError, match="cannot read images of 32 x 32"):
        CardClassifier(read_card(folder))


def test_a_network_without_image_channels_is_refused(tmp_path: Path) -> None:
    folder = model_folder(mean_network(tmp_path / "net.onnx", ["n", SIDE, SIDE, 7]))

    with pytest.raises(ModelError, match="one grey channel or three"):
        CardClassifier(read_card(folder))


def test_a_network_without_features_is_not_judged_by_a_detector(tmp_path: Path) -> None:
    shipped = read_card("")
    folder = model_folder(
        mean_network(tmp_path / "net.onnx", ["n", SIDE, SIDE, 1]), detector=shipped.document["detector"]
    )
    for name in shipped.weights.parent.glob("detector*"):
        (folder / name.name).write_bytes(name.read_bytes())

    with pytest.raises(ModelError, match="leave `detector` off the card"):
        CardClassifier(read_card(folder))


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"no network")

    with pytest.raises(ModelError, match="not an ONNX model"):
        CardClassifier(read_card(model_folder(path)))


def test_a_file_that_is_not_the_cards_is_not_opened(tmp_path: Path) -> None:
    path = mean_network(tmp_path / "net.onnx", ["n", SIDE, SIDE, 1])
    folder = model_folder(path, sha256="0" * 64)

    with pytest.raises(ModelError, match="will not be used"):
        CardClassifier(read_card(folder))


def test_example_outputs_tell_a_network_that_computes_something_else(tmp_path: Path) -> None:
    path = mean_network(tmp_path / "net.onnx", ["n", SIDE, SIDE, 1])
    logits = [float(image.mean()) * WEIGHT + OFFSET for image in example_inputs(3, SIDE)]
    right = read_card(model_folder(path, examples={"images": 3, "logits": logits}))
    wrong = read_card(model_folder(path, examples={"images": 3, "logits": [logits[0] + 0.1, *logits[1:]]}))

    assert check_examples(right, open_network(right)) == pytest.approx(0, abs=1e-5)
    with pytest.raises(ModelError, match=r"differ by 0\.1 from"):
        check_examples(wrong, open_network(wrong))

"""The front, as a notebook uses it: the code block of the README, on a small set of films."""

from pathlib import Path

import cv2
import pytest
from pacs_ai_training import MedicalImageClassifier
from pacs_ai_training.errors import FilmError

from pacs_ai.demonstration import sample_paths
from pacs_ai.inference.card import read_card

from .films import write_embedded_weights, write_films, write_set

pytestmark = pytest.mark.timeout(900)  # minutes of processor time, on a machine that may have others to serve


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_set(tmp_path_factory.mktemp("films"), patients=10)
    return write_films(folder, patients=2, part="val", first=800)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_embedded_weights(tmp_path_factory.mktemp("weights"))


def test_the_promised_interface_works_as_it_is_written(
    films: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PACS_AI_WEIGHTS", str(weights))

    classifier = MedicalImageClassifier(img_size=(224, 224))
    found = classifier.create_data_generators(films / "train", films / "val", films / "test")
    network = classifier.build_transfer_learning_model("vgg16")
    log = classifier.train(epochs=2)
    evaluation = classifier.evaluate()
    film = films / "test" / "PNEUMONIA" / "person900_virus_1.png"
    result = classifier.predict_single_image(film)
    picture = classifier.gradcam_visualization(film)

    assert found.parts["test"]["films"] == 12
    assert network.output_shape == (None, 1)
    assert [epoch.stage for epoch in log] == ["head", "blocks"]
    assert evaluation.figures["AUC"].value >= 0.5
    assert (result.label == "PNEUMONIA") == (result.probability >= result.threshold)
    assert cv2.imread(str(picture)).shape[0] == 512
    for name in (
        "results/confusion_matrices/confusion_matrix.png",
        "results/gradcam_visualizations/person900_virus_1_gradcam.png",
        "results/training_plots/training_history.png",
        "results/evaluation.html",
        "models/best_medical_model.keras",
        "models/checkpoints/head-best.weights.h5",
        "models/checkpoints/blocks-last.npz",
        "models/checkpoints/log.csv",
    ):
        assert (tmp_path / name).stat().st_size > 0
    assert read_card("models").file == "best_medical_model.keras"


def test_the_network_from_nothing_reads_a_dicom_file(films: Path, tmp_path: Path) -> None:
    classifier = MedicalImageClassifier(img_size=(64, 64), results=tmp_path / "results", models=tmp_path / "models")
    classifier.create_data_generators(films / "train", films / "val", films / "test")
    classifier.build_cnn_model()
    classifier.train(epochs=1)

    result = classifier.predict_single_image(sample_paths()[0])
    picture = classifier.gradcam_visualization(sample_paths()[0])

    assert 0 <= result.probability <= 1
    assert result.refusal is None
    assert picture.is_file()


def test_what_has_to_come_first_is_said(films: Path, tmp_path: Path) -> None:
    classifier = MedicalImageClassifier(img_size=(64, 64), results=tmp_path / "results", models=tmp_path / "models")

    with pytest.raises(FilmError, match="call create_data_generators first"):
        classifier.train(epochs=1)
    classifier.create_data_generators(films / "train", films / "val", films / "test")
    with pytest.raises(FilmError, match="call build_transfer_learning_model or build_cnn_model first"):
        classifier.train(epochs=1)
    with pytest.raises(FilmError, match="call train first"):
        classifier.predict_single_image(sample_paths()[0])


def test_an_image_that_is_not_square_is_refused() -> None:
    with pytest.raises(ValueError, match="the same"):
        MedicalImageClassifier(img_size=(224, 256))

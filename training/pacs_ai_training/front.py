"""The whole of training as one object for a notebook: a thin front over the modules that do the work."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np

from pacs_ai.errors import ModelError
from pacs_ai.findings import ModelInput, Reading
from pacs_ai.imaging.geometry import to_network_scale
from pacs_ai.inference.card import read_card
from pacs_ai.inference.classifier import CardClassifier

from .collection import Films, Found, part_by_patient, write_found
from .errors import FilmError
from .evaluation import Evaluation
from .explaining import write_picture
from .films import list_films, read_grey
from .fit import Epoch, train
from .judging import write_evaluation
from .networks import build_network, find_weights
from .plots import write_history
from .recipe import Recipe, Stage, write_recipe
from .run import plain_network
from .shipping import film_set, ship

BEST_MODEL = "best_medical_model.keras"
_FEWEST_TO_CHOOSE_BY = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What the network says of one film; `refusal` when its detector would not have let the service read it."""

    path: Path
    label: str
    probability: float
    threshold: float
    refusal: str | None


class MedicalImageClassifier:
    """Films in, a network out that `[model] path = "models"` puts in the service.

    Files go to `results/` (`confusion_matrices/`, `gradcam_visualizations/`, `training_plots/`) and `models/`
    (`best_medical_model.keras`, its card, `checkpoints/`).
    """

    def __init__(
        self,
        img_size: tuple[int, int] = (224, 224),
        *,
        results: Path | str = "results",
        models: Path | str = "models",
        recipe: Recipe | None = None,
    ) -> None:
        """Nothing is read or written yet; ValueError for a size that is not square."""
        if img_size[0] != img_size[1]:
            message = f"img_size {img_size}: films are squashed to a square, so that both sides have to be the same"
            raise ValueError(message)
        chosen = recipe or Recipe()
        network = chosen.network.model_copy(update={"size": img_size[0]})
        self._recipe = chosen.model_copy(update={"network": network})
        self._results, self._models = Path(results), Path(models)
        self._films: Films | None = None
        self._network: keras.Model | None = None
        self._classifier: CardClassifier | None = None

    def create_data_generators(self, train_dir: Path | str, val_dir: Path | str, test_dir: Path | str) -> Found:
        """What was found in the three folders of NORMAL and PNEUMONIA, which are parted by patient from here on.

        A validation folder of fewer than 100 films is too small to choose by: its films are learned from, and
        validation patients are drawn from those who learn.
        """
        chosen = list_films(Path(val_dir))
        part = "validation" if len(chosen) >= _FEWEST_TO_CHOOSE_BY else "train"
        listed = [
            *list_films(Path(train_dir), part="train"),
            *(replace(film, part=part) for film in chosen),
            *list_films(Path(test_dir), part="test"),
        ]
        self._films, found = part_by_patient(listed, Path(train_dir), self._recipe)
        write_found(found, self._results)
        return found

    def build_transfer_learning_model(self, name: str = "vgg16", weights: Path | str | None = None) -> keras.Model:
        """The network, with ImageNet weights from the file or folder, from PACS_AI_WEIGHTS, or by download."""
        return self._build(name, Path(weights) if weights else None)

    def build_cnn_model(self) -> keras.Model:
        """Four convolutional blocks that start from nothing; one neuron, whose sigmoid is the probability."""
        return self._build("custom_cnn", None)

    def train(self, epochs: int = 30) -> list[Epoch]:
        """The best epoch by validation AUC is in `models`; training ends early when three epochs in a row gain nothing.

        Raises FilmError when films or network are not there yet.
        """
        films, network = self._ready()
        recipe = self._recipe.model_copy(update={"stages": _stages(self._recipe.network.backbone, epochs)})
        checkpoints = self._models / "checkpoints"
        shutil.rmtree(checkpoints, ignore_errors=True)
        self._classifier = None
        keras.utils.set_random_seed(recipe.seed)
        log = train(network, film_set(films.train, recipe), film_set(films.validation, recipe), recipe, checkpoints)
        write_recipe(recipe, self._models)
        ship(plain_network(network, recipe), films, self._models, recipe, file=BEST_MODEL)
        write_history(log, self._results / "training_plots")
        return log

    def evaluate(self) -> Evaluation:
        """Figures of the test films; the page, JSON and plots are in `results`."""
        films, _ = self._ready()
        self._trained()
        evaluation = write_evaluation(self._models, films.test, self._results, part="test")
        folder = self._results / "confusion_matrices"
        folder.mkdir(parents=True, exist_ok=True)
        for suffix in ("png", "svg"):
            shutil.copy(self._results / "plots" / f"confusion_matrix.{suffix}", folder)
        return evaluation

    def predict_single_image(self, path: Path | str) -> Prediction:
        """What the trained network says of a JPEG, PNG or DICOM file, as the service would read it."""
        reading = self._read(Path(path))
        said = reading.classification
        return Prediction(
            path=Path(path),
            label="PNEUMONIA" if said.is_positive else "NORMAL",
            probability=said.probability,
            threshold=said.threshold,
            refusal=reading.refusal.detail if reading.refusal else None,
        )

    def gradcam_visualization(self, path: Path | str) -> Path:
        """The PNG under `results/gradcam_visualizations`: the film under its heat map."""
        return write_picture(Path(path), self._read(Path(path)), self._results / "gradcam_visualizations")

    def _build(self, name: str, weights: Path | None) -> keras.Model:
        network = self._recipe.network.model_copy(update={"backbone": name})
        self._recipe = self._recipe.model_copy(update={"name": f"pneumonia-{name}", "network": network})
        self._network = build_network(name, find_weights(name, weights), size=network.size)
        return self._network

    def _ready(self) -> tuple[Films, keras.Model]:
        if self._films is None:
            message = "no films yet: call create_data_generators first"
            raise FilmError(message)
        if self._network is None:
            message = "no network yet: call build_transfer_learning_model or build_cnn_model first"
            raise FilmError(message)
        return self._films, self._network

    def _trained(self) -> CardClassifier:
        if self._classifier is None:
            try:
                self._classifier = CardClassifier(read_card(self._models))
            except ModelError as error:
                message = f"no trained network in {self._models}: call train first ({error})"
                raise FilmError(message) from error
        return self._classifier

    def _read(self, path: Path) -> Reading:
        classifier = self._trained()
        grey = read_grey(path, classifier.input_size)
        return classifier.read([ModelInput(pixels=to_network_scale(grey / np.float32(255)))])[0]


def _stages(backbone: str, epochs: int) -> tuple[Stage, ...]:
    """The head for a fifth of the epochs, the last blocks for the rest; a network from nothing learns as a whole."""
    if backbone == "custom_cnn":
        return (Stage(name="whole", learn_after="nothing", epochs=epochs, rate=1e-3),)
    head = max(1, epochs // 5)
    stages = [Stage(name="head", learn_after="head", epochs=head, epochs_per_copy=3, rate=1e-3)]
    if epochs > head:
        stages.append(
            Stage(name="blocks", learn_after="last blocks", epochs=epochs - head, epochs_per_copy=2, rate=5e-5)
        )
    return tuple(stages)

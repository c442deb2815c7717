"""Every choice of a run, in one TOML file that is stored with the result."""

import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .augment import Augmentation
from .errors import FilmError
from .operating_point import Rule
from .scores import Method

RECIPE_NAME = "recipe.toml"


class Part(BaseModel):
    """Unknown keys are refused: a misspelt choice would silently be the default."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Layout(StrEnum):
    """The form in which a set of films is published."""

    FOLDERS = "folders"
    MANIFEST = "manifest"
    RSNA = "rsna"
    NIH = "nih"
    CHEXPERT = "chexpert"


class FilmsChoice(Part):
    """Which films, and who of them chooses."""

    layout: Layout = Layout.FOLDERS
    finding: str = "Pneumonia"
    views: tuple[str, ...] = ("PA", "AP")
    validation_share: float = Field(default=0.12, gt=0, lt=1)
    test_share: float = Field(default=0.15, gt=0, lt=1)
    source: str = "Kermany, Zhang, Goldbaum: Chest X-Ray Images, Mendeley Data, doi:10.17632/rscbjbr9sj"
    license: str = "CC BY 4.0"


class NetworkChoice(Part):
    """Backbone and head."""

    backbone: str = "vgg16"
    size: int = Field(default=224, ge=32)
    dropout: float = Field(default=0.4, ge=0, lt=1)
    units: int = Field(default=128, ge=1)
    pretraining: str = "ImageNet weights of the Oxford Visual Geometry Group, CC BY 4.0"


class Stage(Part):
    """Layers after `learn_after` learn: a layer's name, or "head", "last blocks", "nothing" for the whole network.

    Films go through the frozen part once for each augmented copy, and its features are kept on disk for
    `epochs_per_copy` epochs.
    """

    name: str
    learn_after: str
    epochs: int = Field(ge=1)
    rate: float = Field(gt=0)
    epochs_per_copy: int = Field(default=1, ge=1)


class TrainingChoice(Part):
    """How weights are moved."""

    batch: int = Field(default=32, ge=2)
    schedule: Literal["cosine", "plateau"] = "cosine"
    weight_decay: float = Field(default=1e-4, ge=0)
    label_smoothing: float = Field(default=0.05, ge=0, lt=0.5)
    balance: Literal["weights", "sampling", "none"] = "weights"
    patience: int = Field(default=3, ge=1)
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = "auto"


class CalibrationChoice(Part):
    """Fitted on validation patients, each seen plain and in `copies` restyled copies: other sites expose otherwise."""

    method: Method = Method.TEMPERATURE
    copies: int = Field(default=3, ge=0)
    rule: Rule = Rule.SENSITIVITY
    target: float = Field(default=0.98, gt=0, le=1)


class PopulationChoice(Part):
    """Whom the network is for, in completed years; absent where the films do not say."""

    min_age_years: int | None = None
    max_age_years: int | None = None
    description: str
    limits: tuple[str, ...] = ("Not a medical device. For research and for trying out workflows.",)


_CHILDREN = PopulationChoice(
    min_age_years=1,
    max_age_years=5,
    description="children of one to five completed years, frontal chest radiographs, one hospital",
    limits=(
        "One hospital (Guangzhou), children of one to five years; networks from them were near chance on adults.",
        "Films were squashed to 224 x 224; small findings, lines, tubes, effusions and nodules are not looked for.",
        "Probabilities are for places where every second film shows pneumonia. Calibrate on site.",
        "Labels are of the film, by readers, not of the patient by microbiology.",
        "Single signs burned into a film (letters, exposure values) may sway it, although training varied them.",
        "Not a medical device. For research and for trying out workflows.",
    ),
)


class Recipe(Part):
    """Every choice of a run; the defaults are those of the embedded network."""

    name: str = "pneumonia-vgg16"
    version: str = "1.1.0"
    seed: int = 20261123
    films: FilmsChoice = FilmsChoice()
    network: NetworkChoice = NetworkChoice()
    stages: tuple[Stage, ...] = (
        Stage(name="head", learn_after="head", epochs=3, epochs_per_copy=3, rate=1e-3),
        Stage(name="blocks", learn_after="last blocks", epochs=8, epochs_per_copy=2, rate=5e-5),
    )
    training: TrainingChoice = TrainingChoice()
    augmentation: Augmentation = Augmentation()
    calibration: CalibrationChoice = CalibrationChoice()
    population: PopulationChoice = _CHILDREN


def read_recipe(path: Path) -> Recipe:
    """The recipe; FilmError names every key that is unknown or out of range."""
    try:
        return Recipe.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise FilmError(message) from error
    except tomllib.TOMLDecodeError as error:
        message = f"{path}: not TOML ({error})"
        raise FilmError(message) from error
    except ValidationError as error:
        message = f"{path}: " + "; ".join(f"{_key(found['loc'])}: {found['msg']}" for found in error.errors())
        raise FilmError(message) from error


def write_recipe(recipe: Recipe, folder: Path) -> Path:
    """The recipe is in the folder, every default spelt out."""
    path = folder / RECIPE_NAME
    path.write_text(in_toml(recipe), encoding="utf-8")
    return path


def in_toml(recipe: Recipe) -> str:
    """Every choice as read_recipe reads it."""
    return tomli_w.dumps(document(recipe))


def document(recipe: Recipe) -> dict[str, Any]:
    """Every choice in plain values; TOML has no null, so what is absent is left out."""
    return _without_absent(recipe.model_dump(mode="json"))


def _without_absent(found: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_absent(value) if isinstance(value, dict) else value
        for key, value in found.items()
        if value is not None
    }


def _key(location: tuple[str | int, ...]) -> str:
    return ".".join(map(str, location)) or "recipe"

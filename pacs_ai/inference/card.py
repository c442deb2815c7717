"""The model card: what a network is, whom it was made for, where its operating point lies, how well it did."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pacs_ai.errors import ModelError
from pacs_ai.findings import ModelIdentity, Population

from .calibration import Calibration
from .taps import Limits, Tap

if TYPE_CHECKING:
    from .detector import Detector

CARD_NAME = "card.json"
SEAL = "sealed"
LOGIT, PROBABILITY = "logit", "probability"
EMBEDDED = Path(__file__).parent.parent / "models" / "pneumonia-vgg16"


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorCard:
    """What a card says of the detector beside the network."""

    file: str
    sha256: str
    taps: tuple[Tap, ...]
    limits: Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What the service needs of a card; `document` is all of it."""

    folder: Path
    file: str
    identity: ModelIdentity
    input_size: int
    last_convolution: str
    threshold: float
    output: str
    calibration: Calibration
    population: Population
    examples: tuple[float, ...]
    detector: DetectorCard | None
    document: dict[str, Any]

    @property
    def weights(self) -> Path:
        """The model file."""
        return self.folder / self.file

    def load_detector(self) -> "Detector | None":
        """The detector that travels with the network; None when none does. ModelError when it is not the card's."""
        from .detector import load_detector  # noqa: PLC0415 - queries never need it

        if self.detector is None:
            return None
        return load_detector(
            self.folder / self.detector.file, self.detector.sha256, self.detector.taps, self.detector.limits
        )


def read_card(path: str | Path) -> ModelCard:
    """The card in a model folder, or of the embedded default when the path is empty; ModelError when it is unusable."""
    folder = Path(path) if str(path) else EMBEDDED
    card = folder if folder.suffix == ".json" else folder / CARD_NAME
    try:
        document = json.loads(card.read_text(encoding="utf-8"))
        _check_seal(card, document)
        return _card(card.parent, document)
    except OSError as error:
        message = (
            f"{card}: no model card ({error.strerror}); model.path names a folder with {CARD_NAME} and the model file"
        )
        raise ModelError(message) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        message = f"{card}: not a model card of this version ({type(error).__name__}: {error})"
        raise ModelError(message) from error


def sealed(document: dict[str, Any]) -> dict[str, Any]:
    """The card with the hash over all that it says, the hashes of its files included."""
    content = {key: value for key, value in document.items() if key != SEAL}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return content | {SEAL: hashlib.sha256(canonical.encode()).hexdigest()}


def _check_seal(card: Path, document: dict[str, Any]) -> None:
    if SEAL in document and sealed(document)[SEAL] != document[SEAL]:
        message = f"{card}: changed since it was sealed; `pacs-ai-train card` seals what was changed on purpose"
        raise ModelError(message)


def _card(folder: Path, document: dict[str, Any]) -> ModelCard:
    population = document["population"]
    return ModelCard(
        folder=folder,
        file=Path(document["file"]).name,
        identity=ModelIdentity(name=document["name"], version=document["version"], sha256=document["sha256"]),
        input_size=int(document["input"]["rows"]),
        last_convolution=document.get("grad_cam", {}).get("layer", ""),
        threshold=float(document["operating_point"]["threshold"]),
        output=_output(document.get("output", LOGIT)),
        calibration=_calibration(document["calibration"]),
        population=Population(
            min_age_years=population.get("min_age_years"), max_age_years=population.get("max_age_years")
        ),
        examples=tuple(float(logit) for logit in document.get("examples", {}).get("logits", ())),
        detector=_detector(document["detector"]) if document.get("detector") else None,
        document=document,
    )


def _calibration(document: dict[str, Any]) -> Calibration:
    if "steps" in document:
        return Calibration(steps=tuple((float(logit), float(probability)) for logit, probability in document["steps"]))
    return Calibration(temperature=float(document["temperature"]), bias=float(document.get("bias", 0.0)))


def _output(said: str) -> str:
    if said not in {LOGIT, PROBABILITY}:
        message = f"output {said!r} is neither {LOGIT} nor {PROBABILITY}"
        raise ValueError(message)
    return said


def _detector(document: dict[str, Any]) -> DetectorCard:
    return DetectorCard(
        file=Path(document["file"]).name,
        sha256=document["sha256"],
        taps=tuple(Tap(layer=tap["layer"], grid=int(tap["grid"])) for tap in document["taps"]),
        limits=Limits(**{name: float(limit) for name, limit in document["limits"].items()}),
    )


def verify(card: ModelCard) -> None:
    """Model file and detector are those that the card speaks of; ModelError when they are not."""
    read_checked(card.weights, card.identity.sha256)
    if card.detector is not None:
        read_checked(card.folder / card.detector.file, card.detector.sha256)


def read_checked(path: Path, sha256: str) -> bytes:
    """The content of a file of the model; ModelError when it cannot be read or has another hash than the card says."""
    try:
        content = path.read_bytes()
    except OSError as error:
        message = f"{path}: the model file cannot be read ({error.strerror})"
        raise ModelError(message) from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        message = f"{path}: its SHA-256 is {found}, the card says {sha256}; it will not be used"
        raise ModelError(message)
    return content

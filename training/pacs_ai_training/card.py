"""The card that travels with a network."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pacs_ai.errors import ModelError
from pacs_ai.inference.calibration import Calibration
from pacs_ai.inference.card import CARD_NAME, LOGIT, SEAL, read_card, sealed
from pacs_ai.inference.examples import example_inputs

from .errors import written
from .films import Film
from .scores import Floats, auc, bootstrap, sensitivity, specificity

_INPUTS = 4


def write_card(  # noqa: PLR0913 - one for each part that the service reads
    folder: Path,
    *,
    identity: dict[str, str],
    size: int = 224,
    grad_cam: dict[str, object],
    calibration: dict[str, object],
    operating_point: dict[str, object],
    population: dict[str, object],
    **parts: object,
) -> Path:
    """The card is in the folder of the model file that it speaks of."""
    document = {
        **identity,
        "task": "pneumonia on a frontal chest radiograph: present or absent",
        "input": {
            "rows": size,
            "columns": size,
            "channels": 1,
            "range": [0, 1],
            "polarity": "0 is black",
            "aspect": "squashed",
        },
        "output": LOGIT,
        "labels": {"0": "normal", "1": "pneumonia"},
        "grad_cam": grad_cam,
        "calibration": calibration,
        "operating_point": operating_point,
        "population": population,
        **parts,
    }
    return rewrite_card(folder, document)


def rewrite_card(folder: Path, document: dict[str, Any]) -> Path:
    """The card is in the folder whole, sealed over all that it says; the one before stays until then."""
    path = folder / CARD_NAME
    part = path.with_suffix(".part")
    with written(folder):
        part.write_text(json.dumps(sealed(document), indent=2) + "\n", encoding="utf-8")
        part.replace(path)
    return path


def reseal(folder: Path) -> Path:
    """The card says the hashes of its files as they are, and is sealed over all that it says.

    Raises ModelError when the card is none, or when a file that it names is not there.
    """
    path = folder / CARD_NAME
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        document["sha256"] = _hash(folder / Path(document["file"]).name)
        if document.get("detector"):
            document["detector"]["sha256"] = _hash(folder / Path(document["detector"]["file"]).name)
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"{path}: cannot be sealed ({type(error).__name__}: {error})"
        raise ModelError(message) from error
    rewrite_card(folder, document)
    read_card(folder)
    return path


def in_words(model: str | Path) -> list[str]:
    """What a reader wants to know of a network first."""
    card = read_card(model)
    document = card.document
    population = document["population"].get("description", "not said")
    figures = document.get("metrics", {})
    return [
        f"{card.identity.name} {card.identity.version}, {document.get('architecture', 'architecture not said')}",
        f"file {card.file}, SHA-256 {card.identity.sha256}",
        f"for {population}",
        f"operating point {card.threshold:.4f}: {document['operating_point'].get('rule', 'chosen by hand')}",
        f"calibration: {document['calibration'].get('method', 'none')}",
        *(f"{part}: {_figures(found)}" for part, found in figures.items()),
        f"detector: {card.detector.file if card.detector else 'none; it reads whatever it is shown'}",
        f"sealed {document[SEAL]}" if SEAL in document else "not sealed; `pacs-ai-train card --seal` does it",
    ]


def _figures(part: dict[str, Any]) -> str:
    said = [
        f"{name} {figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"
        for name, figure in part.items()
        if isinstance(figure, dict)
    ]
    return f"{part['films']} films: {', '.join(said)}"


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def calibration_document(calibration: Calibration, where: str) -> dict[str, object]:
    """As the card writes it."""
    if calibration.steps:
        return {"method": f"isotonic on {where}", "steps": [list(step) for step in calibration.steps]}
    return {
        "method": f"temperature and bias on {where}",
        "temperature": round(calibration.temperature, 6),
        "bias": round(calibration.bias, 6),
    }


def example_outputs(model: keras.Model) -> dict[str, object]:
    """Logits of four drawn inputs, by which anybody sees that a copy of the network computes what this one does."""
    images = example_inputs(_INPUTS, model.input_shape[1])
    return {"images": _INPUTS, "logits": [round(float(logit), 4) for logit in np.asarray(model(images))[:, 0]]}


def metrics(probabilities: Floats, labels: Floats, films: Sequence[Film], threshold: float) -> dict[str, object]:
    """AUC, sensitivity and specificity at the operating point, each with its interval by patient."""
    patients = [film.patient for film in films]
    return {
        "films": len(films),
        "patients": len(set(patients)),
        "positive": int(labels.sum()),
        "auc": bootstrap(auc, probabilities, labels, patients).document(),
        "sensitivity": bootstrap(sensitivity(threshold), probabilities, labels, patients).document(),
        "specificity": bootstrap(specificity(threshold), probabilities, labels, patients).document(),
    }

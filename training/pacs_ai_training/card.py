"""The card that travels with a network."""

import json
from collections.abc import Sequence
from pathlib import Path

from pacs_ai.inference.card import CARD_NAME

from .films import Film
from .scores import Calibration, Floats, auc, bootstrap, sensitivity, specificity

LIMITS = [
    "One hospital (Guangzhou), children of one to five years; networks from these films were near chance on adults.",
    "Films were squashed to 224 x 224; small findings, lines, tubes, effusions and nodules are not looked for.",
    "72 % of the validation films show pneumonia; where fewer do, probabilities are too high. Calibrate on site.",
    "Labels are of the film, by readers, not of the patient by microbiology.",
    "Single signs burned into a film (letters, exposure values) may sway it, although training varied them.",
    "Not a medical device. For research and for trying out workflows.",
]


def write_card(
    folder: Path,
    *,
    identity: dict[str, str],
    calibration: Calibration,
    operating_point: dict[str, object],
    **parts: object,
) -> Path:
    """The card is in the folder of the model file that it speaks of."""
    document = {
        **identity,
        "task": "pneumonia on a frontal chest radiograph: present or absent",
        "input": {
            "rows": 224,
            "columns": 224,
            "channels": 1,
            "range": [0, 1],
            "polarity": "0 is black",
            "aspect": "squashed",
        },
        "labels": {"0": "normal", "1": "pneumonia"},
        "grad_cam": {"layer": "block5_conv3", "rows": 14, "columns": 14},
        "calibration": {
            "method": "temperature and bias on validation patients",
            "temperature": round(calibration.temperature, 6),
            "bias": round(calibration.bias, 6),
        },
        "operating_point": operating_point,
        "population": {
            "min_age_years": 1,
            "max_age_years": 5,
            "description": "children of one to five completed years, frontal chest radiographs, one hospital",
        },
        **parts,
        "limits": LIMITS,
    }
    path = folder / CARD_NAME
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return path


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

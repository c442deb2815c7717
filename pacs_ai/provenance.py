"""What a reading was made with and what it went by: kept with it, so that it can be made again and compared."""

import hashlib
import json
import math
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from pacs_ai_storage.records import Setup

from . import __version__
from .imaging.evidence import evidence_of
from .imaging.film import Film
from .imaging.pixels import PIPELINE_VERSION
from .inference.card import SEAL, ModelCard, sealed
from .judging import JudgedInstance
from .settings import Settings

if TYPE_CHECKING:
    from .findings import Classification

_ONNX_SUFFIX = ".onnx"
_LIBRARIES = ("numpy", "pydicom", "opencv-python-headless", "imagecodecs")
_PRECISION = 4
SOFTWARE = "software."


def setup_of(settings: Settings, card: ModelCard) -> Setup:
    """The network, the pixel pipeline, every setting that changes what is said of an instance, and the software."""
    spoken = _settings(settings, card)
    return setup_from(
        {
            "model": asdict(card.identity) | {"card_sha256": sealed(card.document)[SEAL]},
            "pixel_pipeline": PIPELINE_VERSION,
            "settings": spoken,
            "settings_sha256": hashlib.sha256(canonical(spoken).encode()).hexdigest(),
            "software": _software(card),
        }
    )


def setup_from(document: Mapping[str, object]) -> Setup:
    """The setup that a document describes; the same content gives the same hash."""
    text = canonical(document)
    return Setup(sha256=hashlib.sha256(text.encode()).hexdigest(), document=text)


def canonical(document: object) -> str:
    """JSON in one spelling alone."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _settings(settings: Settings, card: ModelCard) -> dict[str, object]:
    """Not among them: where things are, who may connect, and the reading order, which says nothing of an image."""
    ingest = settings.ingest
    return {
        "model.threshold": settings.model.threshold or card.threshold,
        "model.allow_outside_population": settings.model.allow_outside_population,
        "ingest.max_megapixels": ingest.max_megapixels,
        "ingest.max_instance_mb": ingest.max_instance_mb,
        "ingest.decoder_seconds": ingest.decoder_seconds,
        "ingest.decoder_memory_mb": ingest.decoder_memory_mb,
        "results.heat_map": settings.results.heat_map,
        "results.report_refusals": settings.results.report_refusals,
    }


def _software(card: ModelCard) -> dict[str, str]:
    engine = ("onnxruntime",) if card.weights.suffix == _ONNX_SUFFIX else ("tensorflow", "keras")
    return {
        "pacs-ai": __version__,
        "python": platform.python_version(),
        **{name: _version(name) for name in (*_LIBRARIES, *engine)},
    }


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"  # installed under another name, such as opencv-python


def flattened(setup: Setup) -> dict[str, object]:
    """The values of a setup under dotted names, such as `model.sha256`."""
    return dict(_flat("", json.loads(setup.document)))


def _flat(prefix: str, document: Mapping[str, object]) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for name, value in document.items():
        found += _flat(f"{prefix}{name}.", value) if isinstance(value, dict) else [(f"{prefix}{name}", value)]
    return found


def in_words(setup: Setup) -> str:
    """The setup in one line of the audit log, in which its hash stands beside."""
    said = flattened(setup)
    parts = {
        "model": f"{said.get('model.name')} {said.get('model.version')} sha256={said.get('model.sha256')}",
        "pixel_pipeline": said.get("pixel_pipeline"),
        "settings": said.get("settings_sha256"),
        "pacs-ai": said.get(f"{SOFTWARE}pacs-ai"),
    }
    return " ".join(f"{name}={value}" for name, value in parts.items())


def evidence_text(judged: JudgedInstance, *, results_seconds: float | None = None) -> str:
    """What the reading of an instance went by, as JSON: hashes, the gate's evidence, logit, seconds of each step."""
    opened, found = judged.opened, judged.opened.found
    said = judged.reading.classification if judged.reading and judged.refusal is None else None
    seconds = {"opening": judged.opening_seconds, "network": judged.network_seconds, "results": results_seconds}
    return canonical(
        {
            "pixel_data_sha256": found.pixel_data_sha256 if isinstance(found, Film) else None,
            "model_input_sha256": _input_sha256(found) if isinstance(found, Film) else None,
            **_before_calibration(said),
            "gate": asdict(evidence_of(opened.header)) if opened.header is not None else None,
            "seconds": {step: round(taken, _PRECISION) for step, taken in seconds.items() if taken is not None},
        }
    )


def _input_sha256(film: Film) -> str:
    return hashlib.sha256(film.model_input.pixels.tobytes()).hexdigest()


def _before_calibration(said: "Classification | None") -> dict[str, float | None]:
    logit = None if said is None else said.logit
    plain = None if logit is None else 1 / (1 + math.exp(min(-logit, 700.0)))
    return {"logit": logit, "probability_before_calibration": plain}

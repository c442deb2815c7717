"""Calibration and operating point from what a site has read and labelled; the weights are not touched."""

import csv
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pacs_ai.inference.calibration import Calibration
from pacs_ai.inference.card import ModelCard, read_card, verify

from .card import calibration_document, rewrite_card
from .errors import FilmError
from .evaluation import expected_calibration_error
from .films import label_of
from .operating_point import Rule, choose, in_words
from .scores import Floats, Method, calibrate, probabilities_of, sensitivity, specificity

_PROBABILITY = re.compile(r"probability=([0-9.]+) ")
_FEWEST = 20
# The log holds six decimals; beyond them every probability is this one.
_CERTAIN = 5e-7


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteReadings:
    """Logits of the network (n,) and what the site's own readers said, 0 or 1 (n,)."""

    logits: Floats
    labels: Floats


def read_site(log: Path, labels: Path, card: ModelCard) -> SiteReadings:
    """The newest reading by this network of each labelled instance.

    `log` is what `pacs-ai audit query --action read --json` prints, `labels` a CSV with the columns sop_instance_uid
    and label (0 or 1, normal or pneumonia). Raises FilmError for a row that cannot be used and for fewer than 20 films
    of a label.
    """
    probabilities = dict(_read_events(log, card.identity.sha256))
    said = dict(_read_labels(labels))
    known = sorted(said.keys() & probabilities.keys())
    found = np.array([said[uid] for uid in known], np.float64)
    for label in (0, 1):
        if (found == label).sum() < _FEWEST:
            message = (
                f"{labels}: {(found == label).sum()} instances of label {label} were read by this network; "
                f"at least {_FEWEST} are needed"
            )
            raise FilmError(message)
    probability = np.clip([probabilities[uid] for uid in known], _CERTAIN, 1 - _CERTAIN)
    logits = np.array([card.calibration.logit(one) for one in probability.tolist()])
    return SiteReadings(logits=logits, labels=found)


def calibrate_for_site(  # noqa: PLR0913 - one for each option
    model: str | Path,
    log: Path,
    labels: Path,
    out: Path,
    *,
    rule: Rule,
    target: float,
    method: Method = Method.TEMPERATURE,
) -> Path:
    """A copy of the model folder with a new card is at `out`: calibration, operating point and what they rest on."""
    card = read_card(model)
    verify(card)
    if out.resolve() == card.folder.resolve():
        message = f"{out}: this is the model's own folder; choose another, so that the card it came with is kept"
        raise FilmError(message)
    readings = read_site(log, labels, card)
    try:
        calibration = calibrate(readings.logits, readings.labels, method=method)
    except FilmError as error:
        message = f"{labels}: {error}"
        raise FilmError(message) from error
    threshold = choose(rule, probabilities_of(calibration, readings.logits), readings.labels, target)
    document = _document(card, readings, calibration, threshold, in_words(rule, target, "the site's films"))
    shutil.copytree(card.folder, out, dirs_exist_ok=True)
    return rewrite_card(out, document)


def _document(
    card: ModelCard, readings: SiteReadings, calibration: Calibration, threshold: float, rule: str
) -> dict[str, object]:
    before = probabilities_of(card.calibration, readings.logits)
    after = probabilities_of(calibration, readings.logits)
    return card.document | {
        "calibration": calibration_document(calibration, "films of the site"),
        "operating_point": {"threshold": threshold, "rule": rule},
        "site": {
            "films": len(readings.labels),
            "positive": int(readings.labels.sum()),
            "sensitivity": round(sensitivity(threshold)(after, readings.labels), 4),
            "specificity": round(specificity(threshold)(after, readings.labels), 4),
            "expected_calibration_error_before": round(expected_calibration_error(before, readings.labels), 4),
            "expected_calibration_error_after": round(expected_calibration_error(after, readings.labels), 4),
        },
    }


def _read_events(log: Path, sha256: str) -> Iterator[tuple[str, float]]:
    for number, line in enumerate(log.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            event = json.loads(line)
            detail = str(event["detail"])
        except (ValueError, KeyError, TypeError) as error:
            message = f"{log}, line {number}: not an event of `pacs-ai audit query --json`"
            raise FilmError(message) from error
        found = _PROBABILITY.search(detail)
        if event.get("action") == "read" and found and f"sha256={sha256}" in detail:
            yield str(event["sop_instance_uid"]), float(found[1])


def _read_labels(path: Path) -> Iterator[tuple[str, int]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        if not {"sop_instance_uid", "label"} <= set(rows.fieldnames or ()):
            message = f"{path}: the columns sop_instance_uid and label are needed"
            raise FilmError(message)
        for row in rows:
            label = label_of(row["label"] or "")
            if label is None:
                message = f"{path}, line {rows.line_num}: label {row['label']!r} is neither normal nor pneumonia"
                raise FilmError(message)
            yield row["sop_instance_uid"].strip(), label

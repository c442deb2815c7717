"""Calibration and operating point from the log of a site and its labels."""

import json
from pathlib import Path

import numpy as np
import pytest
from pacs_ai_training.errors import FilmError
from pacs_ai_training.operating_point import Rule, choose
from pacs_ai_training.scores import Method
from pacs_ai_training.site import calibrate_for_site

from pacs_ai.inference.card import read_card, verify

CARD = read_card("")


def _site(
    folder: Path, *, count: int = 200, shift: float = 2.0, sha256: str = CARD.identity.sha256
) -> tuple[Path, Path]:
    """A log and labels of films whose probabilities are too high: the odds are exp(shift) times what is seen."""
    rng = np.random.default_rng(0)
    log, labels = folder / "log.jsonl", folder / "site.csv"
    logits = rng.normal(0, 2, count)
    present = rng.random(count) < 1 / (1 + np.exp(-logits))
    said = 1 / (1 + np.exp(-(logits + shift)))
    log.write_text(
        "".join(
            json.dumps(
                {
                    "id": number,
                    "action": "read",
                    "sop_instance_uid": f"1.2.{number}",
                    "detail": f"probability={said[number]:.6f} threshold=0.5 model=m 1 sha256={sha256}",
                }
            )
            + "\n"
            for number in range(count)
        )
    )
    rows = [f"1.2.{number},{'pneumonia' if present[number] else 'normal'}\n" for number in range(count)]
    labels.write_text("sop_instance_uid,label\n" + "".join(rows))
    return log, labels


def test_a_site_gets_a_card_of_its_own_and_the_weights_stay(tmp_path: Path) -> None:
    log, labels = _site(tmp_path)

    card = read_card(calibrate_for_site("", log, labels, tmp_path / "model", rule=Rule.YOUDEN, target=0.9))

    verify(card)
    site = card.document["site"]
    assert card.identity == CARD.identity
    assert site["films"] == 200
    assert site["expected_calibration_error_after"] < site["expected_calibration_error_before"] / 2
    assert card.document["operating_point"]["rule"].endswith("on the site's films")


def test_the_fit_undoes_the_shift_of_the_site(tmp_path: Path) -> None:
    log, labels = _site(tmp_path, count=4000, shift=2.0)

    card = read_card(calibrate_for_site("", log, labels, tmp_path / "model", rule=Rule.SENSITIVITY, target=0.9))

    # sigmoid(logit / temperature + bias), where the network said 2.0 too much.
    assert card.calibration.temperature == pytest.approx(CARD.calibration.temperature, rel=0.1)
    assert card.calibration.bias == pytest.approx(CARD.calibration.bias - 2.0, abs=0.3)


def test_a_site_may_choose_isotonic_regression(tmp_path: Path) -> None:
    log, labels = _site(tmp_path)

    card = read_card(
        calibrate_for_site("", log, labels, tmp_path / "model", rule=Rule.YOUDEN, target=0.9, method=Method.ISOTONIC)
    )

    assert card.calibration.steps
    assert card.document["calibration"]["method"] == "isotonic on films of the site"
    site = card.document["site"]
    assert site["expected_calibration_error_after"] < site["expected_calibration_error_before"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sop_instance_uid,label\n1.2.0,maybe\n", "line 2: label 'maybe'"),
        ("uid,label\n1.2.0,1\n", "columns sop_instance_uid and label"),
        ("sop_instance_uid,label\n1.2.0,1\n", "at least 20"),
    ],
)
def test_labels_that_cannot_be_used_are_named(text: str, words: str, tmp_path: Path) -> None:
    log, labels = _site(tmp_path)
    labels.write_text(text)

    with pytest.raises(FilmError, match=words):
        calibrate_for_site("", log, labels, tmp_path / "model", rule=Rule.YOUDEN, target=0.9)

    assert not (tmp_path / "model").exists()


def test_a_log_that_is_none_is_named_with_its_line(tmp_path: Path) -> None:
    log, labels = _site(tmp_path)
    log.write_text(log.read_text() + "not JSON\n")

    with pytest.raises(FilmError, match=r"line 201: not an event"):
        calibrate_for_site("", log, labels, tmp_path / "model", rule=Rule.YOUDEN, target=0.9)


def test_readings_of_another_network_do_not_count(tmp_path: Path) -> None:
    log, labels = _site(tmp_path, sha256="0" * 64)

    with pytest.raises(FilmError, match="0 instances of label 0 were read by this network"):
        calibrate_for_site("", log, labels, tmp_path / "model", rule=Rule.YOUDEN, target=0.9)


def test_labels_the_wrong_way_round_are_told(tmp_path: Path) -> None:
    log, labels = _site(tmp_path)
    swapped = labels.read_text().replace("normal", "x").replace("pneumonia", "normal").replace("x", "pneumonia")
    labels.write_text(swapped)

    with pytest.raises(FilmError, match="right way round"):
        calibrate_for_site("", log, labels, tmp_path / "model", rule=Rule.YOUDEN, target=0.9)


def test_the_card_that_came_with_the_model_is_not_overwritten(tmp_path: Path) -> None:
    log, labels = _site(tmp_path)

    with pytest.raises(FilmError, match="own folder"):
        calibrate_for_site("", log, labels, CARD.folder, rule=Rule.YOUDEN, target=0.9)


PROBABILITIES = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9])
LABELS = np.array([0, 0, 1, 0, 1, 1, 0, 1], float)


@pytest.mark.parametrize(
    ("rule", "target", "threshold"),
    [
        (Rule.SENSITIVITY, 1.0, 0.3),
        (Rule.SENSITIVITY, 0.75, 0.6),
        (Rule.PPV, 0.75, 0.6),
        (Rule.PPV, 1.0, 0.9),
        (Rule.YOUDEN, 0.0, 0.3),  # of two that are equally good the one that finds more
    ],
)
def test_the_operating_point_follows_its_rule(rule: Rule, target: float, threshold: float) -> None:
    assert choose(rule, PROBABILITIES, LABELS, target) == pytest.approx(threshold, abs=1e-4)


def test_a_predictive_value_that_is_out_of_reach_is_told() -> None:
    with pytest.raises(FilmError, match="100%"):
        choose(Rule.PPV, PROBABILITIES, 1 - LABELS * (PROBABILITIES > 0.5), 1.0)

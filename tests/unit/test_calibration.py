"""From logit to probability and back, by either method."""

import json
from pathlib import Path

import numpy as np
import pytest
from pacs_ai_training.card import rewrite_card
from pacs_ai_training.errors import FilmError
from pacs_ai_training.scores import Method, calibrate, probabilities_of

from pacs_ai.errors import ModelError
from pacs_ai.inference.calibration import Calibration
from pacs_ai.inference.card import CARD_NAME, SEAL, read_card

BY_STEPS = Calibration(steps=((-2.0, 0.1), (0.0, 0.4), (3.0, 0.9)))


def test_temperature_and_bias_give_the_sigmoid() -> None:
    assert Calibration(temperature=2.0, bias=0.5).probability(3.0) == pytest.approx(1 / (1 + np.exp(-2.0)))


@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_a_logit_far_out_gives_a_probability_and_no_error(logit: float) -> None:
    assert Calibration(temperature=0.6, bias=0.0).probability(logit) == pytest.approx(float(logit > 0))


@pytest.mark.parametrize("calibration", [Calibration(temperature=0.7, bias=-0.3), BY_STEPS])
@pytest.mark.parametrize("logit", [-1.7, -0.2, 0.0, 2.5])
def test_the_logit_comes_back_from_its_probability(calibration: Calibration, logit: float) -> None:
    assert calibration.logit(calibration.probability(logit)) == pytest.approx(logit)


@pytest.mark.parametrize(("logit", "probability"), [(-9, 0.1), (-1, 0.25), (0, 0.4), (1.5, 0.65), (9, 0.9)])
def test_steps_are_joined_by_lines_and_level_outside(logit: float, probability: float) -> None:
    assert BY_STEPS.probability(logit) == pytest.approx(probability)


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": 0.0}, {"temperature": -1.0}, {"steps": ((0.0, 0.5), (1.0, 0.4))}, {"steps": ((0.0, 0.5),)}],
)
def test_a_calibration_that_turns_the_order_round_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="order of logits"):
        Calibration(**wrong)  # type: ignore[arg-type]


def test_isotonic_regression_follows_a_curve_that_no_sigmoid_has() -> None:
    rng = np.random.default_rng(3)
    logits = rng.uniform(-5, 5, 30_000)
    true = np.where(logits < 0, 0.2, 0.7)
    labels = (rng.random(30_000) < true).astype(float)

    found = calibrate(logits, labels, method=Method.ISOTONIC)

    assert probabilities_of(found, np.array([-4.0, -2.0, 2.0, 4.0])) == pytest.approx([0.2, 0.2, 0.7, 0.7], abs=0.03)
    assert found.logit(found.probability(-3.0)) == pytest.approx(-3.0, abs=1e-3)


def test_balanced_calibration_counts_either_class_as_half() -> None:
    rng = np.random.default_rng(5)
    labels = (rng.random(20_000) < 0.8).astype(float)
    logits = rng.normal(np.where(labels == 1, 1.0, -1.0), 1.0)

    found = calibrate(logits, labels, balanced=True)

    assert found.probability(0.0) == pytest.approx(0.5, abs=0.02)
    assert calibrate(logits, labels).probability(0.0) == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("method", list(Method))
def test_labels_the_wrong_way_round_are_found_out(method: Method) -> None:
    logits = np.linspace(-3, 3, 100)

    with pytest.raises(FilmError, match="right way round"):
        calibrate(logits, (logits < 0).astype(float), method=method)


def _folder(tmp_path: Path, **changes: object) -> Path:
    rewrite_card(tmp_path, read_card("").document | changes)
    return tmp_path


def test_a_card_with_steps_is_read_as_it_was_written(tmp_path: Path) -> None:
    steps = [list(step) for step in BY_STEPS.steps]

    card = read_card(_folder(tmp_path, calibration={"method": "isotonic", "steps": steps}))

    assert card.calibration == BY_STEPS


def test_a_card_changed_after_it_was_sealed_is_refused(tmp_path: Path) -> None:
    path = _folder(tmp_path) / CARD_NAME
    document = json.loads(path.read_text())
    assert len(document[SEAL]) == 64

    path.write_text(json.dumps(document | {"operating_point": {"threshold": 0.01}}))

    with pytest.raises(ModelError, match="changed since it was sealed"):
        read_card(tmp_path)


@pytest.mark.parametrize("wrong", [{"output": "scores"}, {"calibration": {"temperature": 0}}])
def test_a_card_that_says_what_cannot_be_is_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="not a model card of this version"):
        read_card(_folder(tmp_path, **wrong))

"""Figures against their definitions, two networks against each other, and the page that shows it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pacs_ai_training.comparison import compare
from pacs_ai_training.evaluation import Judged, evaluate, expected_calibration_error, worst_mistakes
from pacs_ai_training.films import Film
from pacs_ai_training.page import Mistake, Page, write_page
from pacs_ai_training.plots import write_plots
from sklearn.metrics import roc_auc_score

from pacs_ai.inference.card import read_card


def _film(number: int, label: int) -> Film:
    kind = "bacteria" if number % 5 else "virus"
    name = f"person{number // 2}_{kind}_{number}.jpeg" if label else f"IM-{number // 2:04d}-{number}.jpeg"
    return Film(path=Path(name), patient=name.split("_", maxsplit=1)[0][:12], label=label, sha256=str(number))


def make_judged(*, skill: float = 2.0, count: int = 200, seed: int = 0, threshold: float = 0.5) -> Judged:
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % 3 > 0).astype(float)
    logits = rng.normal(0, 1, count) + skill * (labels - 0.5)
    return Judged(
        films=tuple(_film(number, int(label)) for number, label in enumerate(labels)),
        probabilities=1 / (1 + np.exp(-logits)),
        labels=labels,
        threshold=threshold,
    )


def test_the_figures_follow_from_the_confusion_matrix() -> None:
    judged = make_judged()
    (true_negative, false_positive), (false_negative, true_positive) = judged.confusion

    figures = {name: figure.value for name, figure in evaluate(judged, rounds=100).figures.items()}

    assert figures["accuracy"] == pytest.approx((true_negative + true_positive) / 200)
    assert figures["sensitivity (recall)"] == pytest.approx(true_positive / (true_positive + false_negative))
    assert figures["specificity"] == pytest.approx(true_negative / (true_negative + false_positive))
    assert figures["precision"] == pytest.approx(true_positive / (true_positive + false_positive))
    assert figures["F1"] == pytest.approx(2 * true_positive / (2 * true_positive + false_positive + false_negative))
    assert figures["AUC"] == pytest.approx(roc_auc_score(judged.labels, judged.probabilities))


def test_each_figure_lies_in_its_interval() -> None:
    for figure in evaluate(make_judged(), rounds=100).figures.values():
        assert figure.low <= figure.high
        assert figure.low - 0.03 <= figure.value <= figure.high + 0.03


def test_each_kind_of_pneumonia_is_judged_against_every_normal_film() -> None:
    judged = make_judged()

    groups = {group.name: group for group in evaluate(judged, rounds=100).subgroups}

    assert groups.keys() == {"bacteria", "virus"}
    assert sum(group.films for group in groups.values()) == judged.labels.sum()


def test_a_probability_that_is_the_frequency_has_no_calibration_error() -> None:
    labels = np.array([1, 1, 1, 0] * 25, float)

    assert expected_calibration_error(np.full(100, 0.75), labels) == pytest.approx(0)
    assert expected_calibration_error(np.full(100, 0.95), labels) == pytest.approx(0.2)


def test_the_worst_mistake_comes_first_and_what_was_right_not_at_all() -> None:
    judged = make_judged()
    judged = replace(judged, probabilities=np.where(np.arange(200) == 0, 0.999, judged.probabilities))

    rows = worst_mistakes(judged)

    assert rows[0] == 0
    assert len(rows) <= 20
    assert all((judged.probabilities[row] >= 0.5) != (judged.labels[row] == 1) for row in rows)


def test_a_network_does_not_differ_from_itself() -> None:
    found = compare(make_judged(), make_judged())

    assert (found.auc_p, found.mcnemar_p, found.only_a_right, found.only_b_right) == (1, 1, 0, 0)
    assert "within chance" in found.verdict
    assert "neither" in found.verdict


def test_a_much_better_network_is_called_better() -> None:
    found = compare(make_judged(skill=6), replace(make_judged(skill=0.5, seed=1), films=make_judged().films))

    assert found.low > 0
    assert found.auc_p < 0.001
    assert found.verdict.startswith("On these films A ranks the films better")
    assert "A is right more often" in found.verdict


def test_the_interval_of_the_difference_is_that_of_the_bootstrap() -> None:
    a, b = make_judged(skill=2.0), replace(make_judged(skill=1.2, seed=1), films=make_judged().films)
    rng = np.random.default_rng(0)
    differences = []
    for _ in range(600):
        rows = rng.integers(0, 200, 200)
        differences.append(
            roc_auc_score(a.labels[rows], a.probabilities[rows]) - roc_auc_score(b.labels[rows], b.probabilities[rows])
        )

    found = compare(a, b)

    assert [found.low, found.high] == pytest.approx(np.percentile(differences, [2.5, 97.5]), abs=0.015)


def test_networks_that_were_judged_on_other_films_are_not_compared() -> None:
    other = replace(make_judged(), films=make_judged().films[::-1])

    with pytest.raises(ValueError, match="same films"):
        compare(make_judged(), other)


def test_the_page_holds_figures_plots_and_mistakes_and_needs_nothing_beside_it(tmp_path: Path) -> None:
    judged = make_judged()
    evaluation = evaluate(judged, rounds=100)
    mistake = Mistake(name="<b>person1.jpeg", label="normal", probability=0.97, picture=np.zeros((32, 40, 3), np.uint8))

    plots = write_plots(judged, tmp_path / "plots")
    page = Page(card=read_card(""), evaluation=evaluation, part="test", refused=3, plots=plots, mistakes=[mistake])
    write_page(tmp_path / "evaluation.html", page)

    written = (tmp_path / "evaluation.html").read_text()
    assert all(f"{figure.value:.3f}" in written for figure in evaluation.figures.values())
    assert written.count("data:image/svg+xml") == len(plots) == 5
    assert "&lt;b&gt;person1.jpeg" in written
    assert "97.0 %" in written
    assert not [part for part in ('src="http', "href=", "<script") if part in written]
    assert {path.suffix for path in (tmp_path / "plots").iterdir()} == {".png", ".svg"}
    json.dumps(evaluation.document())

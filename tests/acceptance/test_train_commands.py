"""`pacs-ai-train` on a few films: what a data scientist gets, in files."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from pacs_ai_training.films import list_films
from pacs_ai_training.recipe import Films
from pacs_ai_training.refusals import Lot, teach_refusals

from pacs_ai.inference.card import EMBEDDED, read_card, verify
from tests.builders import sample_film

TRAIN = (sys.executable, "-c", "from pacs_ai_training.cli import main; main()")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve films in Kaggle's folders; which label each has does not matter here."""
    folder = tmp_path_factory.mktemp("films")
    for number in range(12):
        kind, name = (
            ("NORMAL", f"IM-{number:04d}-0001.png") if number % 2 else ("PNEUMONIA", f"person{number}_virus_1.png")
        )
        (folder / kind).mkdir(exist_ok=True)
        cv2.imwrite(str(folder / kind / name), sample_film(number, 256, 256, bits=8))
    return folder


def _train(*words: str | Path) -> str:
    done = subprocess.run([*TRAIN, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_evaluate_prints_the_figures_and_writes_page_document_and_plots(films: Path, tmp_path: Path) -> None:
    printed = _train("evaluate", films, "--out", tmp_path)

    document = json.loads((tmp_path / "evaluation.json").read_text())
    assert (document["films"], document["positive"]) == (12, 6)
    assert document["model"]["sha256"] == read_card("").identity.sha256
    for name, figure in document["figures"].items():
        assert f"{name:<28}{figure['value']:.3f}" in printed
    assert len(list((tmp_path / "plots").iterdir())) == 10
    assert "data:image/svg+xml" in (tmp_path / "evaluation.html").read_text()


def test_compare_ends_with_a_verdict(films: Path) -> None:
    assert "within chance" in _train("compare", "", "", films).splitlines()[-1]


def test_a_network_is_taught_what_to_refuse_and_its_weights_stay(films: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(EMBEDDED, folder)
    others = tmp_path / "others"
    others.mkdir()
    for number in range(6):
        cv2.imwrite(str(others / f"{number}.png"), sample_film(number, 200, 300, bits=8)[:, 100:])
    listed = list_films(films)
    lot = Lot(known=8, turned=2, drawn=12, judged_turned=1)

    card_path = teach_refusals(folder, Films(train=listed[:8], validation=listed[8:], test=listed[:2]), others, lot)

    card = read_card(card_path)
    verify(card)
    assert card.identity == read_card("").identity
    assert card.detector is not None
    refused = card.document["detector"]["refused"]
    assert refused["validation"]["images"] == 4
    assert {"inverted", "upside down", "other patients not used for teaching"} < refused.keys()


def test_a_folder_without_films_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [*TRAIN, "evaluate", str(tmp_path), "--out", str(tmp_path / "out")], capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert str(tmp_path) in done.stderr
    assert "Traceback" not in done.stderr

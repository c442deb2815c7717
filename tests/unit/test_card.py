"""The model card, and the model file that it speaks of."""

import json
from pathlib import Path
from typing import Any

import pytest

from pacs_ai.errors import ModelError
from pacs_ai.findings import ModelIdentity, Population
from pacs_ai.inference.calibration import Calibration
from pacs_ai.inference.card import EMBEDDED, read_card, verify

CARD: dict[str, Any] = {
    "name": "tiny",
    "version": "0.0.1",
    "file": "model.keras",
    "sha256": "9834876dcfb05cb167a5c24953eba58c4ac89b1adf57f28f2f9d09af107ee8f0",  # of b"aaa"
    "input": {"rows": 224, "columns": 224},
    "grad_cam": {"layer": "last"},
    "calibration": {"temperature": 1.5},
    "operating_point": {"threshold": 0.41},
    "population": {"min_age_years": 1, "max_age_years": 5},
}


def model_folder(folder: Path, *, content: bytes = b"aaa", **changes: Any) -> Path:
    (folder / "card.json").write_text(json.dumps(CARD | changes), encoding="utf-8")
    (folder / "model.keras").write_bytes(content)
    return folder


def test_the_embedded_card_is_read_when_no_path_is_given_and_its_model_is_the_one_it_names() -> None:
    card = read_card("")

    verify(card)
    assert card.folder == EMBEDDED
    assert card.input_size == 224
    assert 0 < card.threshold < 1
    assert card.calibration.temperature > 0
    assert card.document["name"] == card.identity.name


def test_a_card_is_read_from_its_folder(tmp_path: Path) -> None:
    card = read_card(model_folder(tmp_path))

    verify(card)
    assert card.identity == ModelIdentity(name="tiny", version="0.0.1", sha256=CARD["sha256"])
    assert (card.threshold, card.calibration, card.last_convolution) == (0.41, Calibration(temperature=1.5), "last")
    assert card.population == Population(min_age_years=1, max_age_years=5)
    assert card.weights == tmp_path / "model.keras"


def test_a_card_is_read_from_its_own_path_too(tmp_path: Path) -> None:
    model_folder(tmp_path)

    assert read_card(str(tmp_path / "card.json")) == read_card(str(tmp_path))


def test_a_population_without_bounds_has_none(tmp_path: Path) -> None:
    assert read_card(model_folder(tmp_path, population={})).population == Population()


def test_another_model_file_than_the_card_speaks_of_is_not_used(tmp_path: Path) -> None:
    card = read_card(model_folder(tmp_path, content=b"bbb"))

    with pytest.raises(ModelError, match=rf"its SHA-256 is \w{{64}}, the card says {CARD['sha256']}"):
        verify(card)


def test_a_model_file_that_is_missing_is_said_by_its_path(tmp_path: Path) -> None:
    card = read_card(model_folder(tmp_path))
    card.weights.unlink()

    with pytest.raises(ModelError, match=r"model\.keras: the model file cannot be read"):
        verify(card)


def test_a_missing_card_is_said_with_the_setting_to_change(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"card\.json: no model card .*model\.path"):
        read_card(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"input": {}},
        {"input": {"rows": "large"}},
        {"sha256": None, "operating_point": None},
        {"calibration": {}},
        {"population": None},
        {"population": []},
    ],
)
def test_a_card_of_another_form_is_an_error_of_the_model(changes: dict[str, Any], tmp_path: Path) -> None:
    folder = model_folder(tmp_path, **changes)

    with pytest.raises(ModelError, match="not a model card of this version"):
        read_card(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe"])
def test_what_is_no_card_is_an_error_of_the_model(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "card.json").write_bytes(content)

    with pytest.raises(ModelError, match="not a model card of this version"):
        read_card(tmp_path)


@pytest.mark.parametrize("file", ["../../outside.keras", "/outside.keras"])
def test_a_card_never_names_a_file_outside_its_folder(file: str, tmp_path: Path) -> None:
    assert read_card(model_folder(tmp_path, file=file)).weights == tmp_path / "outside.keras"

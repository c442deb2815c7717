"""Recipes: every choice of a run in one file."""

from pathlib import Path

import pytest
from pacs_ai_training.errors import FilmError
from pacs_ai_training.networks import BACKBONES
from pacs_ai_training.recipe import Recipe, read_recipe, write_recipe

RECIPES = Path(__file__).parents[2] / "config" / "recipes"


def test_the_default_recipe_is_the_one_written_down() -> None:
    assert read_recipe(RECIPES / "pneumonia-vgg16.toml") == Recipe()


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_that_is_shipped_can_be_used(path: Path) -> None:
    recipe = read_recipe(path)

    assert recipe.name == path.stem
    assert recipe.network.backbone in BACKBONES


def test_what_is_stored_with_a_result_gives_the_same_recipe(tmp_path: Path) -> None:
    recipe = read_recipe(RECIPES / "rsna-adults.toml")

    assert read_recipe(write_recipe(recipe, tmp_path)) == recipe


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sede = 1", "sede: Extra inputs"),
        ("[augmentation]\nrotation = 5", "augmentation.rotation: Extra inputs"),
        ("[training]\nbatch = 1", "training.batch: Input should be greater"),
        ("[calibration]\nmethod = 'magic'", "calibration.method: Input should be"),
        ("name = ", "not TOML"),
    ],
)
def test_a_recipe_that_cannot_be_used_names_the_key(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)

    with pytest.raises(FilmError, match=said):
        read_recipe(path)


def test_a_recipe_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FilmError, match=r"none\.toml: No such file"):
        read_recipe(tmp_path / "none.toml")

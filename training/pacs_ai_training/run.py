"""The run from films to a network that the service takes: gather, learn, ship."""

import logging
from pathlib import Path

import keras
import tensorflow as tf

from .collection import Films, gather, in_words, write_found
from .errors import FilmError
from .fit import train
from .networks import build_network, find_weights
from .recipe import RECIPE_NAME, Recipe, read_recipe, write_recipe
from .shipping import film_set, ship

log = logging.getLogger(__name__)


def fit(
    data: Path, weights: Path | None, out: Path, recipe: Recipe, *, left_out: Path | None = None, resume: bool = False
) -> Path:
    """The card of the network that the recipe makes; beside it the model file, recipe, report of the films and logs.

    Raises FilmError before anything is learned for films, weights or a recipe that cannot be used.
    """
    _check_begun(out, recipe, resume=resume)
    network = new_network(weights, recipe)  # first: a large set of films takes an hour to look through
    films, found = gather(data, recipe, left_out)
    write_found(found, out)
    write_recipe(recipe, out)  # from here on the run is begun
    for line in in_words(found):
        log.info("%s", line)
    return ship(learned(network, films, out, recipe), films, out, recipe)


def new_network(weights: Path | None, recipe: Recipe) -> keras.Model:
    """The network before it has learned, in the precision that it learns in; the same for the same seed."""
    keras.utils.set_random_seed(recipe.seed)
    keras.mixed_precision.set_global_policy(_precision(recipe))
    log.info("%s in %s", recipe.network.backbone, keras.mixed_precision.global_policy().name)
    return _built(find_weights(recipe.network.backbone, weights), recipe)


def learned(model: keras.Model, films: Films, out: Path, recipe: Recipe) -> keras.Model:
    """The trained network in float32; checkpoints and logs are under `out/checkpoints`."""
    train(model, film_set(films.train, recipe), film_set(films.validation, recipe), recipe, out / "checkpoints")
    return plain_network(model, recipe)


def plain_network(model: keras.Model, recipe: Recipe) -> keras.Model:
    """The same network in float32, whatever it learned in; from here on Keras makes float32 networks."""
    keras.mixed_precision.set_global_policy("float32")
    plain = _built(None, recipe)
    plain.set_weights(model.get_weights())
    return plain


def _built(weights: Path | str | None, recipe: Recipe) -> keras.Model:
    choice = recipe.network
    return build_network(choice.backbone, weights, size=choice.size, dropout=choice.dropout, units=choice.units)


def _check_begun(out: Path, recipe: Recipe, *, resume: bool) -> None:
    """No run was begun in the folder, or one of this recipe that is to go on; FilmError otherwise."""
    begun = out / RECIPE_NAME
    if resume:
        if not begun.is_file() or read_recipe(begun) != recipe:
            message = f"{begun}: no run of this recipe was begun here; leave out --resume, or give the recipe that was"
            raise FilmError(message)
    elif begun.is_file():
        message = f"{out}: a run was begun here; go on with --resume, or choose another --out"
        raise FilmError(message)


def _precision(recipe: Recipe) -> str:
    """Half precision where the machine computes in it: on a GPU, and on processors with instructions for bfloat16."""
    if recipe.training.precision != "auto":
        return recipe.training.precision
    if tf.config.list_physical_devices("GPU"):
        return "mixed_float16"
    flags = (
        Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace") if Path("/proc/cpuinfo").is_file() else ""
    )
    return "mixed_bfloat16" if "avx512_bf16" in flags or "amx_bf16" in flags else "float32"

"""Settings as they are read: one TOML file and the environment, and each problem in a sentence that names its place."""

import difflib
import json
import os
import tomllib
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_settings import SettingsError as UnreadableSource

from .errors import SettingsError
from .settings import PREFIX, Settings

# Of `pacs-ai-train`, which may be set where a service is started.
_OTHERS = frozenset({"PACS_AI_WEIGHTS"})
# An error may hide another of the same section.
_MOST_ROUNDS = 4
# What pydantic says in the words of Python.
_SHAPES = {
    "tuple_type": "a list is wanted here",
    "model_type": "a section is wanted here",
    "path_type": "a path between quotation marks is wanted here",
}


def load_settings(path: Path | None) -> Settings:
    """The settings of a file and the environment; SettingsError with one line for each problem."""
    _check_environment()
    try:
        return Settings(**_read_toml(path))
    except ValidationError as error:
        raise SettingsError("\n".join(_problems(error, path))) from error
    except UnreadableSource as error:
        unread = [f"environment variable {name}" for name in os.environ if _is_list_without_json(name)]
        said = ", ".join(unread) or f"environment ({error})"
        message = f'{said}: lists and sections are written as JSON, such as ["ONE", "TWO"]'
        raise SettingsError(message) from error


def load_what_is_right(path: Path | None) -> Settings | None:
    """The settings without what is wrong in the file, so that the rest can be looked at; None where nothing is left."""
    try:
        document = _read_toml(path)
        for _ in range(_MOST_ROUNDS):
            try:
                return Settings(**document)
            except ValidationError as error:
                for found in error.errors():
                    _leave_out(document, tuple(found["loc"]))
    except (SettingsError, UnreadableSource):
        return None
    return None


def _leave_out(document: dict[str, Any], location: tuple[int | str, ...]) -> None:
    """The document has nothing at that place, or at the nearest above it that it has; a list goes as a whole."""
    inner: Any = document
    for part in location[:-1]:
        if not isinstance(inner.get(part), dict):
            inner.pop(part, None)
            return
        inner = inner[part]
    inner.pop(location[-1], None)


def _check_environment() -> None:
    """A misspelt section in the environment would otherwise be ignored in silence."""
    for name in os.environ:
        section = name.removeprefix(PREFIX).split("__")[0].lower()
        if name.startswith(PREFIX) and name not in _OTHERS and section not in Settings.model_fields:
            problem = _problem((section,), "extra_forbidden", "")
            message = f"environment variable {name}: {problem}"
            raise SettingsError(message)


def _is_list_without_json(name: str) -> bool:
    """Whether the variable is a setting that is a list or a section, and its value no JSON."""
    if not name.upper().startswith(PREFIX):
        return False
    *sections, key = name[len(PREFIX) :].lower().split("__")
    model: Any = Settings
    for section in sections:
        models = _sections_of(model.model_fields[section].annotation) if section in model.model_fields else []
        if not models:
            return False
        model = models[0]
    field = model.model_fields.get(key)
    if field is None or not (get_origin(field.annotation) is tuple or _sections_of(field.annotation)):
        return False
    try:
        json.loads(os.environ[name])
    except ValueError:
        return True
    return False


def _read_toml(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror})"
        raise SettingsError(message) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"{path}: not TOML: {error}"
        raise SettingsError(message) from error


def _problems(error: ValidationError, path: Path | None) -> list[str]:
    return [
        f"{_source(tuple(found['loc']), path)}: {_problem(tuple(found['loc']), found['type'], found['msg'])}"
        for found in error.errors()
    ]


def _source(location: tuple[int | str, ...], path: Path | None) -> str:
    """The variable of the environment that says it, which wins over the file, or else the file."""
    names = ("__".join(str(part) for part in location[:count]) for count in range(len(location), 0, -1))
    said = {name.upper(): name for name in os.environ}  # pydantic-settings heeds no case
    found = next((said[key] for name in names if (key := f"{PREFIX}{name}".upper()) in said), None)
    return f"environment variable {found}" if found else str(path or "settings")


def _problem(location: tuple[int | str, ...], kind: str, message: str) -> str:
    key = ".".join(str(part) for part in location) or "settings"
    if kind != "extra_forbidden":
        example = "; each node begins with [[nodes]]" if (key, kind) == ("nodes", "tuple_type") else ""
        return f"{key}: {_SHAPES.get(kind, message.removeprefix('Value error, '))}{example}"
    known = _known_keys(location[:-1])
    near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(sorted(known))}"
    return f"{key}: unknown setting; {hint}"


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    models: list[type[BaseModel]] = [Settings]
    for part in location:
        fields = [model.model_fields[part] for model in models if isinstance(part, str) and part in model.model_fields]
        models = [found for field in fields for found in _sections_of(field.annotation)] or models
    return list(dict.fromkeys(name for model in models for name in model.model_fields))


def _sections_of(annotation: Any) -> list[type[BaseModel]]:  # noqa: ANN401 - an annotation can be anything
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (tuple, Union, UnionType, Annotated):
        return [found for part in get_args(annotation) for found in _sections_of(part)]
    return []

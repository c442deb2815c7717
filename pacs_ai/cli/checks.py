"""`config`, `model` and `migrate`."""

import json
import os
from typing import Any

import typer
from pacs_ai_storage.database import without_password

from pacs_ai.errors import ModelError, SettingsError
from pacs_ai.inference.card import ModelCard, read_card, verify
from pacs_ai.nodes import token_problems
from pacs_ai.settings_file import load_what_is_right
from pacs_ai.stores import data_problems, make_data_folder, open_database
from pacs_ai.web.server import token_of

from .options import ConfigOption, JsonOption, file_of, settings_of
from .output import print_json, print_table


def add_to(app: typer.Typer) -> None:
    """The verbs are part of the command."""
    config = typer.Typer(help="The settings.", no_args_is_help=True)
    config.command("check")(config_check)
    config.command("show")(config_show)
    app.add_typer(config, name="config")
    model = typer.Typer(help="The network in use.", no_args_is_help=True)
    model.command("show")(model_show)
    model.command("verify")(model_verify)
    app.add_typer(model, name="model")
    app.command()(migrate)


def config_check(config: ConfigOption = None) -> None:
    """Every problem of a settings file at once, with its key; exit code 2 when there is one."""
    from pacs_ai.tls import certificate_problems  # noqa: PLC0415 - other checks wait for no DICOM library

    problems = []
    try:
        settings = settings_of(config)
    except SettingsError as error:
        problems += str(error).splitlines()
        rest = load_what_is_right(file_of(config))
        if rest is None:
            raise
        settings = rest
    found = [*certificate_problems(settings), *token_problems(settings.nodes), *data_problems(settings.data)]
    try:
        token_of(settings.http, os.environ.get)
    except SettingsError as error:
        found.append(str(error))
    try:
        read_card(settings.model.path)
    except ModelError as error:
        found.append(f"model.path: {error}")
    problems += [f"{config or 'settings'}: {problem}" for problem in found]
    if problems:
        raise SettingsError("\n".join(problems))
    typer.echo("no problems")


def config_show(config: ConfigOption = None) -> None:
    """The effective settings as JSON: environment before file before default; passwords are hidden."""
    document: dict[str, Any] = settings_of(config).model_dump(mode="json")
    if document["audit"]["url"]:
        document["audit"]["url"] = without_password(document["audit"]["url"])
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def model_show(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """The card of the network: what it is, whom it is for, its operating point, how well it did."""
    card = read_card(settings_of(config).model.path)
    if as_json:
        print_json([card.document])
    else:
        print_table(("", "model card"), _rows(card))


def _rows(card: ModelCard) -> list[tuple[str, str]]:
    return [(key, _line(value)) for key, value in card.document.items()]


def _line(value: object) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_line(item)}" for key, item in value.items())
    if isinstance(value, list):
        return " - ".join(_line(item) for item in value)
    return str(value)


def model_verify(config: ConfigOption = None) -> None:
    """Model file and detector are those that the card speaks of, and the network computes what the card says."""
    card = read_card(settings_of(config).model.path)
    verify(card)
    typer.echo(f"{card.weights}: sha256 {card.identity.sha256} as on the card")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from pacs_ai.inference.classifier import open_network  # noqa: PLC0415 - TensorFlow takes seconds to import
    from pacs_ai.inference.examples import check_examples  # noqa: PLC0415

    difference = check_examples(card, open_network(card))
    if difference is not None:
        typer.echo(f"{len(card.examples)} example outputs as on the card, within {difference:.1g}")


def migrate(config: ConfigOption = None) -> None:
    """Bring the database schema to this version."""
    from pacs_ai_storage.migration import migrate as migrate_schema  # noqa: PLC0415 - queries never need it

    settings = settings_of(config)
    if not settings.audit.url:
        make_data_folder(settings.data)
    database = open_database(settings)
    try:
        before, after = migrate_schema(database)
    finally:
        database.close()
    typer.echo(f"schema {before or 'none'} -> {after}" if before != after else f"schema {after}: nothing to do")

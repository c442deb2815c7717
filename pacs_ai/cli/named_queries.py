"""`audit named list` and `audit named delete`: queries of the audit log that are kept under a name."""

from typing import Annotated

import typer
from pacs_ai_storage.named_queries import delete_query, saved_queries

from pacs_ai.errors import NotFound
from pacs_ai.questions import IN_WORDS
from pacs_ai.stores import now

from .options import ConfigOption, JsonOption, settings_of
from .output import print_json, print_table
from .stores import existing_database


def add_to(log: typer.Typer) -> None:
    """The verbs are part of the group."""
    named = typer.Typer(help="Queries of the audit log that have a name.", no_args_is_help=True)
    named.command("list")(named_list)
    named.command("delete")(named_delete)
    log.add_typer(named, name="named")


def named_list(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """The questions that are built in, and the queries that were kept with `audit query --save`."""
    with existing_database(settings_of(config)) as database, database.read() as connection:
        saved = saved_queries(connection)
    if as_json:
        print_json({"name": name, "built_in": True, "asks": words} for name, words in IN_WORDS.items())
        print_json({"name": item.name, "built_in": False, "options": dict(item.options)} for item in saved)
        return
    rows = [(str(name), words) for name, words in IN_WORDS.items()]
    rows += [(item.name, ", ".join(f"{name}={value}" for name, value in item.options.items())) for item in saved]
    print_table(("name", "asks"), rows)


def named_delete(name: Annotated[str, typer.Argument(metavar="NAME")], config: ConfigOption = None) -> None:
    """The query is kept no more."""
    with existing_database(settings_of(config)) as database:
        if not delete_query(database, name, now()):
            message = f"no query {name} is kept; `pacs-ai audit named list` shows those that are"
            raise NotFound(message)
    typer.echo("deleted")

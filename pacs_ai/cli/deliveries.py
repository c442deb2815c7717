"""`deliveries`: the outbox, listed and changed from another process while the service runs."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from pacs_ai_storage.database import Database
from pacs_ai_storage.outbox import Choice, Outbox
from pacs_ai_storage.records import Delivery, DeliveryState
from pacs_ai_storage.views import list_deliveries

from pacs_ai.errors import NotFound
from pacs_ai.lines.deliveries import delivery_line
from pacs_ai.naming import chosen_deliveries
from pacs_ai.stores import now

from .options import MOST_ROWS, ConfigOption, JsonOption, settings_of
from .output import print_json, print_table, short
from .stores import existing_database

_ACTOR = "operator"
NameArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[ID]",
        help="SOP Instance UID of an object, a Study Instance UID, the end of it, or an accession number.",
    ),
]
NodeOption = Annotated[str | None, typer.Option("--node", help="Only this node; without ID all that is for it.")]
AllOption = Annotated[bool, typer.Option("--all", help="Every delivery to every node.")]


def add_to(app: typer.Typer) -> None:
    """The verbs are part of the command."""
    deliveries = typer.Typer(help="The outbox: listed, retried, cancelled.", no_args_is_help=True)
    deliveries.command("list")(deliveries_list)
    deliveries.command("retry")(deliveries_retry)
    deliveries.command("cancel")(deliveries_cancel)
    app.add_typer(deliveries, name="deliveries")


def deliveries_retry(
    name: NameArgument = None, config: ConfigOption = None, node: NodeOption = None, everything: AllOption = False
) -> None:
    """What was given up, or waits, is sent at once; it has all its time again."""
    with existing_database(settings_of(config)) as database:
        choice = _choice(database, name, node, everything=everything)
        _say(Outbox(database).retry(choice, now(), actor=_ACTOR), "queued again", "was given up or waits")


def deliveries_cancel(
    name: NameArgument = None, config: ConfigOption = None, node: NodeOption = None, everything: AllOption = False
) -> None:
    """What no node has accepted is never sent; it stays listed as CANCELLED."""
    with existing_database(settings_of(config)) as database:
        choice = _choice(database, name, node, everything=everything)
        _say(Outbox(database).cancel(choice, now(), actor=_ACTOR), "cancelled", "is open")


def _choice(database: Database, name: str | None, node: str | None, *, everything: bool) -> Choice:
    if everything == bool(name or node):
        message = "name what is meant: an ID, --node NAME, or --all alone"
        raise typer.BadParameter(message)
    return chosen_deliveries(database, name, node)


def _say(changed: int, done: str, wanted: str) -> None:
    if not changed:
        message = f"no delivery of those {wanted}; `pacs-ai deliveries list` shows where each stands"
        raise NotFound(message)
    typer.echo(f"{changed} {'delivery' if changed == 1 else 'deliveries'} {done}")


def deliveries_list(
    name: NameArgument = None,
    config: ConfigOption = None,
    node: Annotated[str | None, typer.Option(help="Only this node.")] = None,
    state: Annotated[DeliveryState | None, typer.Option(help="Only this state.", case_sensitive=False)] = None,
    limit: Annotated[int, typer.Option(min=1, max=MOST_ROWS)] = 100,
    as_json: JsonOption = False,
) -> None:
    """What went to which node, what waits, and why."""
    settings = settings_of(config)
    with existing_database(settings) as database:
        choice = chosen_deliveries(database, name, node)
        with database.read() as connection:
            found = list_deliveries(connection, **asdict(choice), state=state, limit=limit)
            is_known = any(known.name == node for known in settings.nodes)
            if node and not is_known and not list_deliveries(connection, node=node, limit=1):
                message = f"no delivery and no node of the settings is named {node}"
                raise NotFound(message)
    if as_json:
        print_json(delivery_line(item) for item in found)
    else:
        print_deliveries(found)


def print_deliveries(found: Sequence[Delivery]) -> None:
    """One row for each delivery."""
    print_table(
        ("node", "state", "kind", "study", "object", "attempts", "next or accepted", "status"),
        [
            (
                item.node,
                item.state,
                item.object.kind,
                short(item.study_instance_uid),
                short(item.object.sop_instance_uid),
                item.attempts,
                f"{(item.accepted_at or item.next_attempt_at).astimezone():%Y-%m-%d %H:%M:%S}",
                item.detail,
            )
            for item in found
        ],
    )

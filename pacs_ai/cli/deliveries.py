"""`deliveries`: the outbox, listed and changed from another process while the service runs."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Annotated

import typer
from pacs_ai_storage.database import Database
from pacs_ai_storage.outbox import Choice, Outbox
from pacs_ai_storage.records import Delivery, DeliveryState
from pacs_ai_storage.views import list_deliveries, objects_named

from pacs_ai.errors import NotFound
from pacs_ai.stores import now

from .options import ConfigOption, JsonOption, settings_of
from .output import print_json, print_table, short
from .stores import existing_database, one_study

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
    choice = Choice(node=node)
    if name is None:
        return choice
    with database.read() as connection:
        found = objects_named(connection, name)
    if len(found) == 1:
        return replace(choice, sop_instance_uid=found[0])
    if found:
        message = f"{name} may be any of {len(found)} objects: {', '.join(found[:5])}"
        raise NotFound(message)
    return replace(choice, study_instance_uid=one_study(database, name))


def _say(changed: int, done: str, wanted: str) -> None:
    if not changed:
        message = f"no delivery of those {wanted}; `pacs-ai deliveries list` shows where each stands"
        raise NotFound(message)
    typer.echo(f"{changed} {'delivery' if changed == 1 else 'deliveries'} {done}")


def deliveries_list(
    config: ConfigOption = None,
    node: Annotated[str | None, typer.Option(help="Only this node.")] = None,
    state: Annotated[DeliveryState | None, typer.Option(help="Only this state.", case_sensitive=False)] = None,
    limit: Annotated[int, typer.Option(min=1)] = 100,
    as_json: JsonOption = False,
) -> None:
    """What went to which node, what waits, and why."""
    with existing_database(settings_of(config)) as database, database.read() as connection:
        found = list_deliveries(connection, node=node, state=state, limit=limit)
    if as_json:
        print_json(delivery_line(item) for item in found)
    else:
        print_deliveries(found)


def print_deliveries(found: Sequence[Delivery]) -> None:
    """One row for each delivery."""
    print_table(
        ("node", "state", "kind", "object", "attempts", "next or accepted", "status"),
        [
            (
                item.node,
                item.state,
                item.object.kind,
                short(item.object.sop_instance_uid),
                item.attempts,
                f"{(item.accepted_at or item.next_attempt_at).astimezone():%Y-%m-%d %H:%M:%S}",
                item.detail,
            )
            for item in found
        ],
    )


def delivery_line(item: Delivery) -> dict[str, object]:
    """A delivery as one JSON object."""
    return {
        "node": item.node,
        "state": item.state,
        "kind": item.object.kind,
        "sop_instance_uid": item.object.sop_instance_uid,
        "study_instance_uid": item.study_instance_uid,
        "attempts": item.attempts,
        "queued_at": item.queued_at.isoformat(),
        "next_attempt_at": item.next_attempt_at.isoformat(),
        "sent_at": item.sent_at.isoformat() if item.sent_at else None,
        "accepted_at": item.accepted_at.isoformat() if item.accepted_at else None,
        "delivered_as": asdict(item.delivered_as) if item.delivered_as else None,
        "detail": item.detail,
    }

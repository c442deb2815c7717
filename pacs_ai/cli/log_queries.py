"""`audit query` and `audit show`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import typer
from pacs_ai_storage import audit
from pacs_ai_storage.records import AuditEvent

from .options import ConfigOption, JsonOption, settings_of
from .output import print_json, print_table, short
from .stores import StudyArgument, existing_database, one_study

_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M"]
Time = Annotated[datetime | None, typer.Option(formats=_FORMATS, help="Local time.")]


def add_to(app: typer.Typer) -> None:
    """The verbs are part of the command."""
    log = typer.Typer(help="The audit log: what came, what was said of it, where it went.", no_args_is_help=True)
    log.command("query")(audit_query)
    log.command("show")(audit_show)
    app.add_typer(log, name="audit")


def audit_query(  # noqa: PLR0913 - one parameter for each option
    config: ConfigOption = None,
    since: Time = None,
    until: Time = None,
    study: Annotated[str | None, typer.Option(help="Study Instance UID.")] = None,
    instance: Annotated[str | None, typer.Option(help="SOP Instance UID.")] = None,
    action: Annotated[str | None, typer.Option(help="receive, claim, read, refuse, repair, build, deliver, …")] = None,
    outcome: Annotated[str | None, typer.Option(help="positive, negative, NOT_CHEST, accepted, READY, …")] = None,
    actor: Annotated[str | None, typer.Option(help="Calling AE title, node name or service.")] = None,
    text: Annotated[str | None, typer.Option(help="Any part of actor or detail.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """The newest events that match, oldest of them first."""
    wanted = audit.AuditFilter(
        since=since.astimezone() if since else None,
        until=until.astimezone() if until else None,
        study_instance_uid=study,
        sop_instance_uid=instance,
        action=action,
        outcome=outcome,
        actor=actor,
        text=text,
        limit=limit,
    )
    with existing_database(settings_of(config)) as database, database.read() as connection:
        _print(audit.query(connection, wanted), as_json=as_json)


def audit_show(
    name: StudyArgument,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Every event of one study, oldest first."""
    with existing_database(settings_of(config)) as database:
        study = one_study(database, name)
        with database.read() as connection:
            events = audit.trail(connection, study)
    _print(events, as_json=as_json)


def _print(events: Sequence[AuditEvent], *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "id": event.identity,
                "at": event.at.isoformat(),
                "actor": event.actor,
                "action": event.action,
                "study_instance_uid": event.study_instance_uid,
                "sop_instance_uid": event.sop_instance_uid,
                "outcome": event.outcome,
                "detail": event.detail,
            }
            for event in events
        )
        return
    print_table(
        ("id", "at", "actor", "action", "outcome", "study", "instance", "detail"),
        [
            (
                event.identity,
                f"{event.at.astimezone():%Y-%m-%d %H:%M:%S}",
                event.actor,
                event.action,
                event.outcome,
                short(event.study_instance_uid),
                short(event.sop_instance_uid),
                event.detail,
            )
            for event in events
        ],
    )

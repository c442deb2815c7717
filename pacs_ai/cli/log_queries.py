"""`audit query`, `audit show` and `audit replay`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

import typer
from pacs_ai_storage import audit
from pacs_ai_storage.readings import readings_of
from pacs_ai_storage.records import AuditEvent, KeptReading

from .options import ConfigOption, JsonOption, settings_of
from .output import print_json, print_table, short
from .readings import reading_line
from .replaying import TIME_FORMATS, audit_replay
from .stores import StudyArgument, existing_database, one_study

Time = Annotated[datetime | None, typer.Option(formats=TIME_FORMATS, help="Local time.")]


def add_to(app: typer.Typer) -> None:
    """The verbs are part of the command."""
    log = typer.Typer(help="The audit log: what came, what was said of it, where it went.", no_args_is_help=True)
    log.command("query")(audit_query)
    log.command("show")(audit_show)
    log.command("replay")(audit_replay)
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
            kept = readings_of(connection, study)
    _print(events, as_json=as_json, readings={(item.said.sop_instance_uid, item.read_at): item for item in kept})


def _print(
    events: Sequence[AuditEvent],
    *,
    as_json: bool,
    readings: Mapping[tuple[str | None, datetime], KeptReading] | None = None,
) -> None:
    """With readings, those events tell all of theirs that were written with them."""
    readings = readings or {}
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
                **(
                    {"reading": reading_line(found)}
                    if event.action in {"read", "refuse"}
                    and (found := readings.get((event.sop_instance_uid, event.at)))
                    else {}
                ),
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

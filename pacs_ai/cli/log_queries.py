"""`audit query`, `audit show` and `audit replay`."""

import sys
from dataclasses import asdict, replace
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

import typer
from pacs_ai_storage import audit
from pacs_ai_storage.readings import readings_of

from pacs_ai.errors import WrongUsage
from pacs_ai.stores import now

from .events import Format, Readings, print_events, print_rows
from .options import ConfigOption, JsonOption, settings_of
from .replaying import audit_replay
from .stores import StudyArgument, existing_database, one_study
from .times import Time, instant

_COUNTED = ("calling_ae_title", "reason", "instances")
_EVERY = 1_000_000
_EVENING, _MORNING = timedelta(hours=-6), timedelta(hours=8)
Probability = Annotated[float | None, typer.Option(min=0, max=1, help="Of a reading.")]


class Question(StrEnum):
    """Queries that people ask, by name."""

    UNCONFIRMED_POSITIVES = "unconfirmed-positives"
    STUDY = "study"
    NOT_ANALYSED = "not-analysed"


def add_to(app: typer.Typer) -> typer.Typer:
    """The verbs are part of the command; returns their group, for more of them."""
    log = typer.Typer(help="The audit log: what came, what was said of it, where it went.", no_args_is_help=True)
    log.command("query")(audit_query)
    log.command("show")(audit_show)
    log.command("replay")(audit_replay)
    app.add_typer(log, name="audit")
    return log


def audit_query(  # noqa: PLR0913 - one parameter for each option
    config: ConfigOption = None,
    since: Time = None,
    until: Time = None,
    study: Annotated[str | None, typer.Option(help="Study Instance UID.")] = None,
    instance: Annotated[str | None, typer.Option(help="SOP Instance UID.")] = None,
    accession: Annotated[str | None, typer.Option(help="Accession number.")] = None,
    patient: Annotated[str | None, typer.Option(help="Patient ID, exactly; '-' reads it from stdin.")] = None,
    action: Annotated[str | None, typer.Option(help="receive, claim, read, refuse, repair, build, deliver, …")] = None,
    outcome: Annotated[str | None, typer.Option(help="positive, negative, NOT_CHEST, accepted, READY, …")] = None,
    min_probability: Probability = None,
    max_probability: Probability = None,
    model: Annotated[str | None, typer.Option(help="Name and version of the network, as in 'pneumonia 1.0'.")] = None,
    calling_ae: Annotated[str | None, typer.Option(help="Of studies that this AE title has sent.")] = None,
    node: Annotated[str | None, typer.Option(help="What went to this node, and what it answered.")] = None,
    actor: Annotated[str | None, typer.Option(help="Calling AE title, node name, service or operator.")] = None,
    text: Annotated[str | None, typer.Option(help="Any part of actor or detail.")] = None,
    named: Annotated[Question | None, typer.Option(help="A question that people ask; other options narrow it.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 100,
    form: Annotated[Format, typer.Option("--format", help="How it is printed.")] = Format.TABLE,
    as_json: JsonOption = False,
) -> None:
    """The newest events that match, oldest of them first."""
    wanted = audit.AuditFilter(
        since=instant(since),
        until=instant(until),
        study_instance_uid=study,
        sop_instance_uid=instance,
        accession_number=accession,
        patient_id=sys.stdin.readline().strip() if patient == "-" else patient,
        action=action,
        outcome=outcome,
        least_probability=min_probability,
        greatest_probability=max_probability,
        model=model,
        calling_ae_title=calling_ae,
        node=node,
        actor=actor,
        text=text,
        limit=limit,
    )
    form = Format.JSON if as_json else form
    with existing_database(settings_of(config)) as database, database.read() as connection:
        if named is Question.NOT_ANALYSED:
            print_rows([asdict(row) for row in audit.not_analysed(connection, wanted)], form, columns=_COUNTED)
        else:
            print_events(audit.query(connection, _asked(named, wanted)), form)


def _asked(named: Question | None, wanted: audit.AuditFilter) -> audit.AuditFilter:
    if named is Question.UNCONFIRMED_POSITIVES:
        night = wanted if wanted.since or wanted.until else _last_night(wanted)
        return replace(night, action="read", outcome="positive", is_unconfirmed=True)
    if named is Question.STUDY:
        if not wanted.study_instance_uid and not wanted.accession_number:
            message = "--named study needs --study or --accession"
            raise WrongUsage(message)
        return replace(wanted, limit=_EVERY)
    return wanted


def _last_night(wanted: audit.AuditFilter) -> audit.AuditFilter:
    """From six in the evening of yesterday to eight of this morning, local time."""
    midnight = now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    return replace(wanted, since=midnight + _EVENING, until=midnight + _MORNING)


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
    readings: Readings = {(item.said.sop_instance_uid, item.read_at): item for item in kept}
    print_events(events, Format.JSON if as_json else Format.TABLE, readings)

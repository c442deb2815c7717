"""`audit query`, `audit show` and `audit replay`."""

import sys
from dataclasses import asdict
from typing import Annotated

import typer
from pacs_ai_storage import audit
from pacs_ai_storage.database import Database
from pacs_ai_storage.named_queries import NamedQuery, NamesAPatient, save_query
from pacs_ai_storage.readings import readings_of
from pacs_ai_storage.records import AuditEvent

from pacs_ai.asking import Answer, answer, must_say_something, note_use, put, reason_of_nothing
from pacs_ai.errors import WrongUsage
from pacs_ai.naming import one_study
from pacs_ai.questions import BuiltIn, Question, may_be_saved
from pacs_ai.stores import now

from . import named_queries
from .events import Format, Readings, print_events, print_rows
from .options import MOST_ROWS, ConfigOption, JsonOption, settings_of
from .replaying import audit_replay
from .stores import StudyArgument, existing_database
from .times import Time, instant

_COUNTED = ("calling_ae_title", "reason", "instances")
Probability = Annotated[float | None, typer.Option(min=0, max=1, help="Of a reading.")]


def add_to(app: typer.Typer) -> typer.Typer:
    """The verbs are part of the command; returns their group, for more of them."""
    log = typer.Typer(help="The audit log: what came, what was said of it, where it went.", no_args_is_help=True)
    log.command("query")(audit_query)
    log.command("show")(audit_show)
    log.command("replay")(audit_replay)
    named_queries.add_to(log)
    app.add_typer(log, name="audit")
    return log


def audit_query(  # noqa: PLR0913 - one parameter for each option
    config: ConfigOption = None,
    since: Time = None,
    until: Time = None,
    study: Annotated[str | None, typer.Option(help="Study Instance UID, the end of it, or accession number.")] = None,
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
    named: Annotated[str | None, typer.Option(help="A query of `audit named list`; other options narrow it.")] = None,
    save: Annotated[str | None, typer.Option(help="Keep what is asked under this name; a patient never.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, max=MOST_ROWS, help="The newest so many; else 100.")] = None,
    form: Annotated[Format, typer.Option("--format", help="How it is printed.")] = Format.TABLE,
    as_json: JsonOption = False,
) -> None:
    """The newest events that match, oldest of them first."""
    given = audit.AuditFilter(
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
    )
    settings = settings_of(config)
    with existing_database(settings) as database:
        must_say_something(given, lambda name: f"--{name.replace('_', '-')}")
        asked = put(database, given, limit, named)
        if save is not None:
            _keep(database, asked, save)
        found = answer(database, asked, now())
        if settings.audit.atna.is_on:
            # Before anything is shown: whoever reads has time to go away, as `head -1` does.
            note_use(database, now())
        if not found and (reason := reason_of_nothing(database, asked)):
            typer.echo(reason, err=True)
    _print(asked, found, Format.JSON if as_json else form)


def _keep(database: Database, asked: Question, name: str) -> None:
    may_be_saved(asked, name)
    try:
        save_query(database, NamedQuery(name=name, options=asked.given, saved_at=now()))
    except NamesAPatient as error:
        message = "an option, or the name, is the ID of a patient, which is never kept; nothing was saved"
        raise WrongUsage(message) from error


def _print(asked: Question, found: Answer, form: Format) -> None:
    if asked.built_in is BuiltIn.NOT_ANALYSED:
        print_rows([asdict(row) for row in found], form, columns=_COUNTED)
    else:
        print_events([row for row in found if isinstance(row, AuditEvent)], form)


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

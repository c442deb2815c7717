"""`worklist` and `studies`: plain selects, printed. None of them loads the network."""

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.records import StudyRecord, StudyState
from pacs_ai_storage.views import StudyFilter, StudyView, list_studies, show_study, unread_studies

from pacs_ai.lines.studies import entry_line, record_line, study_line, waiting_study
from pacs_ai.naming import one_study
from pacs_ai.policies import priority_policy
from pacs_ai.questions import must_be_in_order
from pacs_ai.requeueing import requeue
from pacs_ai.stores import now
from pacs_ai.worklist import WorklistEntry, order

from .deliveries import print_deliveries
from .options import MOST_ROWS, ConfigOption, JsonOption, settings_of
from .output import percent, plain, print_json, print_table, short, table_of
from .stores import StudyArgument, existing_database
from .times import Time, instant

if TYPE_CHECKING:
    from rich.console import RenderableType

_COLUMNS = ("", "priority", "outcome", "probability", "waiting", "accession", "study", "why")
_REFRESH_SECONDS = 2.0


def add_to(app: typer.Typer) -> None:
    """The verbs are part of the command."""
    app.command()(worklist)
    studies = typer.Typer(
        help="Studies: listed, shown with all that is known, marked as read, or read again.", no_args_is_help=True
    )
    studies.command("list")(studies_list)
    studies.command("show")(studies_show)
    studies.command("mark-read")(studies_mark_read)
    studies.command("requeue")(studies_requeue)
    app.add_typer(studies, name="studies")


def worklist(
    config: ConfigOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Stay and refresh until Ctrl-C.")] = False,
    as_json: JsonOption = False,
) -> None:
    """The reading order of the studies not yet read, with its reasons; `studies mark-read` takes one off."""
    settings = settings_of(config)
    policy = priority_policy(settings)
    with existing_database(settings) as database:

        def entries() -> list[WorklistEntry]:
            with database.read() as connection:
                return order([waiting_study(study) for study in unread_studies(connection)], policy, now())

        if as_json:
            print_json(entry_line(entry) for entry in entries())
        elif watch:
            _watch(entries)
        else:
            print_table(_COLUMNS, [_entry_row(entry, now()) for entry in entries()])


def _watch(entries: Callable[[], list[WorklistEntry]]) -> None:
    from rich.console import Console  # noqa: PLC0415 - scripts do not wait for it
    from rich.live import Live  # noqa: PLC0415

    console = Console()

    def table() -> "RenderableType":
        at = now()
        rows = [_entry_row(entry, at) for entry in entries()]
        title = f"Reading order at {at.astimezone():%H:%M:%S}"
        return table_of(_COLUMNS, rows, width=console.width, title=title)

    try:
        with Live(table(), console=console, auto_refresh=False) as live:
            while True:
                time.sleep(_REFRESH_SECONDS)
                live.update(table(), refresh=True)
    except KeyboardInterrupt:
        return


def _entry_row(entry: WorklistEntry, at: datetime) -> tuple[object, ...]:
    study = entry.study
    waited = f"{(at - study.received_at).total_seconds() / 60:.0f} min"
    reasons = "; ".join(study.reasons)
    return (
        entry.place,
        study.level,
        study.outcome,
        percent(study.probability),
        waited,
        study.accession_number,
        short(study.study_instance_uid),
        f"waited past its limit; {reasons}" if entry.is_overdue else reasons,
    )


def studies_list(  # noqa: PLR0913 - one parameter for each option
    config: ConfigOption = None,
    state: Annotated[StudyState | None, typer.Option(help="Only this state.", case_sensitive=False)] = None,
    since: Time = None,
    until: Time = None,
    accession: Annotated[str | None, typer.Option(help="Accession number.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=MOST_ROWS, help="The newest so many.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """The newest studies that match, read or not, oldest of them first; times are those of the first instance."""
    wanted = StudyFilter(state=state, since=instant(since), until=instant(until), accession_number=accession)
    must_be_in_order(wanted.since, wanted.until)
    with existing_database(settings_of(config)) as database, database.read() as connection:
        found = list_studies(connection, wanted, limit=limit)
    if as_json:
        print_json(record_line(study) for study in found)
    else:
        print_table(
            ("received", "state", "outcome", "probability", "accession", "study", "from", "reason"),
            [_study_row(study) for study in found],
        )


def _study_row(study: StudyRecord) -> tuple[object, ...]:
    return (
        f"{study.received_at.astimezone():%Y-%m-%d %H:%M:%S}",
        study.state,
        study.outcome,
        percent(study.probability),
        study.accession_number,
        short(study.study_instance_uid),
        study.calling_ae_title,
        study.reason,
    )


def studies_show(
    name: StudyArgument,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Everything known of a study: instances, outcomes, repairs of headers, objects, deliveries."""
    settings = settings_of(config)
    with existing_database(settings) as database:
        study = one_study(database, name)
        with database.read() as connection:
            view = show_study(connection, study)
    assert view is not None
    if as_json:
        print_json([study_line(view, settings.data)])
    else:
        _print_study(view, settings.data)


def _print_study(view: StudyView, data: Path) -> None:
    study = view.study
    read_at = f"{study.read_at.astimezone():%Y-%m-%d %H:%M:%S}" if study.read_at else "not by anybody yet"
    for name, text in (
        ("study", study.study_instance_uid),
        ("accession", study.accession_number or "-"),
        ("state", f"{study.state}, revision {study.revision}{f' ({study.reason})' if study.reason else ''}"),
        ("outcome", f"{study.outcome or '-'} {percent(study.probability)}"),
        ("priority", f"{study.priority or '-'}: {'; '.join(study.priority_reasons)}"),
        ("received", f"{study.received_at.astimezone():%Y-%m-%d %H:%M:%S} from {study.calling_ae_title}"),
        ("read", read_at),
    ):
        typer.echo(f"{name:<9} {plain(text)}")
    said = {item.sop_instance_uid: item for item in view.outcomes}
    print_table(
        ("instance", "outcome", "probability", "reason", "detail"),
        [
            (short(item.sop_instance_uid), found.outcome, percent(found.probability), found.reason, found.detail)
            if (found := said.get(item.sop_instance_uid))
            else (short(item.sop_instance_uid), "", "", "", "not read yet")
            for item in view.instances
        ],
    )
    for event in view.repairs:
        typer.echo(f"repaired  {event.sop_instance_uid}: {plain(event.detail)}")
    for item in view.objects:
        typer.echo(f"{item.kind:<9} {item.sop_instance_uid} in {data / 'instances' / item.file.path}")
    print_deliveries(view.deliveries)


def studies_mark_read(name: StudyArgument, config: ConfigOption = None) -> None:
    """A person has read the study; it leaves the worklist until a late image reopens it."""
    with existing_database(settings_of(config)) as database:
        Ledger(database, actor="operator").mark_read(one_study(database, name), now())
    typer.echo("marked as read")


def studies_requeue(
    name: StudyArgument,
    config: ConfigOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also one that was read; its results are new objects.")
    ] = False,
) -> None:
    """A FAILED study is read again; with --force any study, and its new report names the one before."""
    with existing_database(settings_of(config)) as database:
        requeue(Ledger(database, actor="operator"), one_study(database, name), now(), force=force)
    typer.echo("queued again")

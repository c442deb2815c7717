"""Events of the audit log as they are printed: a table, JSON lines, CSV (RFC 4180) or Parquet."""

import csv
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum

from pacs_ai_storage.records import AuditEvent, KeptReading

from pacs_ai.errors import WrongUsage
from pacs_ai.lines.events import COLUMNS, WHOLE_COLUMNS, event_line, whole_event_line
from pacs_ai.lines.readings import reading_line

from .output import print_json, print_table, short
from .parquet import write_parquet

_BEGINS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")
Readings = Mapping[tuple[str | None, datetime], KeptReading]


class Format(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


def print_events(events: Sequence[AuditEvent], form: Format, readings: Readings | None = None) -> None:
    """What happened, when, by whom, and what came of it; as JSON with all of the reading that an event tells of."""
    if form is Format.TABLE:
        columns = ("id", "at", "actor", "action", "outcome", "study", "instance", "detail")
        print_table(columns, [_row(event) for event in events])
    elif form is Format.JSON:
        print_json({**event_line(event), **_reading(event, readings or {})} for event in events)
    elif form is Format.CSV:
        print_rows((event_line(event) for event in events), form, columns=COLUMNS)
    else:
        print_whole_events(events, form)


def print_whole_events(events: Iterable[AuditEvent], form: Format) -> None:
    """Every column of the log, hashes included."""
    print_rows((whole_event_line(event) for event in events), form, columns=WHOLE_COLUMNS)


def print_rows(lines: Iterable[Mapping[str, object]], form: Format, *, columns: Sequence[str]) -> None:
    """Rows that have these columns, in their order."""
    if form is Format.JSON:
        print_json(lines)
        return
    if form is Format.PARQUET:
        if sys.stdout.isatty():
            message = "Parquet is no text: send it to a file, as in `… --format parquet > events.parquet`"
            raise WrongUsage(message)
        write_parquet(lines, columns, sys.stdout.buffer)
        return
    rows = ([line[name] for name in columns] for line in lines)
    if form is Format.TABLE:
        print_table(columns, rows)
        return
    writer = csv.writer(sys.stdout)
    writer.writerow(columns)
    writer.writerows(map(_plain, row) for row in rows)


def _plain(cell: object) -> object:
    """No formula to a spreadsheet: an AE title, which any peer chooses, may look like one."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_BEGINS_A_FORMULA) else cell


def _row(event: AuditEvent) -> tuple[object, ...]:
    return (
        event.identity,
        f"{event.at.astimezone():%Y-%m-%d %H:%M:%S}",
        event.actor,
        event.action,
        event.outcome,
        short(event.study_instance_uid),
        short(event.sop_instance_uid),
        event.detail,
    )


def _reading(event: AuditEvent, readings: Readings) -> dict[str, object]:
    """The reading that was written with the event."""
    if event.action not in {"read", "refuse"}:
        return {}
    found = readings.get((event.sop_instance_uid, event.at))
    return {} if found is None else {"reading": reading_line(found)}

"""Questions that are put to the audit log of a database, and its answers."""

from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import datetime

from pacs_ai_storage import audit
from pacs_ai_storage.audit import AuditFilter, NotAnalysed
from pacs_ai_storage.database import Database
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.named_queries import saved_queries
from pacs_ai_storage.records import AuditEvent

from .errors import WrongUsage
from .naming import study_of_the_log
from .questions import BuiltIn, Options, Question, narrowed, question

_OPTIONS = {
    "study_instance_uid": "study",
    "sop_instance_uid": "instance",
    "accession_number": "accession",
    "patient_id": "patient",
    "calling_ae_title": "calling_ae",
}
Answer = list[AuditEvent] | list[NotAnalysed]


def must_say_something(given: AuditFilter, spelt: Callable[[str], str] = str) -> None:
    """Raises WrongUsage where an option asks for an empty word; it names them as they are `spelt` where they stand."""
    empty = [spelt(_OPTIONS.get(name, name)) for name, value in asdict(given).items() if value == ""]
    if empty:
        message = f"empty: {', '.join(empty)}; say what to look for, or leave it out"
        raise WrongUsage(message)


def put(database: Database, given: AuditFilter, limit: int | None, named: str | None) -> Question:
    """The question of these options, and of the query of that name; raises WrongUsage where there is none.

    An option that is empty is a mistake, as of a pipe that broke: it asks for nothing, and never for everything. A
    study is named as everywhere; NotFound where nothing has that name, or several have.
    """
    must_say_something(given)
    if given.study_instance_uid is not None:
        given = replace(given, study_instance_uid=study_of_the_log(database, given.study_instance_uid))
    saved: dict[str, Options] = {}
    if named is not None:
        with database.read() as connection:
            saved = {item.name: item.options for item in saved_queries(connection)}
    return question(given, limit, named, saved)


def answer(database: Database, asked: Question, now: datetime) -> Answer:
    """Events, oldest of them first, or a count; raises WrongUsage where the question leaves something out."""
    wanted = narrowed(asked, now)
    with database.read() as connection:
        if asked.built_in is BuiltIn.NOT_ANALYSED:
            return audit.not_analysed(connection, wanted)
        return audit.query(connection, wanted)


def reason_of_nothing(database: Database, asked: Question) -> str:
    """Which of the words that were looked for no event of the whole log has; empty where each has some."""
    with database.read() as connection:
        never = audit.never_said(connection, asked.wanted)
    return "; ".join(f"no event of this log has the {option} {word!r}" for option, word in never.items())


def parted(found: Answer) -> tuple[list[AuditEvent], list[NotAnalysed]]:
    """The events, newest first, and the counts: every answer has one of the two."""
    events = [row for row in found if isinstance(row, AuditEvent)]
    return events[::-1], [row for row in found if isinstance(row, NotAnalysed)]


def note_use(database: Database, now: datetime) -> None:
    """The audit log says that it was looked into (Audit Log Used, PS3.15 A.5.3.2), and not what was looked for."""
    Ledger(database).note(AuditEvent(at=now, actor="operator", action="query-log"))

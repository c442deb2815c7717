"""The audit log: appended in the transaction of the change it tells of, read by plain selects."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, ScalarSelect, and_, exists, func, insert, or_, select, update

from .chain import Link, chained
from .records import AuditEvent, DeliveryState
from .schema import audit_events, audit_head, audit_text, deliveries, instances, objects, readings, storable, studies

# What results of an instance do not carry as it has it.
REPAIR = "repair"
# A radiograph that was not analysed; the outcome is the reason.
REFUSE = "refuse"
# How the detail of `resend` begins for an instance that had gone and is kept from now on.
KEPT_AGAIN = "it had gone; kept again"
# Whose actor is a calling AE title, which may be that of a node.
_OF_MODALITIES = ("receive", "resend", "refuse-receive")
_AT_ONCE = 5000
_TRIGRAM, _MANY = 3, 4_000
_COLLECTED = "pacs-ai: events of this transaction"
_TOLD = [item.name for item in fields(AuditEvent) if item.name not in {"identity", "previous_sha256", "sha256"}]
# Made once: each change of a study appends, and a modality waits for most of them.
_HEAD = select(audit_head.c.sequence, audit_head.c.sha256).with_for_update()
_APPEND = insert(audit_events)
_MOVE_HEAD = update(audit_head)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """What to look for; None asks for anything."""

    since: datetime | None = None
    until: datetime | None = None
    study_instance_uid: str | None = None
    sop_instance_uid: str | None = None
    action: str | None = None
    outcome: str | None = None
    actor: str | None = None
    text: str | None = None
    accession_number: str | None = None
    patient_id: str | None = field(default=None, repr=False)
    least_probability: float | None = None
    greatest_probability: float | None = None
    model: str | None = None
    calling_ae_title: str | None = None
    node: str | None = None
    is_unconfirmed: bool = False
    before: tuple[datetime, int] | None = None  # time and number of an event: older ones, as a page goes on after it
    limit: int = 100


@contextmanager
def collected(connection: Connection) -> Iterator[None]:
    """What the block appends is written to the end of the chain when it ends, and nothing when it raises."""
    held = connection.info
    events: list[AuditEvent] = []
    held[_COLLECTED] = events
    try:
        yield
        if events:
            _write(connection, events)
    finally:
        del held[_COLLECTED]


def append(connection: Connection, *events: AuditEvent) -> None:
    """The events are in the log when the caller's transaction ends; raises KeyError outside of Database.change."""
    connection.info[_COLLECTED].extend(events)


def hold_end(connection: Connection) -> None:
    """Nobody else can append until the transaction ends, so that whoever comes so far could."""
    connection.execute(_HEAD).first()


def _write(connection: Connection, events: Sequence[AuditEvent]) -> None:
    columns = _columns(connection, events)
    last = connection.execute(_HEAD).one()
    rows = chained(columns, Link(sequence=last.sequence, sha256=last.sha256))
    connection.execute(_APPEND, rows)
    connection.execute(_MOVE_HEAD, {"sequence": rows[-1]["id"], "sha256": rows[-1]["sha256"]})


def query(connection: Connection, wanted: AuditFilter) -> list[AuditEvent]:
    """The newest `limit` events that match, oldest of them first."""
    column = audit_events.c
    # The numbers first: that query can often be answered from an index alone, whatever the events weigh.
    conditions = [*_conditions(wanted), *_rare(connection, wanted.text)]
    newest = select(column.id).where(*conditions).order_by(column.at.desc(), column.id.desc())
    numbers = newest.limit(wanted.limit).subquery()
    statement = select(audit_events).join(numbers, numbers.c.id == column.id).order_by(column.at, column.id)
    return events_of(connection.execute(statement))


def never_said(connection: Connection, wanted: AuditFilter) -> dict[str, str]:
    """What is looked for that no event of the whole log has, by the option that names it: a misspelt word, perhaps."""
    column = audit_events.c
    words = {
        "action": (column.action, wanted.action),
        "outcome": (column.outcome, wanted.outcome),
        "model": (column.model, wanted.model),
        "calling AE title": (column.calling_ae_title, wanted.calling_ae_title),
        "node": (column.actor, wanted.node),
        "actor": (column.actor, wanted.actor),
    }
    return {
        option: word
        for option, (said, word) in words.items()
        if word is not None
        and connection.execute(select(column.id).where(said == storable(word)).limit(1)).first() is None
    }


def following(connection: Connection, number: int, limit: int) -> list[AuditEvent]:
    """The first `limit` events after that number, in the order of the chain."""
    column = audit_events.c.id
    return events_of(connection.execute(select(audit_events).where(column > number).order_by(column).limit(limit)))


def newest(connection: Connection) -> int:
    """The number of the last event that was written; 0 where there is none."""
    return connection.execute(select(audit_head.c.sequence)).scalar() or 0


def everything(connection: Connection, wanted: AuditFilter) -> Iterator[AuditEvent]:
    """Every event that matches, in the order of the chain; `limit` does not count."""
    number = audit_events.c.id
    statement = select(audit_events).where(*_conditions(wanted)).order_by(number).limit(_AT_ONCE)
    page = connection.execute(statement).all()
    while page:
        yield from events_of(page)
        page = connection.execute(statement.where(number > page[-1].id)).all()


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAnalysed:
    """How many instances of a station were not analysed for one reason."""

    calling_ae_title: str
    reason: str
    instances: int


def not_analysed(connection: Connection, wanted: AuditFilter) -> list[NotAnalysed]:
    """How many instances were refused in the time, by station and reason, the most frequent first.

    One that was read again, because another image of its study came late, is counted once for its reason.
    """
    column = audit_events.c
    station, number = func.coalesce(column.calling_ae_title, ""), func.count(column.sop_instance_uid.distinct())
    statement = (
        select(station.label("station"), column.outcome, number.label("instances"))
        .where(*_conditions(replace(wanted, action=REFUSE)))
        .group_by(station, column.outcome)
        .order_by(number.desc(), station, column.outcome)
    )
    return [
        NotAnalysed(calling_ae_title=row.station, reason=row.outcome, instances=row.instances)
        for row in connection.execute(statement)
    ]


def trail(connection: Connection, study_instance_uid: str) -> list[AuditEvent]:
    """Every event of a study, oldest first."""
    statement = select(audit_events).where(audit_events.c.study_instance_uid == study_instance_uid)
    return events_of(connection.execute(statement.order_by(audit_events.c.id)))


def latest_repairs(connection: Connection, study_instance_uid: str) -> list[AuditEvent]:
    """The last event about repairs of each instance of a study."""
    events = query(connection, AuditFilter(study_instance_uid=study_instance_uid, action=REPAIR, limit=100_000))
    return list({event.sop_instance_uid: event for event in events}.values())


def _conditions(wanted: AuditFilter) -> list[ColumnElement[bool]]:
    column = audit_events.c
    equal = {
        column.study_instance_uid: wanted.study_instance_uid,
        column.sop_instance_uid: wanted.sop_instance_uid,
        # Most outcomes are rarer than their action: beside one, the action is no way into the log.
        column.action.concat("") if wanted.outcome is not None else column.action: wanted.action,
        column.outcome: wanted.outcome,
        column.actor: wanted.actor,
        column.model: wanted.model,
        column.calling_ae_title: wanted.calling_ae_title,
    }
    conditions = [
        *(named == storable(value) for named, value in equal.items() if value is not None),
        column.probability.is_not(None) if _asks_for_probability(wanted) else None,
        column.at >= wanted.since if wanted.since else None,
        column.at < wanted.until if wanted.until else None,
        _older(*wanted.before) if wanted.before else None,
        column.probability >= wanted.least_probability if wanted.least_probability is not None else None,
        column.probability <= wanted.greatest_probability if wanted.greatest_probability is not None else None,
        _of_studies(instances.c.accession_number == wanted.accession_number)
        if wanted.accession_number is not None
        else None,
        _of_studies(instances.c.patient_id == wanted.patient_id) if wanted.patient_id is not None else None,
        and_(column.actor == wanted.node, column.action.not_in(_OF_MODALITIES)) if wanted.node is not None else None,
        _unconfirmed() if wanted.is_unconfirmed else None,
        _mentions(wanted.text) if wanted.text else None,
    ]
    return [condition for condition in conditions if condition is not None]


def _older(at: datetime, number: int) -> ColumnElement[bool]:
    column = audit_events.c
    # The first condition is a way into the index, the second leaves out what is of the same moment.
    return and_(column.at <= at, or_(column.at < at, column.id < number))


def _asks_for_probability(wanted: AuditFilter) -> bool:
    return wanted.least_probability is not None or wanted.greatest_probability is not None


def _of_studies(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return audit_events.c.study_instance_uid.in_(select(instances.c.study_instance_uid).where(condition))


def _unconfirmed() -> ColumnElement[bool]:
    """No node has an object of this reading or a later one; ACCEPTED is proved where the node has `proof`."""
    accepted = and_(
        deliveries.c.study_instance_uid == audit_events.c.study_instance_uid,
        deliveries.c.state == DeliveryState.ACCEPTED,
        # What was accepted of an earlier revision says nothing of this one, also where it was sent again since.
        deliveries.c.queued_at >= audit_events.c.at,
        objects.c.sop_instance_uid == deliveries.c.sop_instance_uid,
        objects.c.revision >= func.coalesce(_revision_of_reading(), 0),
    )
    return ~exists().where(accepted)


def _revision_of_reading() -> ScalarSelect[int]:
    """None for a reading of a version that did not keep it yet."""
    this = and_(readings.c.sop_instance_uid == audit_events.c.sop_instance_uid, readings.c.read_at == audit_events.c.at)
    return select(func.max(readings.c.revision)).where(this).correlate(audit_events).scalar_subquery()


def _mentions(text: str) -> ColumnElement[bool]:
    return or_(
        audit_events.c.detail.icontains(text, autoescape=True), audit_events.c.actor.icontains(text, autoescape=True)
    )


def _rare(connection: Connection, text: str | None) -> list[ColumnElement[bool]]:
    """A shorter way to the events that mention a text that few do; a text of many is soon met on the plain way."""
    if not text or len(text) < _TRIGRAM or not _has_trigrams(connection):
        return []
    # In any order and in either column: what matches too much is left out by the plain condition.
    parts = {text[start : start + _TRIGRAM].replace('"', '""') for start in range(len(text) - _TRIGRAM + 1)}
    words = " AND ".join(f'"{part}"' for part in sorted(parts))
    found = select(audit_text.c.rowid).where(audit_text.c.audit_text.op("MATCH")(words)).limit(_MANY)
    numbers = connection.execute(found).scalars().all()
    return [] if len(numbers) == _MANY else [audit_events.c.id.in_(found.scalar_subquery())]


def _has_trigrams(connection: Connection) -> bool:
    if connection.dialect.name != "sqlite":
        return False
    return connection.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE name = 'audit_text'").first() is not None


def _columns(connection: Connection, events: Sequence[AuditEvent]) -> list[dict[str, object]]:
    stations = _stations(connection, events)
    columns = []
    for event in events:
        # As the database will have it: the hash is made of this.
        row: dict[str, object] = {name: storable(getattr(event, name)) for name in _TOLD}
        if event.calling_ae_title is None and event.study_instance_uid:
            row["calling_ae_title"] = stations.get(event.study_instance_uid)
        columns.append(row)
    return columns


def _stations(connection: Connection, events: Sequence[AuditEvent]) -> dict[str, str]:
    named = {event.study_instance_uid for event in events if event.calling_ae_title is None} - {None}
    if not named:
        return {}
    column = studies.c
    found = select(column.study_instance_uid, column.calling_ae_title).where(column.study_instance_uid.in_(named))
    return {row.study_instance_uid: row.calling_ae_title for row in connection.execute(found)}


def events_of(rows: Iterable[Row[Any]]) -> list[AuditEvent]:
    """Rows with the columns of the log, as events."""
    return [
        AuditEvent(
            identity=row.id,
            at=row.at,
            actor=row.actor,
            action=row.action,
            study_instance_uid=row.study_instance_uid,
            sop_instance_uid=row.sop_instance_uid,
            outcome=row.outcome,
            detail=row.detail,
            calling_ae_title=row.calling_ae_title,
            probability=row.probability,
            model=row.model,
            previous_sha256=row.previous_sha256,
            sha256=row.sha256,
        )
        for row in rows
    ]

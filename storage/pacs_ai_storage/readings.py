"""Every reading that was ever made, and with what; kept so that each can be made again and compared."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, insert, select

from . import audit
from .records import AuditEvent, ClaimedStudy, InstanceOutcome, KeptReading, Setup, SetupChange
from .rows import insert_new, instance_outcome, kept_reading, reading_row
from .schema import audit_events, instances, outcomes, readings, setups

SETUP = "setup"


def keep_readings(
    connection: Connection, claimed: ClaimedStudy, found: Sequence[InstanceOutcome], now: datetime
) -> None:
    """What was said in this revision stands beside what was said in those before."""
    rows = [reading_row(outcome, claimed, now) for outcome in found]
    if rows:
        connection.execute(insert(readings), rows)


def keep_setup(connection: Connection, setup: Setup, actor: str, now: datetime, detail: str) -> None:
    """The setup is known; an event is in the log unless the last event about setups names the same."""
    insert_new(connection, setups, {"sha256": setup.sha256, "document": setup.document})
    last = (
        select(audit_events.c.outcome).where(audit_events.c.action == SETUP).order_by(audit_events.c.id.desc()).limit(1)
    )
    if connection.execute(last).scalar() != setup.sha256:
        event = AuditEvent(at=now, actor=actor, action=SETUP, outcome=setup.sha256, detail=detail)
        audit.append(connection, event)


def said_of_gone(connection: Connection, study_instance_uid: str) -> tuple[InstanceOutcome, ...]:
    """What was last said of those instances of a study whose files are no longer kept."""
    statement = (
        select(outcomes)
        .join(instances, instances.c.sop_instance_uid == outcomes.c.sop_instance_uid)
        .where(outcomes.c.study_instance_uid == study_instance_uid, instances.c.gone_at.is_not(None))
        .order_by(outcomes.c.sop_instance_uid)
    )
    return tuple(instance_outcome(row) for row in connection.execute(statement))


def has_files(connection: Connection, study_instance_uid: str) -> bool:
    """Whether the file of any instance of the study is kept."""
    kept = (instances.c.study_instance_uid == study_instance_uid, instances.c.gone_at.is_(None))
    return connection.execute(select(instances.c.path).where(*kept).limit(1)).first() is not None


def readings_of(connection: Connection, study_instance_uid: str) -> list[KeptReading]:
    """Every reading of a study, by revision."""
    statement = (
        select(readings, setups.c.document)
        .join_from(readings, setups, readings.c.setup_sha256 == setups.c.sha256, isouter=True)
        .where(readings.c.study_instance_uid == study_instance_uid)
        .order_by(readings.c.revision, readings.c.read_at, readings.c.sop_instance_uid)
    )
    return [kept_reading(row) for row in connection.execute(statement)]


def setup_changes(connection: Connection) -> list[SetupChange]:
    """When services began to read with another setup than before, oldest first."""
    statement = (
        select(audit_events.c.at, setups.c.sha256, setups.c.document)
        .join_from(audit_events, setups, audit_events.c.outcome == setups.c.sha256)
        .where(audit_events.c.action == SETUP)
        .order_by(audit_events.c.id)
    )
    return [
        SetupChange(at=row.at, setup=Setup(sha256=row.sha256, document=row.document))
        for row in connection.execute(statement)
    ]


def studies_read_since(connection: Connection, since: datetime) -> list[str]:
    """The Study Instance UIDs of which an instance was read or refused at or after a time, in that order."""
    statement = (
        select(readings.c.study_instance_uid)
        .where(readings.c.read_at >= since)
        .order_by(readings.c.read_at, readings.c.study_instance_uid)
    )
    return list(dict.fromkeys(connection.scalars(statement)))

"""Plain selects for people and pages: the worklist, a study, the outbox."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from sqlalchemy import Connection, Row, false, select

from .audit import latest_repairs
from .delivery_rows import joined_deliveries
from .readings import readings_of
from .records import (
    AuditEvent,
    Delivery,
    DeliveryState,
    InstanceOutcome,
    KeptReading,
    ResultObject,
    StoredInstance,
    StudyRecord,
)
from .rows import delivery, instance_outcome, result_object, stored_instance, study_record
from .schema import deliveries, instances, objects, outcomes, storable, studies

# Of an accession number; the standard allows 16 characters.
_LONGEST_NAME = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyView:
    """Everything known of one study."""

    study: StudyRecord
    instances: tuple[StoredInstance, ...]
    outcomes: tuple[InstanceOutcome, ...]
    readings: tuple[KeptReading, ...]
    objects: tuple[ResultObject, ...]
    deliveries: tuple[Delivery, ...]
    repairs: tuple[AuditEvent, ...]


# What the reading order looks at: UID, accession number, state, time of arrival, outcome, probability, priority, and
# its reasons, each a line. The row itself: there are thousands, a copy of each takes as long as their order.
UnreadStudy: TypeAlias = Row[str, str, str, datetime, str | None, float | None, str | None, str | None]
_UNREAD = (
    select(
        studies.c.study_instance_uid,
        studies.c.accession_number,
        studies.c.state,
        studies.c.received_at,
        studies.c.outcome,
        studies.c.probability,
        studies.c.priority,
        studies.c.priority_reasons,
    )
    .where(studies.c.read_at.is_(None))
    .order_by(studies.c.received_at)
)


def unread_studies(connection: Connection) -> Sequence[UnreadStudy]:
    """The studies that nobody has marked as read, oldest first."""
    return connection.execute(_UNREAD).all()


def _may_be_named(name: str) -> bool:
    """Whether the name is one that can be looked for: an end of nothing is that of everything."""
    return 0 < len(name.removeprefix("…")) <= _LONGEST_NAME and name == storable(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """The UIDs of studies and of results that a person may mean by a name."""

    studies: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.studies or self.objects)


def named(connection: Connection, name: str, *, with_objects: bool) -> Named:
    """What the name is, or else the accession number of which studies, or else what ends with it.

    An accession number is the end of many a UID: it is none of those where a study has it.
    """
    if not _may_be_named(name):
        return Named()
    study, result = studies.c.study_instance_uid, objects.c.sop_instance_uid
    end = name.removeprefix("…")
    for of_studies, of_objects in (
        (study == name, result == name),
        (studies.c.accession_number == name, false()),
        (study.endswith(end, autoescape=True), result.endswith(end, autoescape=True)),
    ):
        found = Named(
            studies=tuple(connection.scalars(select(study).where(of_studies).order_by(study))),
            objects=tuple(connection.scalars(select(result).where(of_objects).order_by(result)))
            if with_objects
            else (),
        )
        if found:
            return found
    return Named()


def show_study(connection: Connection, study_instance_uid: str) -> StudyView | None:
    """One study with all that belongs to it; None when it is unknown."""
    row = connection.execute(select(studies).where(studies.c.study_instance_uid == study_instance_uid)).one_or_none()
    if row is None:
        return None
    return StudyView(
        study=study_record(row),
        instances=tuple(
            stored_instance(found)
            for found in connection.execute(
                select(instances)
                .where(instances.c.study_instance_uid == study_instance_uid)
                .order_by(instances.c.received_at, instances.c.sop_instance_uid)
            )
        ),
        outcomes=tuple(
            instance_outcome(found)
            for found in connection.execute(select(outcomes).where(outcomes.c.study_instance_uid == study_instance_uid))
        ),
        readings=tuple(readings_of(connection, study_instance_uid)),
        objects=tuple(
            result_object(found)
            for found in connection.execute(
                select(objects)
                .where(objects.c.study_instance_uid == study_instance_uid)
                .order_by(objects.c.revision, objects.c.kind)
            )
        ),
        deliveries=tuple(list_deliveries(connection, study_instance_uid=study_instance_uid)),
        repairs=tuple(latest_repairs(connection, study_instance_uid)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyFilter:
    """Which studies are meant; None asks for any. Times are those of the first instance, `until` is past the last."""

    state: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    accession_number: str | None = None


def list_studies(connection: Connection, wanted: StudyFilter, *, limit: int, skip: int = 0) -> list[StudyRecord]:
    """The newest `limit` studies that match, after `skip` newer ones, oldest of them first."""
    conditions = [
        studies.c.state == wanted.state if wanted.state else None,
        studies.c.received_at >= wanted.since if wanted.since else None,
        studies.c.received_at < wanted.until if wanted.until else None,
        studies.c.accession_number == wanted.accession_number if wanted.accession_number else None,
    ]
    statement = select(studies).where(*(condition for condition in conditions if condition is not None))
    newest = statement.order_by(studies.c.received_at.desc(), studies.c.study_instance_uid)
    return [study_record(row) for row in reversed(connection.execute(newest.limit(limit).offset(skip)).all())]


def list_deliveries(  # noqa: PLR0913 - one parameter for each condition
    connection: Connection,
    *,
    node: str | None = None,
    state: str | None = None,
    study_instance_uid: str | None = None,
    sop_instance_uid: str | None = None,
    limit: int = 1000,
    skip: int = 0,
) -> list[Delivery]:
    """The newest `limit` deliveries that match, after `skip` newer ones, oldest of them first."""
    # Most of the outbox was accepted by a node or two: there the node is no way to the newest of it.
    is_rare = state not in {None, DeliveryState.ACCEPTED}
    conditions = [
        (deliveries.c.node if is_rare else deliveries.c.node.concat("")) == node if node else None,
        deliveries.c.state == state if state else None,
        deliveries.c.study_instance_uid == study_instance_uid if study_instance_uid else None,
        deliveries.c.sop_instance_uid == sop_instance_uid if sop_instance_uid else None,
    ]
    statement = joined_deliveries().where(*(condition for condition in conditions if condition is not None))
    newest = statement.order_by(deliveries.c.queued_at.desc(), objects.c.kind.desc(), *deliveries.primary_key)
    return [delivery(row) for row in reversed(connection.execute(newest.limit(limit).offset(skip)).all())]

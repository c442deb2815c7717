"""The chain of the audit log followed from outside: nothing is left out, and a restart goes on where it stopped."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Select, and_, func, select, update

from .audit import events_of
from .database import Database
from .records import AuditEvent
from .rows import insert_new
from .schema import audit_events, audit_followers, audit_head, deliveries, instances, objects

# The department's audit record repository.
REPOSITORY = "atna"
# Events of an object and a node, which is the actor.
_OF_DELIVERIES = ("deliver", "prove")


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowedEvent:
    """An event with what the database knows beside it; the ID of its patient is in no text made of it.

    The UIDs are those under which a node has the object, where the event tells of that.
    """

    event: AuditEvent
    sequence: int
    patient_id: str | None = field(repr=False)
    sop_class_uid: str | None
    sop_instance_uid: str | None


class Follower:
    """One that has the log up to some event; it begins with the first event after it was first made."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = name
        with database.change() as connection:
            head = connection.execute(select(audit_head.c.sequence)).scalar_one()
            insert_new(connection, audit_followers, {"name": name, "sequence": head})

    def next_events(self, limit: int) -> list[FollowedEvent]:
        """The oldest that it has not; the same again until `has` is called."""
        with self._database.read() as connection:
            here = select(audit_followers.c.sequence).where(audit_followers.c.name == self._name).scalar_subquery()
            statement = _with_subjects().where(audit_events.c.id > here).order_by(audit_events.c.id).limit(limit)
            return _followed(connection, statement)

    def has(self, last: FollowedEvent) -> None:
        """It has every event up to this one."""
        this = audit_followers.c.name == self._name
        with self._database.change() as connection:
            connection.execute(update(audit_followers).where(this).values(sequence=last.sequence))


def followed_to(connection: Connection, names: Collection[str]) -> int | None:
    """The last event that all of these followers have; None where none of them has begun."""
    here = select(func.min(audit_followers.c.sequence)).where(audit_followers.c.name.in_(names))
    return connection.execute(here).scalar()


def _with_subjects() -> Select[Any]:
    # Of an event about a whole study any of its instances tells the patient.
    event = audit_events.c
    patient = (
        select(func.max(instances.c.patient_id))
        .where(instances.c.study_instance_uid == event.study_instance_uid)
        .scalar_subquery()
    )
    received = select(instances.c.sop_class_uid).where(instances.c.sop_instance_uid == event.sop_instance_uid)
    built = select(objects.c.sop_class_uid).where(objects.c.sop_instance_uid == event.sop_instance_uid)
    # A node that does not take the class of a report has it in another one, under another UID.
    there = deliveries.c
    is_there = and_(
        event.action.in_(_OF_DELIVERIES), there.sop_instance_uid == event.sop_instance_uid, there.node == event.actor
    )
    sop_class = func.coalesce(there.delivered_sop_class_uid, received.scalar_subquery(), built.scalar_subquery())
    sop_instance = func.coalesce(there.delivered_sop_instance_uid, event.sop_instance_uid)
    subjects = (patient.label("patient_id"), sop_class.label("subject_class"), sop_instance.label("subject_instance"))
    return select(audit_events, *subjects).outerjoin_from(audit_events, deliveries, is_there)


def _followed(connection: Connection, statement: Select[Any]) -> list[FollowedEvent]:
    rows = connection.execute(statement).all()
    return [
        FollowedEvent(
            event=event,
            sequence=row.id,
            patient_id=row.patient_id or None,
            sop_class_uid=row.subject_class,
            sop_instance_uid=row.subject_instance,
        )
        for row, event in zip(rows, events_of(rows), strict=True)
    ]

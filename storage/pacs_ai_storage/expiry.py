"""Files go when they have done their work: the ledger says so first, then they are removed from the disk."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, Table, select, union, update

from . import audit
from .database import Database
from .records import AuditEvent, KeptFile
from .rows import kept_file
from .schema import instances, objects, studies

EXPIRE = "expire"
_AT_ONCE = 100


class Expiry:
    """What the ledger knows of files that may go, are gone, or were never its own."""

    def __init__(self, database: Database, *, actor: str = "service") -> None:
        self._database = database
        self._actor = actor

    def expire_instances(self, settled_before: datetime, now: datetime) -> list[KeptFile]:
        """Some instances whose studies have had nothing left to do since that time are gone for the ledger.

        The audit log tells of each. Returns their files, which may be removed from now on.
        """
        with self._database.change() as connection:
            return self._expire(connection, instances, settled_before, now)

    def expire_results(self, settled_before: datetime, now: datetime) -> list[KeptFile]:
        """The same of reports and captures."""
        with self._database.change() as connection:
            return self._expire(connection, objects, settled_before, now)

    def _expire(self, connection: Connection, table: Table, settled_before: datetime, now: datetime) -> list[KeptFile]:
        settled = select(studies.c.study_instance_uid).where(studies.c.settled_at <= settled_before)
        due = table.select().where(table.c.gone_at.is_(None), table.c.study_instance_uid.in_(settled)).limit(_AT_ONCE)
        if connection.execute(due.limit(1)).first() is None:
            return []
        # A late instance that reopens one of these studies waits for us, or we for it.
        named = select(studies.c.study_instance_uid).where(
            studies.c.study_instance_uid.in_({row.study_instance_uid for row in connection.execute(due)})
        )
        locked = set(connection.scalars(named.where(studies.c.settled_at <= settled_before).with_for_update()))
        rows = connection.execute(due.where(table.c.study_instance_uid.in_(locked))).all()
        for row in rows:
            connection.execute(
                update(table).where(table.c.sop_instance_uid == row.sop_instance_uid).values(gone_at=now)
            )
            event = AuditEvent(
                at=now,
                actor=self._actor,
                action=EXPIRE,
                study_instance_uid=row.study_instance_uid,
                sop_instance_uid=row.sop_instance_uid,
                outcome="instance" if table is instances else row.kind,
                detail=f"sha256={row.sha256}",
            )
            audit.append(connection, event)
        return [kept_file(row) for row in rows]

    def unknown(self, paths: Collection[str]) -> set[str]:
        """Those of these files that belong to nothing which the ledger keeps."""
        with self._database.read() as connection:
            known = union(
                *(
                    select(table.c.path).where(table.c.gone_at.is_(None), table.c.path.in_(paths))
                    for table in (instances, objects)
                )
            )
            return set(paths) - set(connection.scalars(known))

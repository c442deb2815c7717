"""Files go when they have done their work: the ledger says so first, then they are removed from the disk."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, Table, exists, select, union, update

from . import audit
from .database import Database
from .records import AuditEvent, KeptFile
from .rows import AnyRow, kept_file
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
        return self._expire(instances, settled_before, now)

    def expire_results(self, settled_before: datetime, now: datetime) -> list[KeptFile]:
        """The same of reports and captures."""
        return self._expire(objects, settled_before, now)

    def _expire(self, table: Table, settled_before: datetime, now: datetime) -> list[KeptFile]:
        due = self._studies_due(table, settled_before)
        if not due:
            return []
        this = studies.c.study_instance_uid
        # A late instance that reopens one of these studies waits for us, or we for it.
        settled = select(this).where(this.in_(due), studies.c.settled_at <= settled_before).order_by(this)
        with self._database.change() as connection:
            locked = connection.scalars(settled.with_for_update()).all()
            kept = table.select().where(table.c.gone_at.is_(None), table.c.study_instance_uid.in_(locked))
            rows = connection.execute(kept.limit(_AT_ONCE)).all()
            for row in rows:
                self._note_gone(connection, table, row, now)
        return [kept_file(row) for row in rows]

    def _studies_due(self, table: Table, settled_before: datetime) -> set[str]:
        """Some studies of which something is due; found without holding a writer up, as most of the time nothing is."""
        of_it = studies.c.study_instance_uid == table.c.study_instance_uid
        kept = (
            select(table.c.study_instance_uid)
            # From what is kept to its study: there are ever more settled studies, and most have nothing left to go.
            .where(table.c.gone_at.is_(None), exists().where(of_it, studies.c.settled_at <= settled_before))
            .order_by(table.c.path)  # the order of the index of what is kept, so that it is the one to be used
            .limit(_AT_ONCE)
        )
        with self._database.read() as connection:
            return set(connection.scalars(kept))

    def _note_gone(self, connection: Connection, table: Table, row: AnyRow, now: datetime) -> None:
        connection.execute(update(table).where(table.c.sop_instance_uid == row.sop_instance_uid).values(gone_at=now))
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

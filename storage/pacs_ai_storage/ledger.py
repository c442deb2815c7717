"""The ledger of studies: every change of state and its audit event end in one transaction."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from . import audit
from .arrivals import receive
from .claims import ClaimTerms, claimable, leases_of, most_attempts, new_lease, reopen, set_back
from .database import Database
from .delivery_rows import close_study, queue
from .events import of_object, of_outcome, of_study
from .readings import has_files, keep_readings, keep_setup, said_of_gone
from .records import (
    TRANSITIONS,
    AuditEvent,
    ClaimedStudy,
    InstanceOutcome,
    Receipt,
    ResultObject,
    Setup,
    StoredInstance,
    StudyResult,
    StudyState,
)
from .rows import (
    AnyRow,
    outcome_row,
    result_object,
    stored_instance,
)
from .schema import instances, objects, outcomes, studies


class LeaseLost(Exception):
    """The study was reopened or claimed by another worker; what was made of it no longer counts."""


class Ledger:
    """Studies and their instances, from arrival to results. The service is the only actor here unless one is named."""

    def __init__(self, database: Database, *, actor: str = "service") -> None:
        self._database = database
        self._actor = actor

    def note(self, event: AuditEvent) -> None:
        """The event is in the audit log; nothing else changes."""
        with self._database.change() as connection:
            audit.append(connection, event)

    def read_with(self, setup: Setup, now: datetime, *, detail: str = "") -> None:
        """The setup is known, and an event with the detail says so where the last one in the log is another."""
        with self._database.change() as connection:
            keep_setup(connection, setup, self._actor, now, detail)

    def record(self, instance: StoredInstance) -> Receipt:
        """The instance belongs to its study once; a new one in a study already read reopens it as revision + 1."""
        with self._database.change() as connection:
            return receive(connection, instance, self._actor)

    def claim_stable(self, now: datetime, terms: ClaimTerms) -> ClaimedStudy | None:
        """The study that has been quiet longest is leased to the caller; None when none is stable.

        A study whose lease ran out is claimed again, and FAILED once that happened MAX_ATTEMPTS times; one that was
        under way at MAX_RESTARTS restarts in a row is FAILED too, so that no study keeps the service from the others.
        """
        with self._database.change() as connection:
            for ahead in set_back(connection, now, terms):
                self._note_of(connection, ahead, "retime", None, now, detail="of a time to come: the clock went back")
            while (study := claimable(connection, now, terms)) is not None:
                if study.attempts < (most := most_attempts(study)):
                    return self._lease(connection, study, now, terms)
                self._end(connection, study, StudyState.FAILED, now, reason=f"did not end in {most} attempts")
            return None

    def _lease(self, connection: Connection, study: AnyRow, now: datetime, terms: ClaimTerms) -> ClaimedStudy:
        lease = new_lease(terms.owner)
        connection.execute(
            update(studies)
            .where(studies.c.study_instance_uid == study.study_instance_uid)
            .values(
                state=StudyState.PROCESSING, lease=lease, lease_until=now + terms.lease, attempts=study.attempts + 1
            )
        )
        self._note_of(connection, study, "claim", f"revision {study.revision}", now)
        rows = connection.execute(
            select(instances)
            .where(instances.c.study_instance_uid == study.study_instance_uid)
            .order_by(instances.c.received_at, instances.c.sop_instance_uid)
        ).all()
        return ClaimedStudy(
            study_instance_uid=study.study_instance_uid,
            revision=study.revision,
            rerun=study.rerun,
            previous_report=_previous_report(connection, study),
            lease=lease,
            attempts=study.attempts + 1,
            touched_at=study.touched_at,
            instances=tuple(stored_instance(row) for row in rows if row.gone_at is None),
            read_before=said_of_gone(connection, study.study_instance_uid),
        )

    def release_leases(self, owner: str, now: datetime) -> int:
        """What this owner had begun before it stopped is stable again at once; returns how many studies."""
        with self._database.change() as connection:
            begun = connection.execute(
                select(studies)
                .where(
                    studies.c.state == StudyState.PROCESSING,
                    studies.c.lease.startswith(leases_of(owner), autoescape=True),
                )
                .with_for_update()
            ).all()
            for study in begun:
                attempts = study.attempts
                reopen(connection, study, touched_at=study.touched_at, revision=study.revision, attempts=attempts)
                self._note_of(connection, study, "release", "the service was restarted", now)
            return len(begun)

    def renew(self, under_way: Sequence[ClaimedStudy], until: datetime) -> None:
        """Studies that are still leased to their readers are so until `until`; the others stay as they are."""
        with self._database.change() as connection:
            for claimed in under_way:
                connection.execute(
                    update(studies)
                    .where(
                        studies.c.study_instance_uid == claimed.study_instance_uid,
                        studies.c.state == StudyState.PROCESSING,
                        studies.c.lease == claimed.lease,
                    )
                    .values(lease_until=until)
                )

    def keep_results(self, claimed: ClaimedStudy, result: StudyResult, nodes: Sequence[str], now: datetime) -> None:
        """Outcomes, objects and one delivery per object and node stand, and the study is READY or DECLINED.

        Raises LeaseLost, with nothing changed, when the study is no longer the caller's.
        """
        state = StudyState.DECLINED if result.is_declined else StudyState.READY
        with self._database.change() as connection:
            study = _leased(connection, claimed)
            _replace_outcomes(connection, claimed, result.outcomes)
            keep_readings(connection, claimed, result.outcomes, now)
            for item in result.objects:
                waiting = queue(connection, claimed, item, nodes, now)
                if waiting is not None:
                    audit.append(connection, of_object(item, claimed, waiting, self._actor, now))
            for outcome in result.outcomes:
                audit.append(connection, *of_outcome(outcome, claimed, self._actor, now))
            connection.execute(
                update(studies)
                .where(studies.c.study_instance_uid == claimed.study_instance_uid)
                .values(
                    outcome=result.outcome,
                    probability=result.probability,
                    priority=result.priority,
                    priority_reasons="\n".join(result.priority_reasons),
                )
            )
            self._end(connection, study, state, now, reason=None)

    def fail(self, claimed: ClaimedStudy, reason: str, now: datetime) -> None:
        """The study is FAILED with its reason; raises LeaseLost when it is no longer the caller's."""
        with self._database.change() as connection:
            self._end(connection, _leased(connection, claimed), StudyState.FAILED, now, reason=reason)

    def postpone(
        self, claimed: ClaimedStudy, until: datetime, reason: str, now: datetime, *, counts: bool = False
    ) -> None:
        """The study is read again from `until` on; raises LeaseLost when it is no longer the caller's.

        The attempt that this one was is forgotten, unless it `counts`.
        """
        with self._database.change() as connection:
            study = _leased(connection, claimed)
            attempts = study.attempts if counts else 0
            reopen(connection, study, touched_at=until, revision=study.revision, attempts=attempts)
            self._note_of(connection, study, "postpone", None, now, detail=reason)

    def requeue(self, study_instance_uid: str, now: datetime) -> bool:
        """A FAILED study is read again; False when there is no such study in that state."""
        with self._database.change() as connection:
            study = _in_state(connection, study_instance_uid, StudyState.FAILED)
            if study is None:
                return False
            reopen(connection, study, touched_at=study.touched_at, revision=study.revision)
            self._note_of(connection, study, "requeue", None, now)
            return True

    def read_again(self, study_instance_uid: str, now: datetime) -> bool:
        """The study is read again as revision + 1, whatever it came to; its results get UIDs of their own.

        False when it is unknown, is being received or read just now, or none of its instances is kept.
        """
        with self._database.change() as connection:
            this = studies.c.study_instance_uid == study_instance_uid
            study = connection.execute(select(studies).where(this).with_for_update()).one_or_none()
            if study is None or StudyState.RECEIVING not in TRANSITIONS[study.state] or _is_under_way(study):
                return False
            if not has_files(connection, study_instance_uid):
                return False
            reopen(connection, study, touched_at=study.touched_at, revision=study.revision + 1)
            connection.execute(update(studies).where(this).values(rerun=study.rerun + 1))
            self._note_of(connection, study, "read-again", f"revision {study.revision + 1}", now)
            return True

    def mark_read(self, study_instance_uid: str, now: datetime) -> bool:
        """The study leaves the reading worklist; False when it is unknown."""
        with self._database.change() as connection:
            changed = connection.execute(
                update(studies).where(studies.c.study_instance_uid == study_instance_uid).values(read_at=now)
            )
            if changed.rowcount != 1:
                return False
            event = AuditEvent(at=now, actor=self._actor, action="mark-read", study_instance_uid=study_instance_uid)
            audit.append(connection, event)
            return True

    def _end(
        self, connection: Connection, study: AnyRow, state: StudyState, now: datetime, *, reason: str | None
    ) -> None:
        connection.execute(
            update(studies)
            .where(studies.c.study_instance_uid == study.study_instance_uid)
            .values(
                state=state,
                reason=reason,
                lease=None,
                lease_until=None,
                attempts=0,
                settled_at=None,
            )
        )
        if state is StudyState.DECLINED:
            close_study(connection, study.study_instance_uid, now)
        self._note_of(connection, study, "finish", state.value, now, detail=reason)

    def _note_of(
        self,
        connection: Connection,
        study: AnyRow,
        action: str,
        outcome: str | None,
        now: datetime,
        detail: str | None = None,
    ) -> None:
        audit.append(connection, of_study(study, self._actor, action, outcome, now, detail=detail))


def _is_under_way(study: AnyRow) -> bool:
    return bool(study.state == StudyState.PROCESSING)


def _previous_report(connection: Connection, study: AnyRow) -> ResultObject | None:
    statement = (
        select(objects)
        .where(objects.c.study_instance_uid == study.study_instance_uid, objects.c.kind == "report")
        .order_by(objects.c.revision.desc())
        .limit(1)
    )
    row = connection.execute(statement).one_or_none()
    return None if row is None else result_object(row)


def _leased(connection: Connection, claimed: ClaimedStudy) -> AnyRow:
    study = _in_state(connection, claimed.study_instance_uid, StudyState.PROCESSING)
    if study is None or study.lease != claimed.lease:
        message = f"study {claimed.study_instance_uid} is no longer leased to {claimed.lease}"
        raise LeaseLost(message)
    return study


def _in_state(connection: Connection, study_instance_uid: str, state: StudyState) -> AnyRow | None:
    statement = select(studies).where(studies.c.study_instance_uid == study_instance_uid, studies.c.state == state)
    return connection.execute(statement.with_for_update()).one_or_none()


def _replace_outcomes(connection: Connection, claimed: ClaimedStudy, found: Sequence[InstanceOutcome]) -> None:
    # What was said of an instance that has gone since stays the newest that is known of it.
    said_before = {outcome.sop_instance_uid for outcome in claimed.read_before}
    this = outcomes.c.study_instance_uid == claimed.study_instance_uid
    connection.execute(delete(outcomes).where(this, outcomes.c.sop_instance_uid.not_in(said_before)))
    rows = [outcome_row(outcome, claimed) for outcome in found]
    connection.execute(insert(outcomes), rows)

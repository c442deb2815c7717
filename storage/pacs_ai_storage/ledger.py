"""The ledger of studies: every change of state and its audit event end in one transaction."""

import uuid
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from . import audit
from .claims import MAX_ATTEMPTS, ClaimTerms, claimable, set_back
from .database import Database
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
    insert_new,
    insert_or_change,
    instance_row,
    object_row,
    outcome_row,
    result_object,
    stored_instance,
)
from .schema import deliveries, instances, objects, outcomes, studies

_IS_RECEIVING = studies.c.state == StudyState.RECEIVING


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
            if not insert_new(connection, instances, instance_row(instance)):
                return self._record_again(connection, instance)
            self._event(connection, instance, "receive", "kept", actor=instance.calling_ae_title)
            self._touch_study(connection, instance)
            return Receipt.NEW

    def _record_again(self, connection: Connection, instance: StoredInstance) -> Receipt:
        kept = connection.execute(
            select(instances.c.sha256).where(instances.c.sop_instance_uid == instance.sop_instance_uid)
        ).scalar_one()
        if kept == instance.file.sha256:
            back = update(instances).where(instances.c.sop_instance_uid == instance.sop_instance_uid)
            connection.execute(back.where(instances.c.gone_at.is_not(None)).values(gone_at=None))
        receipt = Receipt.RESENT if kept == instance.file.sha256 else Receipt.RESENT_DIFFERENT
        detail = None if receipt is Receipt.RESENT else f"first content kept; the other is {instance.file.sha256}"
        self._event(connection, instance, "resend", receipt.value, actor=instance.calling_ae_title, detail=detail)
        return receipt

    def _touch_study(self, connection: Connection, instance: StoredInstance) -> None:
        row = {
            "study_instance_uid": instance.study_instance_uid,
            "state": StudyState.RECEIVING,
            "revision": 1,
            "accession_number": instance.accession_number,
            "calling_ae_title": instance.calling_ae_title,
            "received_at": instance.received_at,
            "touched_at": instance.received_at,
            "attempts": 0,
        }
        if insert_or_change(connection, studies, row, "touched_at", where=_IS_RECEIVING):
            return
        this = studies.c.study_instance_uid == instance.study_instance_uid
        study = connection.execute(select(studies).where(this).with_for_update()).one()
        _reopen(connection, study, touched_at=instance.received_at, revision=study.revision + 1)
        self._event(
            connection,
            instance,
            "reopen",
            f"revision {study.revision + 1}",
            detail=f"a late instance; was {study.state}",
        )

    def claim_stable(self, now: datetime, terms: ClaimTerms) -> ClaimedStudy | None:
        """The study that has been quiet longest is leased to the caller; None when none is stable.

        A study whose lease ran out is claimed again, and FAILED once that happened MAX_ATTEMPTS times.
        """
        with self._database.change() as connection:
            for ahead in set_back(connection, now, terms):
                self._study_event(
                    connection, ahead, "retime", None, now, detail="of a time to come: the clock went back"
                )
            while (study := claimable(connection, now, terms)) is not None:
                if study.attempts < MAX_ATTEMPTS:
                    return self._lease(connection, study, now, terms)
                self._end(connection, study, StudyState.FAILED, now, reason=f"did not end in {MAX_ATTEMPTS} attempts")
            return None

    def _lease(self, connection: Connection, study: AnyRow, now: datetime, terms: ClaimTerms) -> ClaimedStudy:
        lease = f"{terms.owner}#{uuid.uuid4().hex[:12]}"
        connection.execute(
            update(studies)
            .where(studies.c.study_instance_uid == study.study_instance_uid)
            .values(
                state=StudyState.PROCESSING, lease=lease, lease_until=now + terms.lease, attempts=study.attempts + 1
            )
        )
        self._study_event(connection, study, "claim", f"revision {study.revision}", now)
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
                    studies.c.state == StudyState.PROCESSING, studies.c.lease.startswith(f"{owner}#", autoescape=True)
                )
                .with_for_update()
            ).all()
            for study in begun:
                _reopen(connection, study, touched_at=study.touched_at, revision=study.revision)
                self._study_event(connection, study, "release", "the service was restarted", now)
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
                self._queue(connection, claimed, item, nodes, now)
            for outcome in result.outcomes:
                self._outcome_event(connection, claimed, outcome, now)
                self._repair_event(connection, claimed, outcome, now)
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

    def postpone(self, claimed: ClaimedStudy, until: datetime, reason: str, now: datetime) -> None:
        """The study is read again from `until` on; raises LeaseLost when it is no longer the caller's."""
        with self._database.change() as connection:
            study = _leased(connection, claimed)
            _reopen(connection, study, touched_at=until, revision=study.revision)
            self._study_event(connection, study, "postpone", None, now, detail=reason)

    def requeue(self, study_instance_uid: str, now: datetime) -> bool:
        """A FAILED study is read again; False when there is no such study in that state."""
        with self._database.change() as connection:
            study = _in_state(connection, study_instance_uid, StudyState.FAILED)
            if study is None:
                return False
            _reopen(connection, study, touched_at=study.touched_at, revision=study.revision)
            self._study_event(connection, study, "requeue", None, now)
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
            _reopen(connection, study, touched_at=study.touched_at, revision=study.revision + 1)
            connection.execute(update(studies).where(this).values(rerun=study.rerun + 1))
            self._study_event(connection, study, "read-again", f"revision {study.revision + 1}", now)
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
                settled_at=now if state is StudyState.DECLINED else None,
            )
        )
        self._study_event(connection, study, "finish", state.value, now, detail=reason)

    def _queue(
        self, connection: Connection, claimed: ClaimedStudy, item: ResultObject, nodes: Sequence[str], now: datetime
    ) -> None:
        if not insert_new(connection, objects, object_row(item, claimed)):
            return  # built before from the same input: the node has it, or has it in its queue
        for node in nodes:
            connection.execute(
                insert(deliveries).values(
                    sop_instance_uid=item.sop_instance_uid,
                    node=node,
                    study_instance_uid=claimed.study_instance_uid,
                    state="PENDING",
                    attempts=0,
                    queued_at=now,
                    next_attempt_at=now,
                )
            )
        event = AuditEvent(
            at=now,
            actor=self._actor,
            action="build",
            study_instance_uid=claimed.study_instance_uid,
            sop_instance_uid=item.sop_instance_uid,
            outcome=item.kind,
            detail=f"sha256={item.file.sha256} nodes={','.join(nodes) or 'none'}",
        )
        audit.append(connection, event)

    def _outcome_event(
        self, connection: Connection, claimed: ClaimedStudy, outcome: InstanceOutcome, now: datetime
    ) -> None:
        event = AuditEvent(
            at=now,
            actor=self._actor,
            action=audit.REFUSE if outcome.reason else "read",
            study_instance_uid=claimed.study_instance_uid,
            sop_instance_uid=outcome.sop_instance_uid,
            outcome=outcome.reason or outcome.outcome,
            detail=outcome.detail if outcome.reason else _evidence(outcome),
            probability=outcome.probability,
            model=_model(outcome),
        )
        audit.append(connection, event)

    def _repair_event(
        self, connection: Connection, claimed: ClaimedStudy, outcome: InstanceOutcome, now: datetime
    ) -> None:
        if not outcome.repairs:
            return
        event = AuditEvent(
            at=now,
            actor=self._actor,
            action=audit.REPAIR,
            study_instance_uid=claimed.study_instance_uid,
            sop_instance_uid=outcome.sop_instance_uid,
            outcome=f"revision {claimed.revision}",
            detail="; ".join(outcome.repairs),
        )
        audit.append(connection, event)

    def _study_event(
        self,
        connection: Connection,
        study: AnyRow,
        action: str,
        outcome: str | None,
        now: datetime,
        *,
        detail: str | None = None,
    ) -> None:
        event = AuditEvent(
            at=now,
            actor=self._actor,
            action=action,
            study_instance_uid=study.study_instance_uid,
            outcome=outcome,
            detail=detail,
        )
        audit.append(connection, event)

    def _event(
        self,
        connection: Connection,
        instance: StoredInstance,
        action: str,
        outcome: str,
        *,
        actor: str | None = None,
        detail: str | None = None,
    ) -> None:
        event = AuditEvent(
            at=instance.received_at,
            actor=actor or self._actor,
            action=action,
            study_instance_uid=instance.study_instance_uid,
            sop_instance_uid=instance.sop_instance_uid,
            outcome=outcome,
            detail=detail,
            calling_ae_title=instance.calling_ae_title,
        )
        audit.append(connection, event)


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


def _reopen(connection: Connection, study: AnyRow, *, touched_at: datetime, revision: int) -> None:
    connection.execute(
        update(studies)
        .where(studies.c.study_instance_uid == study.study_instance_uid)
        .values(
            state=StudyState.RECEIVING,
            revision=revision,
            touched_at=touched_at,
            lease=None,
            lease_until=None,
            attempts=0,
            reason=None,
            settled_at=None,
            # A revision is news to whoever read the one before; a restart is not.
            read_at=study.read_at if revision == study.revision else None,
        )
    )


def _replace_outcomes(connection: Connection, claimed: ClaimedStudy, found: Sequence[InstanceOutcome]) -> None:
    # What was said of an instance that has gone since stays the newest that is known of it.
    said_before = {outcome.sop_instance_uid for outcome in claimed.read_before}
    this = outcomes.c.study_instance_uid == claimed.study_instance_uid
    connection.execute(delete(outcomes).where(this, outcomes.c.sop_instance_uid.not_in(said_before)))
    rows = [outcome_row(outcome, claimed) for outcome in found]
    connection.execute(insert(outcomes), rows)


def _model(outcome: InstanceOutcome) -> str | None:
    return f"{outcome.model_name} {outcome.model_version}" if outcome.model_name else None


def _evidence(outcome: InstanceOutcome) -> str:
    return (
        f"probability={outcome.probability:.6f} threshold={outcome.threshold:.6f} "
        f"model={outcome.model_name} {outcome.model_version} sha256={outcome.model_sha256}"
        f"{f' setup={outcome.setup_sha256}' if outcome.setup_sha256 else ''}"
    )

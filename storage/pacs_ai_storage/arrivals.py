"""An instance that has come: counted once, and its study opened, or opened again."""

from sqlalchemy import Connection, and_, select, update

from . import audit
from .claims import reopen
from .delivery_rows import lock_study
from .events import of_instance
from .records import Receipt, StoredInstance, StudyState
from .rows import file_columns, insert_new, insert_or_change, instance_row
from .schema import instances, studies

_IS_RECEIVING = studies.c.state == StudyState.RECEIVING


def receive(connection: Connection, instance: StoredInstance, actor: str) -> Receipt:
    """The instance belongs to its study once; a new one in a study already read reopens it as revision + 1.

    One that is known in another study belongs to none: nothing is recorded of it.
    """
    if not insert_new(connection, instances, instance_row(instance)):
        return _receive_again(connection, instance)
    audit.append(connection, of_instance(instance, instance.calling_ae_title, "receive", "kept"))
    _touch_study(connection, instance, actor)
    return Receipt.NEW


def _receive_again(connection: Connection, instance: StoredInstance) -> Receipt:
    this = instances.c.sop_instance_uid == instance.sop_instance_uid
    kept = connection.execute(select(instances.c.sha256, instances.c.study_instance_uid).where(this)).one()
    if kept.study_instance_uid != instance.study_instance_uid:
        return Receipt.OF_ANOTHER_STUDY
    receipt = Receipt.RESENT if kept.sha256 == instance.file.sha256 else Receipt.RESENT_DIFFERENT
    detail = _kept_of(connection, instance, receipt, kept.sha256)
    resent = of_instance(instance, instance.calling_ae_title, "resend", receipt.value, detail=detail)
    audit.append(connection, resent)
    return receipt


def _kept_of(connection: Connection, instance: StoredInstance, receipt: Receipt, first_sha256: str) -> str | None:
    """Which content is kept from now on, in words; None where nothing has changed."""
    had_gone = _keep_again(connection, instance)
    if receipt is Receipt.RESENT:
        return audit.KEPT_AGAIN if had_gone else None
    if had_gone:
        return f"{audit.KEPT_AGAIN} in other bytes, {instance.file.sha256}; those before were {first_sha256}"
    return f"first content kept; the other is {instance.file.sha256}"


def _keep_again(connection: Connection, instance: StoredInstance) -> bool:
    """An instance that had gone is kept as it came now, and so is what else is kept of its study; False if it had not.

    Another content than before is no new reading: it answers for what was promised, that the instance is kept.
    """
    # Expiry locks the study first: it is through with this instance, or has not begun with it.
    lock_study(connection, instance.study_instance_uid)
    gone = and_(instances.c.sop_instance_uid == instance.sop_instance_uid, instances.c.gone_at.is_not(None))
    as_it_came = {
        "transfer_syntax_uid": instance.transfer_syntax_uid,
        "sop_class_uid": instance.sop_class_uid,
        "series_instance_uid": instance.series_instance_uid,
        **file_columns(instance.file),
    }
    had_gone = connection.execute(update(instances).where(gone).values(gone_at=None, **as_it_came)).rowcount == 1
    if had_gone:
        _settle_later(connection, instance)
    return had_gone


def _settle_later(connection: Connection, instance: StoredInstance) -> None:
    # `received_at` of the instance stays: it is read again, by `audit replay`, as of when it first came.
    settled_before = and_(
        studies.c.study_instance_uid == instance.study_instance_uid, studies.c.settled_at < instance.received_at
    )
    connection.execute(update(studies).where(settled_before).values(settled_at=instance.received_at))


def _touch_study(connection: Connection, instance: StoredInstance, actor: str) -> None:
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
    reopen(connection, study, touched_at=instance.received_at, revision=study.revision + 1)
    detail = f"a late instance; was {study.state}"
    audit.append(connection, of_instance(instance, actor, "reopen", f"revision {study.revision + 1}", detail=detail))

"""Rows of the tables to records and back."""

from dataclasses import asdict, fields, replace
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, Connection, Row, Table

from .records import (
    ClaimedStudy,
    DeliveredForm,
    Delivery,
    DeliveryState,
    InstanceOutcome,
    KeptFile,
    KeptReading,
    NegotiatedForm,
    ResultObject,
    Setup,
    StoredInstance,
    StudyRecord,
    StudyState,
)

if TYPE_CHECKING:
    from sqlalchemy.dialects.postgresql import Insert

AnyRow = Row[tuple[object, ...]]
# Not by `asdict`, which copies every value: this is done while a modality waits for its answer.
_INSTANCE = [item.name for item in fields(StoredInstance) if item.name != "file"]
_FILE = [item.name for item in fields(KeptFile)]


def insert_new(connection: Connection, table: Table, row: dict[str, object]) -> bool:
    """The row is there afterwards; True when it was not there before."""
    statement = _insertion(table, connection.dialect.name).on_conflict_do_nothing()
    return connection.execute(statement, row).rowcount == 1


def insert_or_change(
    connection: Connection, table: Table, row: dict[str, object], change: str, *, where: ColumnElement[bool]
) -> bool:
    """The row is new, or the column `change` of the one before is this row's where the condition holds; else False."""
    statement = _insertion(table, connection.dialect.name)
    changed = statement.on_conflict_do_update(
        index_elements=list(table.primary_key), set_={change: statement.excluded[change]}, where=where
    )
    return connection.execute(changed, row).rowcount == 1


@cache
def _insertion(table: Table, dialect: str) -> "Insert":
    # Only the dialect in use: queries import this module, and each dialect takes a while.
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import insert  # noqa: PLC0415
    else:
        from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment] # noqa: PLC0415
    return insert(table).execution_options(preserve_rowcount=True)


def kept_file(row: AnyRow) -> KeptFile:
    """The file columns of a row."""
    return KeptFile(path=row.path, size=row.size, sha256=row.sha256)


def file_columns(file: KeptFile) -> dict[str, object]:
    """A file as columns."""
    return {name: getattr(file, name) for name in _FILE}


def instance_row(instance: StoredInstance) -> dict[str, object]:
    """An instance as columns."""
    return {**{name: getattr(instance, name) for name in _INSTANCE}, **file_columns(instance.file)}


def outcome_row(outcome: InstanceOutcome, claimed: ClaimedStudy) -> dict[str, object]:
    """An outcome of a claimed study as columns."""
    columns = asdict(outcome)
    for name in ("repairs", "setup_sha256", "evidence"):
        columns.pop(name)
    return {
        **columns,
        "study_instance_uid": claimed.study_instance_uid,
        "revision": claimed.revision,
    }


def reading_row(outcome: InstanceOutcome, claimed: ClaimedStudy, read_at: datetime) -> dict[str, object]:
    """The reading of an instance in this revision as columns."""
    kept = {"setup_sha256": outcome.setup_sha256, "evidence": outcome.evidence, "read_at": read_at}
    return outcome_row(outcome, claimed) | kept


def object_row(item: ResultObject, claimed: ClaimedStudy) -> dict[str, object]:
    """A result of a claimed study as columns."""
    columns = asdict(item)
    columns.pop("file")
    return {
        **columns,
        **file_columns(item.file),
        "study_instance_uid": claimed.study_instance_uid,
        "revision": claimed.revision,
    }


def stored_instance(row: AnyRow) -> StoredInstance:
    """A row of `instances`."""
    return StoredInstance(
        sop_instance_uid=row.sop_instance_uid,
        sop_class_uid=row.sop_class_uid,
        study_instance_uid=row.study_instance_uid,
        series_instance_uid=row.series_instance_uid,
        transfer_syntax_uid=row.transfer_syntax_uid,
        accession_number=row.accession_number,
        calling_ae_title=row.calling_ae_title,
        received_at=row.received_at,
        file=kept_file(row),
        patient_id=row.patient_id,
        gone_at=row.gone_at,
    )


def instance_outcome(row: AnyRow) -> InstanceOutcome:
    """A row of `outcomes`."""
    return InstanceOutcome(
        sop_instance_uid=row.sop_instance_uid,
        outcome=row.outcome,
        reason=row.reason,
        detail=row.detail,
        probability=row.probability,
        threshold=row.threshold,
        model_name=row.model_name,
        model_version=row.model_version,
        model_sha256=row.model_sha256,
    )


def kept_reading(row: AnyRow) -> KeptReading:
    """A row of `readings` joined with `setups`."""
    return KeptReading(
        study_instance_uid=row.study_instance_uid,
        revision=row.revision,
        read_at=row.read_at,
        said=replace(instance_outcome(row), setup_sha256=row.setup_sha256, evidence=row.evidence),
        setup=None if row.document is None else Setup(sha256=row.setup_sha256, document=row.document),
    )


def result_object(row: AnyRow) -> ResultObject:
    """A row of `objects`."""
    return ResultObject(
        kind=row.kind,
        sop_instance_uid=row.sop_instance_uid,
        sop_class_uid=row.sop_class_uid,
        transfer_syntax_uid=row.transfer_syntax_uid,
        source_sop_instance_uid=row.source_sop_instance_uid,
        file=kept_file(row),
    )


def delivery(row: AnyRow) -> Delivery:
    """A row of `deliveries` joined with `objects`."""
    return Delivery(
        node=row.node,
        study_instance_uid=row.study_instance_uid,
        object=result_object(row),
        state=DeliveryState(row.state),
        attempts=row.attempts,
        queued_at=row.queued_at,
        next_attempt_at=row.next_attempt_at,
        accepted_at=row.accepted_at,
        detail=row.delivery_detail,
        delivered_as=_delivered_form(row) if row.delivered_sop_instance_uid else None,
        sent_at=row.sent_at,
        proof_tries=row.proof_tries,
    )


def _delivered_form(row: AnyRow) -> DeliveredForm:
    return DeliveredForm(
        name=row.delivered_name,
        sop_class_uid=row.delivered_sop_class_uid,
        sop_instance_uid=row.delivered_sop_instance_uid,
        transfer_syntax_uid=row.delivered_transfer_syntax_uid,
    )


def negotiated_form(row: AnyRow) -> NegotiatedForm:
    """A row of `negotiated_forms`."""
    return NegotiatedForm(
        node=row.node,
        kind=row.kind,
        name=row.name,
        sop_class_uid=row.sop_class_uid,
        transfer_syntax_uid=row.transfer_syntax_uid,
        decided_at=row.decided_at,
    )


def study_record(row: AnyRow) -> StudyRecord:
    """A row of `studies`."""
    return StudyRecord(
        study_instance_uid=row.study_instance_uid,
        state=StudyState(row.state),
        revision=row.revision,
        accession_number=row.accession_number,
        calling_ae_title=row.calling_ae_title,
        received_at=row.received_at,
        touched_at=row.touched_at,
        attempts=row.attempts,
        reason=row.reason,
        outcome=row.outcome,
        probability=row.probability,
        priority=row.priority,
        priority_reasons=tuple((row.priority_reasons or "").splitlines()),
        read_at=row.read_at,
    )

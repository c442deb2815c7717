"""The audit events of a study's way: what they say of it, of an instance, an outcome, an object."""

from collections.abc import Sequence
from datetime import datetime

from .audit import REFUSE, REPAIR
from .records import AuditEvent, ClaimedStudy, InstanceOutcome, ResultObject, StoredInstance
from .rows import AnyRow


def of_study(
    study: AnyRow, actor: str, action: str, outcome: str | None, now: datetime, *, detail: str | None = None
) -> AuditEvent:
    """What became of the study."""
    return AuditEvent(
        at=now,
        actor=actor,
        action=action,
        study_instance_uid=study.study_instance_uid,
        outcome=outcome,
        detail=detail,
    )


def of_instance(
    instance: StoredInstance, actor: str, action: str, outcome: str, *, detail: str | None = None
) -> AuditEvent:
    """What became of the instance at the moment of its arrival."""
    return AuditEvent(
        at=instance.received_at,
        actor=actor,
        action=action,
        study_instance_uid=instance.study_instance_uid,
        sop_instance_uid=instance.sop_instance_uid,
        outcome=outcome,
        detail=detail,
        calling_ae_title=instance.calling_ae_title,
    )


def of_object(item: ResultObject, claimed: ClaimedStudy, nodes: Sequence[str], actor: str, now: datetime) -> AuditEvent:
    """A report or capture was built, and for whom."""
    return AuditEvent(
        at=now,
        actor=actor,
        action="build",
        study_instance_uid=claimed.study_instance_uid,
        sop_instance_uid=item.sop_instance_uid,
        outcome=item.kind,
        detail=f"sha256={item.file.sha256} nodes={','.join(nodes) or 'none'}",
    )


def of_outcome(outcome: InstanceOutcome, claimed: ClaimedStudy, actor: str, now: datetime) -> list[AuditEvent]:
    """What was said of an instance, and on what evidence; then what was repaired in its header, if anything was."""
    said = AuditEvent(
        at=now,
        actor=actor,
        action=REFUSE if outcome.reason else "read",
        study_instance_uid=claimed.study_instance_uid,
        sop_instance_uid=outcome.sop_instance_uid,
        outcome=outcome.reason or outcome.outcome,
        detail=outcome.detail if outcome.reason else _evidence(outcome),
        probability=outcome.probability,
        model=f"{outcome.model_name} {outcome.model_version}" if outcome.model_name else None,
    )
    if not outcome.repairs:
        return [said]
    repaired = AuditEvent(
        at=now,
        actor=actor,
        action=REPAIR,
        study_instance_uid=claimed.study_instance_uid,
        sop_instance_uid=outcome.sop_instance_uid,
        outcome=f"revision {claimed.revision}",
        detail="; ".join(outcome.repairs),
    )
    return [said, repaired]


def _evidence(outcome: InstanceOutcome) -> str:
    return (
        f"probability={outcome.probability:.6f} threshold={outcome.threshold:.6f} "
        f"model={outcome.model_name} {outcome.model_version} sha256={outcome.model_sha256}"
        f"{f' setup={outcome.setup_sha256}' if outcome.setup_sha256 else ''}"
    )

"""A study and its place in the reading order as JSON objects."""

from pathlib import Path

from pacs_ai_storage.records import StudyRecord
from pacs_ai_storage.views import StudyView, UnreadStudy

from pacs_ai.findings import PriorityLevel
from pacs_ai.worklist import WaitingStudy, WorklistEntry

from .deliveries import delivery_line
from .readings import reading_line

_LEVELS: dict[str | None, PriorityLevel] = {
    None: PriorityLevel.ROUTINE,
    **{level.value: level for level in PriorityLevel},
}


def waiting_study(row: UnreadStudy) -> WaitingStudy:
    """What the reading order looks at."""
    uid, accession_number, state, received_at, outcome, probability, priority, reasons = row
    return WaitingStudy(
        study_instance_uid=uid,
        accession_number=accession_number,
        received_at=received_at,
        level=_LEVELS[priority],
        reasons=tuple(reasons.splitlines()) if reasons else (f"not read by the network yet: {state}",),
        outcome=outcome or state,
        probability=probability,
    )


def entry_line(entry: WorklistEntry) -> dict[str, object]:
    """A place in the reading order."""
    study = entry.study
    return {
        "place": entry.place,
        "study_instance_uid": study.study_instance_uid,
        "accession_number": study.accession_number,
        "priority": study.level,
        "reasons": list(study.reasons),
        "outcome": study.outcome,
        "probability": study.probability,
        "received_at": study.received_at.isoformat(),
        "read_by": entry.read_by.isoformat(),
        "overdue": entry.is_overdue,
    }


def record_line(study: StudyRecord) -> dict[str, object]:
    """A study by itself."""
    return {
        "study_instance_uid": study.study_instance_uid,
        "state": study.state,
        "revision": study.revision,
        "accession_number": study.accession_number,
        "calling_ae_title": study.calling_ae_title,
        "received_at": study.received_at.isoformat(),
        "outcome": study.outcome,
        "probability": study.probability,
        "priority": study.priority,
        "reasons": list(study.priority_reasons),
        "reason": study.reason,
        "read_at": study.read_at.isoformat() if study.read_at else None,
    }


def study_line(view: StudyView, data: Path) -> dict[str, object]:
    """Everything known of a study; files lie under the data folder."""
    return {
        **record_line(view.study),
        "instances": [
            {
                "sop_instance_uid": item.sop_instance_uid,
                "sop_class_uid": item.sop_class_uid,
                "calling_ae_title": item.calling_ae_title,
                "received_at": item.received_at.isoformat(),
                "sha256": item.file.sha256,
                "path": str(data / "instances" / item.file.path),
                "gone_at": item.gone_at.isoformat() if item.gone_at else None,
            }
            for item in view.instances
        ],
        "outcomes": [
            {
                "sop_instance_uid": item.sop_instance_uid,
                "outcome": item.outcome,
                "reason": item.reason,
                "detail": item.detail,
                "probability": item.probability,
                "threshold": item.threshold,
            }
            for item in view.outcomes
        ],
        "readings": [reading_line(item) for item in view.readings],
        "objects": [
            {
                "kind": item.kind,
                "sop_instance_uid": item.sop_instance_uid,
                "sop_class_uid": item.sop_class_uid,
                "sha256": item.file.sha256,
                "path": str(data / "instances" / item.file.path),
            }
            for item in view.objects
        ],
        "deliveries": [delivery_line(item) for item in view.deliveries],
        "repairs": [{"sop_instance_uid": item.sop_instance_uid, "detail": item.detail} for item in view.repairs],
    }

"""An event of the audit log as a JSON object, and the columns of a row."""

from dataclasses import asdict

from pacs_ai_storage.records import AuditEvent

COLUMNS = ("id", "at", "actor", "action", "study_instance_uid", "sop_instance_uid", "outcome", "detail")
WHOLE_COLUMNS = (*COLUMNS, "calling_ae_title", "probability", "model", "previous_sha256", "sha256")


def event_line(event: AuditEvent) -> dict[str, object]:
    """What happened, when, by whom, and what came of it."""
    whole = whole_event_line(event)
    return {name: whole[name] for name in COLUMNS}


def whole_event_line(event: AuditEvent) -> dict[str, object]:
    """Every column of the log, hashes included."""
    columns = asdict(event)
    return {"id": columns.pop("identity"), **columns, "at": event.at.isoformat()}

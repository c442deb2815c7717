"""The JSON line of an instance, the same for `process` and `demo`."""

from collections.abc import Sequence

from pacs_ai_storage.records import InstanceOutcome, ResultObject


def instance_line(
    outcome: InstanceOutcome, *, path: str, study_instance_uid: str | None, objects: Sequence[dict[str, object]]
) -> dict[str, object]:
    """What is known of one instance after reading; `objects` is what speaks of it."""
    model = None
    if outcome.model_sha256 is not None:
        model = {"name": outcome.model_name, "version": outcome.model_version, "sha256": outcome.model_sha256}
    return {
        "path": path,
        "study_instance_uid": study_instance_uid,
        "sop_instance_uid": outcome.sop_instance_uid or None,
        "outcome": outcome.outcome,
        "reason": outcome.reason,
        "detail": outcome.detail,
        "probability": outcome.probability,
        "threshold": outcome.threshold,
        "model": model,
        "objects": list(objects),
    }


def speaking_of(
    objects: Sequence[ResultObject], outcome: InstanceOutcome, *, is_radiograph: bool
) -> list[ResultObject]:
    """The capture of an instance, and the report of its study when the instance is a radiograph, refused or not."""
    return [
        item
        for item in objects
        if (item.kind == "report" and is_radiograph) or item.source_sop_instance_uid == outcome.sop_instance_uid
    ]

"""A kept reading as it is printed: what was said, by which network and settings, and what it went by."""

import json

from pacs_ai_storage.records import KeptReading


def reading_line(kept: KeptReading) -> dict[str, object]:
    """All that is kept of one reading; `setup` and `evidence` are null for one of an earlier version."""
    said = kept.said
    return {
        "sop_instance_uid": said.sop_instance_uid,
        "revision": kept.revision,
        "read_at": kept.read_at.isoformat(),
        "outcome": said.outcome,
        "reason": said.reason,
        "detail": said.detail,
        "probability": said.probability,
        "threshold": said.threshold,
        "setup_sha256": said.setup_sha256,
        "setup": json.loads(kept.setup.document) if kept.setup else None,
        "evidence": json.loads(said.evidence) if said.evidence else None,
    }

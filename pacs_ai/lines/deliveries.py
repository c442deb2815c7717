"""A delivery of the outbox as a JSON object."""

from dataclasses import asdict

from pacs_ai_storage.records import Delivery


def delivery_line(item: Delivery) -> dict[str, object]:
    """A delivery as one JSON object."""
    return {
        "node": item.node,
        "state": item.state,
        "kind": item.object.kind,
        "sop_instance_uid": item.object.sop_instance_uid,
        "study_instance_uid": item.study_instance_uid,
        "attempts": item.attempts,
        "queued_at": item.queued_at.isoformat(),
        "next_attempt_at": item.next_attempt_at.isoformat(),
        "sent_at": item.sent_at.isoformat() if item.sent_at else None,
        "accepted_at": item.accepted_at.isoformat() if item.accepted_at else None,
        "delivered_as": asdict(item.delivered_as) if item.delivered_as else None,
        "detail": item.detail,
    }

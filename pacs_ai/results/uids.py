"""UIDs derived from what an object says, so that the same result has the same UID and the same bytes."""

from uuid import UUID, uuid5

from pydicom.uid import UID

_NAMESPACE = UUID("0f6f6d0e-6a55-5f0e-9d0c-6f5d5a7be5c1")


def derive_uid(kind: str, *parts: str) -> UID:
    """A 2.25 UID (PS3.5 B.2): a version 5 UUID of the parts, each with its length so that none runs into the next."""
    key = "".join(f"{len(part)}:{part}" for part in (kind, *parts))
    return UID(f"2.25.{uuid5(_NAMESPACE, key).int}")

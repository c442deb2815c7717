"""Whose schema a database has."""

from .schema import NEWEST_REVISION


class WrittenByNewerVersion(Exception):
    """The schema is one that comes after this version's; nothing of it is read or changed."""


def must_not_be_newer(revision: str | None) -> None:
    """Raises WrittenByNewerVersion for a schema that this version does not know yet."""
    if revision is not None and revision > NEWEST_REVISION:
        message = (
            f"the database was written by a newer version (schema {revision}, this one knows {NEWEST_REVISION}): "
            "install that version, or restore a copy from before the upgrade"
        )
        raise WrittenByNewerVersion(message)

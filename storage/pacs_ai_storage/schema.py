"""The tables. A change here needs a migration; a test compares the two."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    column,
    table,
    text,
)

NEWEST_REVISION = "0011"  # the last of the migrations; a test compares
NAMING = {"ix": "ix_%(column_0_label)s", "pk": "pk_%(table_name)s"}
metadata = MetaData(naming_convention=NAMING)


class UtcDateTime(TypeDecorator[datetime]):
    """Aware datetimes in and out; stored as naive UTC, which every database compares alike."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - signature is SQLAlchemy's
        """Naive UTC; a naive value is a bug of the caller."""
        if value is None:
            return None
        if value.tzinfo is None:
            message = "a time without zone cannot be stored"
            raise ValueError(message)
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - signature is SQLAlchemy's
        """Aware UTC."""
        return None if value is None else value.replace(tzinfo=UTC)

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:  # noqa: ANN401 - a callable of SQLAlchemy's
        """The same in one step where SQLite hands over text: a worklist or an export has thousands of times."""
        return _instant if dialect.name == "sqlite" else super().result_processor(dialect, coltype)


def _instant(stored: str | None) -> datetime | None:
    return None if stored is None else datetime.fromisoformat(f"{stored}+00:00")


def storable(said: Any) -> Any:  # noqa: ANN401 - whatever a column holds
    """The same without U+0000, which PostgreSQL takes in no text and devices write into their headers.

    Half of a surrogate pair, which UTF-8 cannot hold (RFC 3629) and some character sets can name, is a question mark.
    """
    return said.replace("\0", "").encode(errors="replace").decode() if isinstance(said, str) else said


class FreeText(TypeDecorator[str]):
    """Text that others write, as every database takes it; `longest` characters of it are kept and searched for."""

    impl = Text
    cache_ok = True

    def __init__(self, *, longest: int | None = None) -> None:
        super().__init__()
        self.longest = longest

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - signature is SQLAlchemy's
        """What is stored of a text, and compared with it."""
        return None if value is None else storable(value)[: self.longest]


# An index of PostgreSQL takes 2704 bytes; the standard allows 64 characters at most, a character is up to 4 bytes.
_SEARCHED = FreeText(longest=512)


def _uid(name: str, **options: Any) -> Column[str]:  # noqa: ANN401 - passed through to Column
    return Column(name, String(64), **options)


_KEPT = text("gone_at IS NULL")
_UNREAD = text("read_at IS NULL")
studies = Table(
    "studies",
    metadata,
    _uid("study_instance_uid", primary_key=True),
    Column("state", String(16), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("accession_number", _SEARCHED, nullable=False),
    Column("calling_ae_title", FreeText, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("touched_at", UtcDateTime, nullable=False),
    Column("lease", String(64)),
    Column("lease_until", UtcDateTime),
    Column("attempts", Integer, nullable=False),
    Column("reason", FreeText),
    Column("outcome", String(32)),
    Column("probability", Float),
    Column("priority", String(16)),
    Column("priority_reasons", FreeText),
    Column("read_at", UtcDateTime),
    Column("rerun", Integer, nullable=False, server_default="0"),  # how often it was read again because somebody asked
    # Since when nothing of it is left to read or to deliver, or an instance came again that had gone.
    Column("settled_at", UtcDateTime, index=True),
    Index("ix_studies_state_touched_at", "state", "touched_at"),
    Index("ix_studies_unread", "received_at", sqlite_where=_UNREAD, postgresql_where=_UNREAD),
)

instances = Table(
    "instances",
    metadata,
    _uid("sop_instance_uid", primary_key=True),
    _uid("study_instance_uid", nullable=False, index=True),
    _uid("series_instance_uid", nullable=False),
    _uid("sop_class_uid", nullable=False),
    _uid("transfer_syntax_uid", nullable=False),
    Column("accession_number", _SEARCHED, nullable=False, index=True),
    Column("patient_id", _SEARCHED, index=True),
    Column("calling_ae_title", FreeText, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("path", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("gone_at", UtcDateTime),  # since when its file is no longer kept
    Index("ix_instances_kept", "path", sqlite_where=_KEPT, postgresql_where=_KEPT),
)

outcomes = Table(
    "outcomes",
    metadata,
    _uid("sop_instance_uid", primary_key=True),
    _uid("study_instance_uid", nullable=False, index=True),
    Column("revision", Integer, nullable=False),
    Column("outcome", String(32), nullable=False),
    Column("reason", String(64)),
    Column("detail", FreeText),
    Column("probability", Float),
    Column("threshold", Float),
    Column("model_name", FreeText),
    Column("model_version", FreeText),
    Column("model_sha256", String(64)),
)

# Every reading of every revision; `outcomes` holds the newest alone.
readings = Table(
    "readings",
    metadata,
    _uid("sop_instance_uid", primary_key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    _uid("study_instance_uid", nullable=False, index=True),
    Column("read_at", UtcDateTime, nullable=False),
    Column("outcome", String(32), nullable=False),
    Column("reason", String(64)),
    Column("detail", FreeText),
    Column("probability", Float),
    Column("threshold", Float),
    Column("model_name", FreeText),
    Column("model_version", FreeText),
    Column("model_sha256", String(64)),
    Column("setup_sha256", String(64)),
    Column("evidence", FreeText),
)

setups = Table(
    "setups",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("document", Text, nullable=False),
)

objects = Table(
    "objects",
    metadata,
    _uid("sop_instance_uid", primary_key=True),
    _uid("study_instance_uid", nullable=False, index=True),
    Column("revision", Integer, nullable=False),
    Column("kind", String(16), nullable=False),
    _uid("sop_class_uid", nullable=False),
    _uid("transfer_syntax_uid", nullable=False),
    _uid("source_sop_instance_uid"),
    Column("path", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("gone_at", UtcDateTime),  # since when its file is no longer kept
    Index("ix_objects_kept", "path", sqlite_where=_KEPT, postgresql_where=_KEPT),
)

deliveries = Table(
    "deliveries",
    metadata,
    _uid("sop_instance_uid", primary_key=True),
    Column("node", String(64), primary_key=True),
    _uid("study_instance_uid", nullable=False, index=True),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("queued_at", UtcDateTime, nullable=False),
    Column("next_attempt_at", UtcDateTime, nullable=False),
    Column("accepted_at", UtcDateTime),
    Column("detail", FreeText),
    Column("delivered_name", FreeText),
    _uid("delivered_sop_class_uid"),
    _uid("delivered_sop_instance_uid"),
    _uid("delivered_transfer_syntax_uid"),
    Column("unreachable_since", UtcDateTime),  # since when it waits for the node to be there again
    Column("sent_at", UtcDateTime),  # when the node last answered the C-STORE with success
    Column("proof_tries", Integer, nullable=False, server_default="0"),  # since `sent_at`
    _uid("transaction_uid", index=True),  # of the storage commitment that was last asked for
    Index("ix_deliveries_node_state_next_attempt_at", "node", "state", "next_attempt_at"),
    Index("ix_deliveries_queued_at", "queued_at"),  # the newest first, without sorting them all
)

negotiated_forms = Table(
    "negotiated_forms",
    metadata,
    Column("node", String(64), primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("name", FreeText, nullable=False),
    _uid("sop_class_uid", nullable=False),
    _uid("transfer_syntax_uid", nullable=False),
    Column("decided_at", UtcDateTime, nullable=False),
)

_READ = text("probability IS NOT NULL")
audit_events = Table(
    "audit_events",
    metadata,
    # The number is the event's place in the chain: a database's own numbers leave gaps where a transaction failed.
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", FreeText, nullable=False),
    Column("action", String(32), nullable=False),
    _uid("study_instance_uid"),
    _uid("sop_instance_uid"),
    Column("outcome", String(64)),
    Column("detail", FreeText),
    Column("calling_ae_title", FreeText),  # the station that sent the study
    Column("probability", Float),
    Column("model", FreeText),
    Column("previous_sha256", String(64), nullable=False),
    Column("sha256", String(64), nullable=False),
    Index("ix_audit_events_at", "at"),
    # Each filter finds the newest first without sorting.
    Index("ix_audit_events_study_instance_uid", "study_instance_uid", "at"),
    Index("ix_audit_events_sop_instance_uid", "sop_instance_uid", "at"),
    Index("ix_audit_events_action", "action", "at"),
    Index("ix_audit_events_outcome", "outcome", "at"),
    Index("ix_audit_events_actor", "actor", "at"),
    Index("ix_audit_events_calling_ae_title", "calling_ae_title", "at"),
    Index("ix_audit_events_model", "model", "at"),
    # Of readings alone, with all that a range of probabilities asks for.
    Index("ix_audit_events_probability", "at", "id", "probability", sqlite_where=_READ, postgresql_where=_READ),
)

# Questions about the audit log that somebody asks again: options as JSON, none of which is a patient.
named_queries = Table(
    "named_queries",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("options", FreeText, nullable=False),
    Column("saved_at", UtcDateTime, nullable=False),
)

# SQLite alone: which events have which three letters in a row (FTS5). Not in `metadata`: no other database has it.
audit_text = table("audit_text", column("rowid", Integer), column("audit_text", Text))

# One row: the last event. Whoever appends holds it until the transaction ends.
audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
)

# Up to which event somebody outside has the log.
audit_followers = Table(
    "audit_followers",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("sequence", BigInteger, nullable=False),
)

# Where events were removed from the old end: the last that is gone, signed. The triggers let go only what one covers.
audit_anchors = Table(
    "audit_anchors",
    metadata,
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("sha256", String(64), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("public_key", String(64), nullable=False),
    Column("signature", String(128), nullable=False),
)

# Which folder holds the files that the ledger tells of: one row, once a service has begun with both.
data_folder = Table(
    "data_folder",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("mark", String(32), nullable=False),
)

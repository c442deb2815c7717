"""The nouns of the store: frozen values that go in and out of the ledger."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class StudyState(StrEnum):
    """Where a study stands."""

    RECEIVING = "RECEIVING"
    PROCESSING = "PROCESSING"
    READY = "READY"
    DELIVERED = "DELIVERED"
    DECLINED = "DECLINED"
    FAILED = "FAILED"


TRANSITIONS: dict[StudyState, frozenset[StudyState]] = {
    StudyState.RECEIVING: frozenset({StudyState.PROCESSING}),
    StudyState.PROCESSING: frozenset(
        {StudyState.READY, StudyState.DECLINED, StudyState.FAILED, StudyState.RECEIVING, StudyState.PROCESSING}
    ),
    StudyState.READY: frozenset({StudyState.DELIVERED, StudyState.RECEIVING}),
    StudyState.DELIVERED: frozenset({StudyState.RECEIVING}),
    StudyState.DECLINED: frozenset({StudyState.RECEIVING}),
    StudyState.FAILED: frozenset({StudyState.RECEIVING}),
}


class DeliveryState(StrEnum):
    """Where one object stands with one node; SENT: it answered with success, and the proof is outstanding."""

    PENDING = "PENDING"
    SENT = "SENT"
    ACCEPTED = "ACCEPTED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class Receipt(StrEnum):
    """What an arriving instance was to the ledger."""

    NEW = "new"
    RESENT = "resent"
    RESENT_DIFFERENT = "resent with other content"
    OF_ANOTHER_STUDY = "known in another study"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFile:
    """A file that survives a power cut; `path` is relative to the store."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredInstance:
    """An instance that was kept and may be answered with success; its patient's ID is in no text made of it.

    `gone_at` is since when its file is no longer kept, its results having been delivered.
    """

    sop_instance_uid: str
    sop_class_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    accession_number: str
    calling_ae_title: str
    received_at: datetime
    file: KeptFile
    patient_id: str | None = field(default=None, repr=False)
    gone_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceOutcome:
    """What was said of one instance: a probability, or the code of the reason why there is none.

    `repairs` are sentences about what results do not carry as the instance has it; they are kept in the audit log.
    `setup_sha256` names the Setup that read it, `evidence` is what it went by, as text that means nothing here.
    """

    sop_instance_uid: str
    outcome: str
    reason: str | None = None
    detail: str | None = None
    probability: float | None = None
    threshold: float | None = None
    model_name: str | None = None
    model_version: str | None = None
    model_sha256: str | None = None
    repairs: tuple[str, ...] = ()
    setup_sha256: str | None = None
    evidence: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """All that reads instances: the network, the pixel pipeline, settings and software, as text named by its hash."""

    sha256: str
    document: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptReading:
    """What was said of an instance in one revision of its study; `setup` is None for one of an earlier version."""

    study_instance_uid: str
    revision: int
    read_at: datetime
    said: InstanceOutcome
    setup: Setup | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupChange:
    """From `at` on, a service read with this setup, and with another one before."""

    at: datetime
    setup: Setup


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultObject:
    """A report or capture that was built and kept; these bytes are sent at each try."""

    kind: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    source_sop_instance_uid: str | None
    file: KeptFile


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyResult:
    """All that reading one revision of a study came to."""

    outcome: str
    probability: float | None
    priority: str
    priority_reasons: tuple[str, ...]
    outcomes: tuple[InstanceOutcome, ...]
    objects: tuple[ResultObject, ...]

    @property
    def is_declined(self) -> bool:
        """Whether there is nothing to send: no radiograph was in the study, or none that is reported."""
        return not self.objects


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRecord:
    """One study as the ledger sees it."""

    study_instance_uid: str
    state: StudyState
    revision: int
    accession_number: str
    calling_ae_title: str
    received_at: datetime
    touched_at: datetime
    attempts: int
    reason: str | None
    outcome: str | None
    probability: float | None
    priority: str | None
    priority_reasons: tuple[str, ...]
    read_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedStudy:
    """A study under lease: only the holder of `lease` may bring it to an end.

    `rerun` counts how often it was read again on demand; `previous_report` is the newest report that it has.
    `instances` are those whose files are kept, `read_before` what was said of the others.
    """

    study_instance_uid: str
    revision: int
    rerun: int
    previous_report: ResultObject | None
    lease: str
    attempts: int
    touched_at: datetime
    instances: tuple[StoredInstance, ...]
    read_before: tuple[InstanceOutcome, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveredForm:
    """In which SOP class and transfer syntax, and under which UID, a node has an object; `name` is for people."""

    name: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NegotiatedForm:
    """The form in which a node last accepted objects of a kind; since `decided_at` it has not changed."""

    node: str
    kind: str
    name: str
    sop_class_uid: str
    transfer_syntax_uid: str
    decided_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One object on its way to one node."""

    node: str
    study_instance_uid: str
    object: ResultObject
    state: DeliveryState
    attempts: int
    queued_at: datetime
    next_attempt_at: datetime
    accepted_at: datetime | None
    detail: str | None
    delivered_as: DeliveredForm | None = None
    sent_at: datetime | None = None
    proof_tries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One line of the audit log; `identity` is None until it is written.

    `calling_ae_title` is the station that sent the study; left out, it is that of the study when the event is written.
    """

    at: datetime
    actor: str
    action: str
    study_instance_uid: str | None = None
    sop_instance_uid: str | None = None
    outcome: str | None = None
    detail: str | None = None
    calling_ae_title: str | None = None
    probability: float | None = None
    model: str | None = None
    identity: int | None = None
    previous_sha256: str | None = None
    sha256: str | None = None

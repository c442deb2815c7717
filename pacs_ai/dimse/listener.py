"""Storage and Verification SCP: the instance is durable and in the ledger before it is answered with success."""

import io
import logging
import re
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import cast

from pacs_ai_storage.database import LedgerUnavailable
from pacs_ai_storage.instances import InstanceStore, OutOfSpace
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.records import AuditEvent, Receipt, StoredInstance
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.dimse_primitives import C_STORE

from pacs_ai.deflation import inflate
from pacs_ai.header import PARSE_ERRORS, quietly, text
from pacs_ai.settings import DicomSettings
from pacs_ai.tls import Certificates

from .admission import Admission
from .alerts import Alerts
from .arriving import FRONT_BYTES, ArrivingInstance, arriving_instance, preamble
from .contexts import TimeLimits, accept_commitment, accept_everything_stored, new_ae
from .refusals import Refusals
from .server import Server, admit
from .transport import Limits

log = logging.getLogger(__name__)

_UID = re.compile(r"(?=.{1,64}$)[0-9]+(\.[0-9]+)*")
_ANY_NUMBER = 1 << 30
_END_SECONDS = 5.0


class StoreStatus(IntEnum):
    """Statuses of C-STORE by their names in PS3.4 B.2.3."""

    SUCCESS = 0x0000
    OUT_OF_RESOURCES = 0xA700
    DATA_SET_DOES_NOT_MATCH_SOP_CLASS = 0xA900
    CANNOT_UNDERSTAND = 0xC000


class InvalidInstance(Exception):
    """A data set that cannot be kept as an instance; carries the status to answer with."""

    def __init__(self, status: StoreStatus, comment: str) -> None:
        super().__init__(comment)
        self.status = status
        self.comment = comment


@dataclass(frozen=True, slots=True)
class Listener:
    """The running SCP; `port` is the one that was bound."""

    port: int
    server: Server

    def stop(self) -> None:
        """No association is accepted any more, and those under way have ended."""
        under_way = self.server.ae.active_associations
        self.server.admission.close()
        self.server.shutdown()
        self.server.ae.shutdown()
        for association in under_way:
            association.join(_END_SECONDS)


def listen(  # noqa: PLR0913 - what the port stands between, and two for tests
    settings: DicomSettings,
    store: InstanceStore,
    ledger: Ledger,
    *,
    port: int | None = None,
    commitment: Sequence[evt.EventHandlerType] = (),
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    limits: Limits | None = None,
    alerts: Alerts | None = None,
    refusals: Refusals | None = None,
    answered: Callable[[int], None] = lambda _status: None,
) -> Listener:
    """The SCP accepts associations; `commitment` handles storage commitment.

    `alerts` are told who is turned away, `refusals` which instances, `answered` hears each status of C-STORE.

    Raises OSError when the port cannot be bound, SettingsError for wrong certificates.
    """
    limits = limits or _limits(settings)
    refusals = refusals or Refusals(ledger=ledger, now=now)
    certificates = Certificates(settings.tls) if settings.tls.is_on else None
    ae = new_ae(settings.ae_title, TimeLimits(associate=limits.request_seconds, answer=settings.idle_seconds))
    ae.maximum_associations = _ANY_NUMBER  # pynetdicom counts connections that have not even asked
    ae.maximum_pdu_size = settings.max_pdu
    ae.require_called_aet = True
    ae.require_calling_aet = list(settings.allowed_calling_ae_titles)
    accept_everything_stored(ae)
    accept_commitment(ae)
    admission = Admission(
        addresses=settings.allowed_addresses,
        most=settings.max_associations,
        most_per_peer=settings.max_associations_per_peer,
        quiet_seconds=limits.quiet_seconds,
    )

    def on_c_store(event: evt.Event) -> Dataset:
        answer = _answer(event, store, ledger, refusals, now)
        answered(int(answer.Status))
        return answer

    handlers: list[evt.EventHandlerType] = [
        (evt.EVT_C_STORE, on_c_store),
        (evt.EVT_C_ECHO, lambda _event: 0x0000),
        (evt.EVT_REQUESTED, admit),
        (evt.EVT_REJECTED, lambda event: _on_rejected(event, alerts)),
        *commitment,
    ]
    server = Server(
        ae,
        (settings.host, settings.port if port is None else port),
        handlers,
        admission=admission,
        limits=limits,
        certificates=certificates,
        begin_file=store.begin,
        alerts=alerts,
    )
    server.start()
    return Listener(port=server.server_address[1], server=server)


def _limits(settings: DicomSettings) -> Limits:
    return Limits(
        pdu_bytes=max(settings.max_pdu, Limits().pdu_bytes),
        message_bytes=settings.max_message_mb << 20,
    )


def _on_rejected(event: evt.Event, alerts: Alerts | None) -> None:
    calling, called = (_ae_title(name) for name in _titles(event))
    log.warning("association rejected: calling AE %r, called AE %r", calling, called)
    if alerts is not None:
        address = _address(event)
        alerts.turned_away(address, f"association from {address} to {called!r} rejected", calling=calling)


def _address(event: evt.Event) -> str:
    return str(event.assoc.requestor.address)


def _titles(event: evt.Event) -> tuple[str, str]:
    requestor = event.assoc.requestor.primitive
    return (requestor.calling_ae_title, requestor.called_ae_title) if requestor else ("", "")


def _ae_title(raw: str | None) -> str:
    return (raw or "").strip()


def _answer(
    event: evt.Event, store: InstanceStore, ledger: Ledger, refusals: Refusals, now: Callable[[], datetime]
) -> Dataset:
    """Keep, record, then answer: the modality never waits for the network that reads."""
    calling = _ae_title(event.assoc.requestor.ae_title)
    try:
        instance = _keep(event, store, calling, now())
        receipt = _record(instance, ledger)
    except InvalidInstance as invalid:
        log.warning("instance refused from %s: %s", calling, invalid.comment)
        refusals.note(_address(event), _refused(event, calling, invalid.status, invalid.comment, now()))
        return _status(invalid.status, invalid.comment)
    except OutOfSpace as error:
        log.error("instance refused from %s: %s", calling, error)  # noqa: TRY400 - a full disk is no fault of the code
        refusals.note(_address(event), _refused(event, calling, StoreStatus.OUT_OF_RESOURCES, str(error), now()))
        return _status(StoreStatus.OUT_OF_RESOURCES, str(error))
    except (OSError, LedgerUnavailable):
        # A status that makes the peer try again; what was kept and not recorded is kept again then.
        log.exception("instance from %s could not be kept", calling)
        return _status(StoreStatus.OUT_OF_RESOURCES, "the instance could not be kept; try again")
    log.info("instance %s from %s: %s", instance.sop_instance_uid, calling, receipt.value)
    return _status(StoreStatus.SUCCESS)


def _record(instance: StoredInstance, ledger: Ledger) -> Receipt:
    receipt = ledger.record(instance)
    if receipt is Receipt.OF_ANOTHER_STUDY:
        raise InvalidInstance(StoreStatus.CANNOT_UNDERSTAND, "this SOP Instance UID is known in another study")
    return receipt


def _request(event: evt.Event) -> C_STORE:
    return cast("C_STORE", event.request)


def _status(status: StoreStatus, comment: str = "") -> Dataset:
    answer = Dataset()
    answer.Status = int(status)
    if comment:
        answer.ErrorComment = comment[:64]  # LO
    return answer


def _keep(event: evt.Event, store: InstanceStore, calling: str, received_at: datetime) -> StoredInstance:
    with _arriving(event, store) as arriving:
        if arriving.is_exceeded:
            raise InvalidInstance(StoreStatus.OUT_OF_RESOURCES, "the instance is larger than dicom.max_message_mb")
        arriving.check()
        header = _parsed(event, arriving)
        file = arriving.keep()
    return StoredInstance(
        sop_instance_uid=text(header, "SOPInstanceUID"),
        sop_class_uid=text(header, "SOPClassUID"),
        study_instance_uid=text(header, "StudyInstanceUID"),
        series_instance_uid=text(header, "SeriesInstanceUID"),
        transfer_syntax_uid=str(event.context.transfer_syntax),
        accession_number=text(header, "AccessionNumber"),
        calling_ae_title=calling,
        received_at=received_at,
        file=file,
        patient_id=text(header, "PatientID"),
    )


def _arriving(event: evt.Event, store: InstanceStore) -> ArrivingInstance:
    """What has come; an instance that came in one PDU with its command goes to the store now."""
    request = _request(event)
    received = request.DataSet
    if isinstance(received, ArrivingInstance):
        return received
    content = received.getvalue() if received is not None else b""
    arriving = arriving_instance(
        str(request.AffectedSOPClassUID),
        str(request.AffectedSOPInstanceUID),
        str(event.context.transfer_syntax),
        store.begin,
        len(content),
    )
    arriving.write(content)
    return arriving


def _parsed(event: evt.Event, arriving: ArrivingInstance) -> Dataset:
    header = _read_header(arriving)
    _check_uids(header)
    if text(header, "SOPClassUID") != str(_request(event).AffectedSOPClassUID):
        raise InvalidInstance(
            StoreStatus.DATA_SET_DOES_NOT_MATCH_SOP_CLASS, "SOP Class UID of data set and command differ"
        )
    if text(header, "SOPInstanceUID") != str(_request(event).AffectedSOPInstanceUID):
        raise InvalidInstance(StoreStatus.CANNOT_UNDERSTAND, "SOP Instance UID of data set and command differ")
    return header


def _read_header(arriving: ArrivingInstance) -> Dataset:
    tags = [
        "SOPClassUID",
        "SOPInstanceUID",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "AccessionNumber",
        "PatientID",
        "SpecificCharacterSet",
    ]
    try:
        beginning, front = arriving.preamble, arriving.getvalue()
        if arriving.meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian:
            meta, front = deepcopy(arriving.meta), inflate(front, FRONT_BYTES)
            meta.TransferSyntaxUID = ExplicitVRLittleEndian
            beginning = preamble(meta)
        file = io.BytesIO(beginning + front)
        with quietly():
            return dcmread(file, stop_before_pixels=True, specific_tags=tags)
    except PARSE_ERRORS as error:
        raise InvalidInstance(StoreStatus.CANNOT_UNDERSTAND, "the data set cannot be parsed") from error


def _check_uids(header: Dataset) -> None:
    for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        found = text(header, keyword)
        if not _UID.fullmatch(found):
            problem = "is missing" if not found else "is not a UID"
            raise InvalidInstance(StoreStatus.CANNOT_UNDERSTAND, f"{keyword} {problem}")


def _refused(event: evt.Event, calling: str, status: StoreStatus, comment: str, at: datetime) -> AuditEvent:
    claimed = str(_request(event).AffectedSOPInstanceUID or "")
    return AuditEvent(
        at=at,
        actor=calling,
        action="refuse-receive",
        sop_instance_uid=claimed if _UID.fullmatch(claimed) else None,
        outcome=f"0x{status:04X}",
        detail=comment,
        calling_ae_title=calling,
    )

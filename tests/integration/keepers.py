"""A stand-in PACS that can be asked what it has, commits itself to it, and can forget it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread

from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage, SecondaryCaptureImageStorage
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, build_role, evt
from pynetdicom.association import Association
from pynetdicom.dimse_messages import N_ACTION_RSP
from pynetdicom.presentation import PresentationContext, build_context

from pacs_ai.dimse.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE
from pacs_ai.dimse.finder import STUDY_ROOT_FIND

from .peers import HOST, Archive, stop

RESULTS = (Comprehensive3DSRStorage, SecondaryCaptureImageStorage)


@dataclass
class Keeper(Archive):
    """It reports on the same association, on one of its own to `reports_to`, or, being `silent`, never."""

    forgets: bool = False
    silent: bool = False
    never_ends: bool = False
    fails_to_find: set[str] = field(default_factory=set)
    lacks: set[str] = field(default_factory=set)
    reports_to: int | None = None
    status: int = 0x0000
    holds: dict[str, Dataset] = field(default_factory=dict)
    queries: list[Dataset] = field(default_factory=list)
    transactions: list[str] = field(default_factory=list)
    reported: list[int] = field(default_factory=list)
    _due: list[Dataset] = field(default_factory=list)

    def keep(self, event: evt.Event) -> int:
        status = self.take(event)
        if status == 0x0000 and not self.forgets:
            received = event.dataset
            self.holds[str(received.SOPInstanceUID)] = received
        return status

    def find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        asked = event.identifier
        self.queries.append(asked)
        wanted = asked["SOPInstanceUID"].value
        if wanted in self.fails_to_find:
            yield 0xC000, None
            return
        while self.never_ends:
            yield 0xFF00, asked
        for instance in [wanted] if isinstance(wanted, str) else wanted:
            held = self.holds.get(instance)
            if held is None or held.SeriesInstanceUID != asked.SeriesInstanceUID:
                continue
            assert (held.StudyInstanceUID, asked.QueryRetrieveLevel) == (asked.StudyInstanceUID, "IMAGE")
            match = Dataset()
            match.SOPInstanceUID = instance
            yield 0xFF00, match

    def commit(self, event: evt.Event) -> tuple[int, Dataset | None]:
        asked = event.action_information
        self.transactions.append(asked.TransactionUID)
        report = Dataset()
        report.TransactionUID = asked.TransactionUID
        known = self.holds.keys() - self.lacks
        report.ReferencedSOPSequence = [
            item for item in asked.ReferencedSOPSequence if item.ReferencedSOPInstanceUID in known
        ]
        report.FailedSOPSequence = [
            item for item in asked.ReferencedSOPSequence if item.ReferencedSOPInstanceUID not in known
        ]
        for item in report.FailedSOPSequence:
            item.FailureReason = 0x0112
        self._due.append(report)
        return self.status, None

    def answered(self, event: evt.Event) -> None:
        if isinstance(event.message, N_ACTION_RSP) and not self.silent and self.status == 0x0000:
            Thread(target=self.report, args=(event.assoc, self._due.pop())).start()

    def report(self, association: Association, report: Dataset) -> None:
        if self.reports_to is None:
            self._tell(association, report)
            return
        role = build_role(PUSH_MODEL, scp_role=True)
        ours = AE(ae_title=self.ae_title).associate(
            HOST, self.reports_to, contexts=[build_context(PUSH_MODEL)], ae_title="PACS_AI", ext_neg=[role]
        )
        self._tell(ours, report)
        ours.release()

    def _tell(self, association: Association, report: Dataset) -> None:
        kind = 2 if report.FailedSOPSequence else 1
        status, _ = association.send_n_event_report(report, kind, PUSH_MODEL, PUSH_MODEL_INSTANCE)
        self.reported.append(int(status.Status))


@contextmanager
def keeping(keeper: Keeper, *more: PresentationContext) -> Iterator[Keeper]:
    """The keeper listens; it takes images, and these contexts."""
    ae = AE(ae_title=keeper.ae_title)
    ae.supported_contexts = [*(build_context(found, ALL_TRANSFER_SYNTAXES) for found in RESULTS), *more]
    handlers: list[evt.EventHandlerType] = [
        (evt.EVT_C_STORE, keeper.keep),
        (evt.EVT_C_FIND, keeper.find),
        (evt.EVT_N_ACTION, keeper.commit),
        (evt.EVT_DIMSE_SENT, keeper.answered),
    ]
    server = ae.start_server((HOST, keeper.port), block=False, evt_handlers=handlers)
    keeper.port, keeper.ae = server.server_address[1], ae
    try:
        yield keeper
    finally:
        stop(ae)


FIND = build_context(STUDY_ROOT_FIND)
COMMIT = build_context(PUSH_MODEL)

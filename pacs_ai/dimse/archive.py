"""A stand-in PACS for `demo` and `simulate`: it takes results, remembers them, and misbehaves when it is told to."""

import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from socket import create_server
from threading import Event, Lock, Timer

from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from pacs_ai.header import items, text, texts

from .contexts import SharedContexts, accept_everything_stored, new_ae
from .finder import STUDY_ROOT_FIND

_SUCCESS, _PENDING, _PROCESSING_FAILURE = 0x0000, 0xFF00, 0x0110
_OUT_OF_RESOURCES, _DOES_NOT_MATCH_SOP_CLASS = 0xA700, 0xA900


class Trouble(StrEnum):
    """What a PACS may do instead of taking an instance and keeping it."""

    REFUSE = "refuse"  # 0xA900: never, as things are
    BUSY = "busy"  # 0xA700: not now
    STALL = "stall"  # it answers late, or never
    ABORT = "abort"  # the association ends in the middle
    FORGET = "forget"  # it answers with success, and has it not
    AWAY = "away"  # it does not listen


_STATUS = {Trouble.REFUSE: _DOES_NOT_MATCH_SOP_CLASS, Trouble.BUSY: _OUT_OF_RESOURCES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """Which troubles the PACS has. An instance meets the n-th of them at the n-th time that it is sent, then none.

    `share` is how many instances in one meet any, drawn by `seed`; a stalled answer comes after `stall_seconds`, never
    when that is None. Whoever is away is so for the first `away_seconds`.
    """

    troubles: tuple[Trouble, ...] = ()
    share: float = 1.0
    seed: int = 0
    stall_seconds: float | None = 10.0
    away_seconds: float = 0.0

    def trouble_of(self, sop_instance_uid: str, time_sent: int) -> Trouble | None:
        """What this instance meets when it is sent for the n-th time, from 0."""
        met = [trouble for trouble in self.troubles if trouble is not Trouble.AWAY]
        if time_sent >= len(met):
            return None
        chance = random.Random(f"{self.seed}:{sop_instance_uid}").random()  # noqa: S311 - the same for the same seed
        return met[time_sent] if chance < self.share else None


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedResult:
    """An instance that was sent to the PACS; `is_kept` when it has it from then on.

    `at` is the moment of its answer on the monotonic clock, `status` is None where it gave none. `about` are the
    instances that a report or capture speaks of, `replaces` the reports before it.
    """

    at: float
    status: int | None
    is_kept: bool
    is_report: bool
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    about: frozenset[str]
    replaces: frozenset[str]


@dataclass(slots=True)
class StandInArchive:
    """What it has: SOP Instance UID to SOP Class UID; and what it was offered, in the order of its answers."""

    ae_title: str = "ARCHIVE"
    behaviour: Behaviour = field(default_factory=Behaviour)
    accepted: dict[str, str] = field(default_factory=dict)
    offered: list[OfferedResult] = field(default_factory=list)
    _times_sent: Counter[str] = field(default_factory=Counter)
    _stopped: Event = field(default_factory=Event)
    _lock: Lock = field(default_factory=Lock)
    _ae: AE | None = None
    _return: Timer | None = None

    def start(self, host: str, port: int = 0) -> int:
        """It listens; returns the port. One that is away listens when it is back; its port has to be named.

        Raises OSError when the port cannot be bound.
        """
        if Trouble.AWAY in self.behaviour.troubles and self._return is None:
            assert port, "a PACS that is away is expected at a port"
            create_server((host, port)).close()
            self._return = Timer(self.behaviour.away_seconds, self._listen, (host, port))
            self._return.start()
            return port
        return self._listen(host, port)

    def stop(self) -> None:
        """It no longer listens."""
        self._stopped.set()
        if self._return is not None:
            self._return.cancel()
            self._return.join()
        if self._ae is not None:
            for association in self._ae.active_associations:
                association.join(1)  # one that is about to end may
            self._ae.shutdown()

    def results(self) -> list[OfferedResult]:
        """What it was offered so far."""
        with self._lock:
            return list(self.offered)

    def _listen(self, host: str, port: int) -> int:
        self._ae = ae = new_ae(self.ae_title)
        ae.maximum_pdu_size = 65536
        ae.maximum_associations = 64
        ae.require_called_aet = True
        accept_everything_stored(ae)
        ae.add_supported_context(STUDY_ROOT_FIND)
        handlers: list[evt.EventHandlerType] = [
            (evt.EVT_C_STORE, self._on_c_store),
            (evt.EVT_C_FIND, self._on_c_find),
        ]
        server = ae.start_server((host, port), block=False, evt_handlers=handlers)
        assert server is not None
        server.contexts = SharedContexts(server.contexts)
        return int(server.server_address[1])

    def _on_c_store(self, event: evt.Event) -> int:
        received = event.dataset
        uid = text(received, "SOPInstanceUID")
        with self._lock:
            trouble = self.behaviour.trouble_of(uid, self._times_sent[uid])
            self._times_sent[uid] += 1
        status = self._status(trouble)
        with self._lock:
            self.offered.append(
                offered_result(received, status, is_kept=status == _SUCCESS and trouble != Trouble.FORGET)
            )
            if self.offered[-1].is_kept:
                self.accepted[uid] = text(received, "SOPClassUID")
        if status is None:
            event.assoc.abort()
        return _PROCESSING_FAILURE if status is None else status

    def _status(self, trouble: Trouble | None) -> int | None:
        """The answer when its time has come; None when there is none."""
        if trouble is Trouble.STALL:
            was_stopped = self._stopped.wait(self.behaviour.stall_seconds)
            return None if was_stopped else _SUCCESS
        if trouble is Trouble.ABORT:
            return None
        return _STATUS.get(trouble, _SUCCESS) if trouble is not None else _SUCCESS

    def _on_c_find(self, event: evt.Event) -> Iterator[tuple[int, Dataset]]:
        """The instances that it has of those that are asked for (PS3.4 C.4.1)."""
        asked = event.identifier
        wanted = set(texts(asked, "SOPInstanceUID"))
        for item in self.results():
            if item.is_kept and item.sop_instance_uid in wanted:
                yield _PENDING, _match(item)


def _match(item: OfferedResult) -> Dataset:
    match = Dataset()
    match.QueryRetrieveLevel = "IMAGE"
    match.StudyInstanceUID = item.study_instance_uid
    match.SeriesInstanceUID = item.series_instance_uid
    match.SOPInstanceUID = item.sop_instance_uid
    return match


def offered_result(received: Dataset, status: int | None, *, is_kept: bool) -> OfferedResult:
    """What an instance says of itself, answered now."""
    return OfferedResult(
        at=time.monotonic(),
        status=status,
        is_kept=is_kept,
        is_report=text(received, "Modality") == "SR",
        sop_class_uid=text(received, "SOPClassUID"),
        sop_instance_uid=text(received, "SOPInstanceUID"),
        series_instance_uid=text(received, "SeriesInstanceUID"),
        study_instance_uid=text(received, "StudyInstanceUID"),
        about=frozenset(
            _evidence(received, "CurrentRequestedProcedureEvidenceSequence")
            | {text(item, "ReferencedSOPInstanceUID") for item in items(received, "SourceImageSequence")}
        ),
        replaces=frozenset(_evidence(received, "PredecessorDocumentsSequence")),
    )


def _evidence(report: Dataset, keyword: str) -> set[str]:
    return {
        text(instance, "ReferencedSOPInstanceUID")
        for study in items(report, keyword)
        for series in items(study, "ReferencedSeriesSequence")
        for instance in items(series, "ReferencedSOPSequence")
    }

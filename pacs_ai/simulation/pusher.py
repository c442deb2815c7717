"""The modalities of a trial: each study over an association of its own, as many at a time as there are modalities."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

from pacs_ai.dimse.sender import Sender
from pacs_ai.errors import PeerUnreachable
from pacs_ai.parcels import Answer, Parcel, SendOutcome
from pacs_ai.settings import Node

from .films import InventedStudies

_PAUSE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """What became of one instance: the last answer to it, None where none came; seconds that the answer took.

    `at` is the moment of that answer on the monotonic clock, `tries` how often it was sent,
    `why_unanswered` the reason where no answer came.
    """

    study_instance_uid: str
    sop_instance_uid: str
    status: int | None
    is_accepted: bool
    seconds: float
    at: float
    tries: int = 1
    why_unanswered: str = ""


class Pusher:
    """Sends each study at its time; what was not answered, or only for the moment refused, up to `tries` times."""

    def __init__(
        self,
        node: Node,
        sender: Sender,
        studies: InventedStudies,
        *,
        associations: int,
        tries: int,
        on_push: Callable[[Push], None],
    ) -> None:
        self._node, self._sender, self._studies = node, sender, studies
        self._associations, self._tries, self._on_push = associations, tries, on_push
        self._stop = Event()

    def stop(self) -> None:
        """No study is begun any more."""
        self._stop.set()

    def push(self, times: Sequence[float]) -> None:
        """Every study was sent at its time, or as soon after it as an association was free."""
        begun = time.monotonic()
        with ThreadPoolExecutor(self._associations, thread_name_prefix="modality") as pool:
            pushing = []
            for number, at in enumerate(times):
                if self._stop.wait(max(0.0, begun + at - time.monotonic())):
                    break
                pushing.append(pool.submit(self._push_study, number))
        for pushed in pushing:
            pushed.result()

    def _push_study(self, number: int) -> None:
        if self._stop.is_set():
            return
        with TemporaryDirectory(prefix="pacs-ai-simulate-") as folder:
            study = self._studies.write(number, Path(folder))
            waiting: Sequence[Parcel] = study.parcels
            for tries in range(1, self._tries + 1):
                waiting = self._try(study.study_instance_uid, waiting, tries)
                if not waiting or self._stop.wait(_PAUSE):
                    break

    def _try(self, study: str, parcels: Sequence[Parcel], tries: int) -> list[Parcel]:
        """What became of each instance is told; returns those that are to be sent again."""
        again = []
        for parcel, outcome, seconds in self._send(parcels):
            if tries < self._tries and _may_be_taken_later(outcome):
                again.append(parcel)
            else:
                self._on_push(_push(study, parcel, outcome, seconds, tries))
        return again

    def _send(self, parcels: Sequence[Parcel]) -> Iterator[tuple[Parcel, SendOutcome | PeerUnreachable, float]]:
        """Each instance with its outcome, as it comes, or the reason why no association came about."""
        answered = 0
        begun = time.monotonic()
        try:
            for outcome in self._sender.send(self._node, parcels):
                answered += 1
                yield outcome.parcel, outcome, time.monotonic() - begun
                begun = time.monotonic()
        except PeerUnreachable as error:
            yield from ((parcel, error, time.monotonic() - begun) for parcel in parcels[answered:])


def _may_be_taken_later(outcome: SendOutcome | PeerUnreachable) -> bool:
    return isinstance(outcome, PeerUnreachable) or outcome.answer is Answer.TRANSIENT


def _push(study: str, parcel: Parcel, outcome: SendOutcome | PeerUnreachable, seconds: float, tries: int) -> Push:
    answer = None if isinstance(outcome, PeerUnreachable) else outcome
    status = answer.status if answer else None
    why = answer.detail if answer else str(outcome)
    return Push(
        study_instance_uid=study,
        sop_instance_uid=parcel.sop_instance_uid,
        status=status,
        is_accepted=answer is not None and answer.is_accepted,
        seconds=seconds,
        at=time.monotonic(),
        tries=tries,
        why_unanswered=why if status is None else "",
    )

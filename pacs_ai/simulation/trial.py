"""A trial from its first study to its verdict."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Lock
from time import monotonic

from pacs_ai.dimse.archive import OfferedResult, StandInArchive
from pacs_ai.dimse.contexts import TimeLimits
from pacs_ai.dimse.sender import Sender
from pacs_ai.errors import PacsAiError
from pacs_ai.settings import Node

from .arrivals import Arrivals
from .films import InventedStudies, StudyShape
from .pusher import Push, Pusher
from .verdict import Verdict, judge, unreported

_POLL_SECONDS = 0.1
# As patient as a modality is: a service that is slow to answer shows in the latencies.
_MODALITY = TimeLimits(connect=30, associate=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far a trial has come: instances that will be sent, were answered, and are not yet in a report."""

    expected: int
    pushed: int
    waiting: int
    results: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialTerms:
    """What is sent to whom, and how long is waited for what comes back.

    When all reports are there, `quiet_seconds` without another result end the trial: a double comes late.
    """

    node: Node
    calling_ae_title: str
    arrivals: Arrivals
    shape: StudyShape
    seed: int
    associations: int = 4
    tries: int = 1
    wait_seconds: float = 120.0
    late_seconds: float = 60.0
    quiet_seconds: float = 2.0


@dataclass(slots=True)
class Trial:
    """One run; `archive` is the PACS that the service delivers to, where it is to be stood in for."""

    terms: TrialTerms
    archive: StandInArchive | None = None
    archive_address: tuple[str, int] = ("127.0.0.1", 0)
    _pushes: list[Push] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def run(self, watch: Callable[[Standing], None] = lambda _standing: None) -> Verdict:
        """The verdict, after everything was pushed and came back or was waited for long enough; Ctrl-C ends it early.

        Raises PacsAiError when the archive's port cannot be opened.
        """
        terms = self.terms
        times = terms.arrivals.times(terms.seed)
        pusher = Pusher(
            terms.node,
            Sender(terms.calling_ae_title, limits=_MODALITY),
            InventedStudies(terms.shape, terms.seed),
            associations=terms.associations,
            tries=terms.tries,
            on_push=self._note,
        )
        with self._listening(), ThreadPoolExecutor(1) as pushing:
            pushed = pushing.submit(pusher.push, times)
            try:
                self._wait(pushed.done, watch, len(times), until=float("inf"))
                pushed.result()
                self._wait_for_results(watch, len(times))
            except KeyboardInterrupt:
                pass
            finally:
                pusher.stop()
            offered = None if self.archive is None else self.archive.results()
        return judge(self._pushed(), offered, seed=terms.seed, late_seconds=terms.late_seconds)

    @contextmanager
    def _listening(self) -> Iterator[None]:
        if self.archive is None:
            yield
            return
        host, port = self.archive_address
        try:
            self.archive.start(host, port)
        except OSError as error:
            message = f"the stand-in PACS cannot listen on port {port}: {error.strerror}"
            raise PacsAiError(message) from error
        try:
            yield
        finally:
            self.archive.stop()

    def _wait_for_results(self, watch: Callable[[Standing], None], studies: int) -> None:
        if self.archive is None:
            return
        until = monotonic() + self.terms.wait_seconds
        self._wait(lambda: not unreported(self._pushed(), self._offered()), watch, studies, until=until)
        self._wait(self._is_quiet, watch, studies, until=until)

    def _wait(
        self, is_over: Callable[[], bool], watch: Callable[[Standing], None], studies: int, *, until: float
    ) -> None:
        while not is_over() and monotonic() < until:
            watch(self._standing(studies))
            Event().wait(_POLL_SECONDS)
        watch(self._standing(studies))

    def _is_quiet(self) -> bool:
        last = max((item.at for item in self._offered()), default=0.0)
        return monotonic() - last >= self.terms.quiet_seconds

    def _standing(self, studies: int) -> Standing:
        pushes, offered = self._pushed(), self._offered()
        return Standing(
            expected=studies * self.terms.shape.instances,
            pushed=len(pushes),
            waiting=len(unreported(pushes, offered)),
            results=len(offered),
        )

    def _note(self, push: Push) -> None:
        with self._lock:
            self._pushes.append(push)

    def _pushed(self) -> list[Push]:
        with self._lock:
            return list(self._pushes)

    def _offered(self) -> Sequence[OfferedResult]:
        return [] if self.archive is None else self.archive.results()

"""Studies read side by side: each is claimed, read, and brought to an end that stands in the ledger."""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from time import monotonic

from pacs_ai_storage.claims import MAX_ATTEMPTS, ClaimTerms
from pacs_ai_storage.database import LedgerUnavailable
from pacs_ai_storage.instances import InstanceStore, OutOfSpace
from pacs_ai_storage.ledger import LeaseLost, Ledger
from pacs_ai_storage.records import ClaimedStudy

from .errors import DecoderUnavailable
from .process import Reader, read_claimed

log = logging.getLogger(__name__)

_PAUSE_AFTER_TROUBLE = timedelta(seconds=5)
_PAUSE_AFTER_DISK = timedelta(minutes=1)
_PAUSE_BEFORE_SETTLING = 2.0
# A reader that lives keeps its study, though not for ever: one that hangs must not hold it.
_RENEWALS_PER_LEASE = 4
_LONGEST_READING = timedelta(minutes=30)


class Readers:
    """At most `at_once` studies are under way; their images meet in the network's batches."""

    def __init__(  # noqa: PLR0913 - what readers stand between
        self,
        reader: Reader,
        ledger: Ledger,
        instances: InstanceStore,
        *,
        terms: ClaimTerms,
        nodes: Sequence[str],
        at_once: int,
        timed: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        self._reader = reader
        self._ledger = ledger
        self._instances = instances
        self._terms = terms
        self._nodes = nodes
        self._timed = timed
        self._slots = threading.BoundedSemaphore(at_once)
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="reader")
        self._under_way: dict[str, tuple[ClaimedStudy, datetime]] = {}
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._had_room = True
        self._clock: Callable[[], datetime] | None = None
        self._renewal = threading.Thread(target=self._renew, name="leases", daemon=True)

    def begin_one(self, now: Callable[[], datetime]) -> bool:
        """A stable study is being read, once a reader is free; False when there is none."""
        self._slots.acquire()
        claimed = None
        try:
            if self._has_room():
                claimed = self._ledger.claim_stable(now(), self._terms)
        finally:
            if claimed is None:
                self._slots.release()
        if claimed is None:
            return False
        self._under_way[claimed.lease] = (claimed, now())
        self._renew_from_now_on(now)
        self._pool.submit(self._read, claimed, now).add_done_callback(lambda _done: self._let_go(claimed))
        return True

    def _has_room(self) -> bool:
        """What could not be kept is not begun: each try would be read, and add events to the ledger, in vain."""
        has_room = self._instances.has_room_for_results()
        if not has_room and self._had_room:
            log.warning("no study is read: the disk is full, or does not answer")
        self._had_room = has_room
        return has_room

    def finish(self) -> None:
        """What was begun has come to its end."""
        self._stopping.set()
        self._pool.shutdown()
        self._ended.set()

    def _let_go(self, claimed: ClaimedStudy) -> None:
        del self._under_way[claimed.lease]
        self._slots.release()

    def _renew_from_now_on(self, now: Callable[[], datetime]) -> None:
        if self._clock is None:
            self._clock = now
            self._renewal.start()

    def _renew(self) -> None:
        assert self._clock is not None
        while not self._ended.wait(self._terms.lease.total_seconds() / _RENEWALS_PER_LEASE):
            now = self._clock()
            under_way = list(self._under_way.values())
            try:
                self._ledger.renew(
                    [claimed for claimed, since in under_way if now - since < _LONGEST_READING], now + self._terms.lease
                )
            except LedgerUnavailable:
                log.warning("leases are not renewed: the ledger is not available")

    def _read(self, claimed: ClaimedStudy, now: Callable[[], datetime]) -> None:
        study, begun = claimed.study_instance_uid, monotonic()
        try:
            result = read_claimed(claimed, self._reader, self._instances)
            self._ledger.keep_results(claimed, result, self._nodes, now())
        except LeaseLost:
            log.info("study %s changed while it was read; it is read again", study)
        except (OutOfSpace, LedgerUnavailable, DecoderUnavailable) as trouble:
            log.warning("study %s has to wait: %s", study, trouble)
            reason, until = type(trouble).__name__, now() + _PAUSE_AFTER_TROUBLE
            self._settle(study, lambda: self._ledger.postpone(claimed, until, reason, now()))
        except OSError as error:
            # The disk may come back; a file that has gone does not, so that the attempts are counted.
            log.warning("study %s: attempt %d ended in %s", study, claimed.attempts, error.strerror)
            fault = type(error).__name__
            self._settle(study, lambda: self._try_later(claimed, fault, now))
        except Exception as error:
            # One bad study harms itself alone.
            log.exception("study %s failed", study)
            reason = type(error).__name__
            self._settle(study, lambda: self._ledger.fail(claimed, reason, now()))
        else:
            self._timed(monotonic() - begun)
            log.info("study %s: %s", study, result.outcome)

    def _try_later(self, claimed: ClaimedStudy, reason: str, now: Callable[[], datetime]) -> None:
        if claimed.attempts < MAX_ATTEMPTS:
            self._ledger.postpone(claimed, now() + _PAUSE_AFTER_DISK, reason, now(), counts=True)
        else:
            self._ledger.fail(claimed, reason, now())

    def _settle(self, study: str, settle: Callable[[], None]) -> None:
        """The study is settled, however long the ledger is away: leases that run out meanwhile count as attempts."""
        while True:
            try:
                settle()
            except LeaseLost:
                log.info("study %s changed meanwhile; it is read again", study)
            except LedgerUnavailable:
                if not self._stopping.wait(_PAUSE_BEFORE_SETTLING):
                    continue
                log.warning("study %s is claimed again after a restart, or when its lease runs out", study)
            return

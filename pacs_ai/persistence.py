"""Steps that are taken again and again, and go on when the ledger is there again."""

import logging
import threading
from collections.abc import Callable

from pacs_ai_storage.database import LedgerUnavailable

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.1
_PAUSE_AFTER_TROUBLE = 2.0


class Persistence:
    """For the threads of one service; every wait ends when the service stops."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def insist(self, step: Callable[[], None]) -> None:
        """The step is taken, however long the ledger is away; raises LedgerUnavailable when the service stops first."""
        while True:
            try:
                return step()
            except LedgerUnavailable as error:
                log.warning("the ledger is not available (%s); trying again", error)
                if self._stop.wait(_PAUSE_AFTER_TROUBLE):
                    raise

    def repeat(self, step: Callable[[], bool], *, pause_between: float = _POLL_SECONDS) -> None:
        """The step is taken until the service stops; after one that found nothing to do there is a pause."""
        self.pace(lambda: 0.0 if step() else pause_between)

    def pace(self, step: Callable[[], float]) -> None:
        """The step is taken until the service stops; it says how many seconds to wait before the next."""
        while not self._stop.is_set():
            try:
                pause = step()
            except LedgerUnavailable:
                log.exception("the ledger is not available; trying again")
                pause = _PAUSE_AFTER_TROUBLE
            if pause:
                self._stop.wait(pause)

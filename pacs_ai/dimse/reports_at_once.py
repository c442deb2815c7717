"""How many N-EVENT-REPORTs of a peer are served at the same moment: pynetdicom begins a thread for each that comes."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore

from pynetdicom.association import Association

log = logging.getLogger(__name__)

_AT_ONCE = 4  # PS3.7 D.3.3.3: one, where nothing else was negotiated; the thread of one may end after its answer


class ReportsAtOnce:
    """Those of one association, which `break_off` ends where there are more."""

    def __init__(self, break_off: Callable[[], None]) -> None:
        self._places = BoundedSemaphore(_AT_ONCE)
        self._break_off = break_off

    @contextmanager
    def one_more(self, association: Association) -> Iterator[bool]:
        """Whether there is a place for one more request during the block; where not, the association is broken off."""
        has_place = self._places.acquire(blocking=False)
        if not has_place:
            log.warning("%s reports without waiting for answers", association.remote["address"])
            self._break_off()
        try:
            yield has_place
        finally:
            if has_place:
                self._places.release()

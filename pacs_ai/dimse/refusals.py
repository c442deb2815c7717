"""Instances that were refused, told to the audit log: one by one as they come, and many of a kind from time to time.

A neighbour who sends nothing but mistakes would fill the disk with them otherwise, a kilobyte for each.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import Lock

from pacs_ai_storage.database import LedgerUnavailable
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.records import AuditEvent

# The AE title is no part of a kind: a peer says what it likes. The address it cannot choose.
_Kind = tuple[str, str | None, str | None]
_MOST_KINDS = 1000
_ONE_BY_ONE = 50  # of a kind, in each window
_FIRST_WINDOW, _LONGEST_WINDOW = 60.0, 3600.0


@dataclass(slots=True)
class _Window:
    """What came of one kind in some time: so many were told of, and more were counted."""

    seconds: float
    ends: float
    told: int = 0
    more: int = 0
    first: datetime | None = None
    last: AuditEvent | None = None


@dataclass(slots=True, kw_only=True)
class Refusals:
    """Its methods may be called from any thread; `clock` counts seconds."""

    ledger: Ledger
    now: Callable[[], datetime]
    clock: Callable[[], float] = time.monotonic
    _windows: dict[_Kind, _Window] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def note(self, address: str, event: AuditEvent) -> None:
        """The log tells of it now, or with `tell` where it has told of many of its kind."""
        with self._lock:
            new = _Window(seconds=_FIRST_WINDOW, ends=self.clock() + _FIRST_WINDOW)
            window = self._windows.setdefault(self._kind_of(address, event), new)
            if window.told == _ONE_BY_ONE:
                window.more += 1
                window.first, window.last = window.first or event.at, event
                return
            window.told += 1
        self._write(event)

    def tell(self, *, everything: bool = False) -> None:
        """What was counted of a kind in a window that is over, or in any, is one event in the log.

        The next window is twice as long where something was, an hour at most.
        """
        with self._lock:
            over = [kind for kind, window in self._windows.items() if everything or window.ends <= self.clock()]
            ended = [(kind, self._windows.pop(kind)) for kind in over]
            for kind, window in ended:
                if window.more:
                    seconds = min(2 * window.seconds, _LONGEST_WINDOW)
                    self._windows[kind] = _Window(seconds=seconds, ends=self.clock() + seconds)
        for kind, window in ended:
            if window.last is not None and window.first is not None:
                since = f"{window.more} more from {kind[0] or 'others'} since {window.first:%Y-%m-%d %H:%M:%S%z}"
                if not self._write(replace(window.last, at=self.now(), detail=f"{window.last.detail}; {since}")):
                    self._count_on(kind, window)

    def _kind_of(self, address: str, event: AuditEvent) -> _Kind:
        kind = (address, event.outcome, event.detail)
        is_known = kind in self._windows or len(self._windows) < _MOST_KINDS
        return kind if is_known else ("", event.outcome, None)

    def _count_on(self, kind: _Kind, untold: _Window) -> None:
        with self._lock:
            window = self._windows[kind]
            window.more += untold.more
            window.first, window.last = untold.first, window.last or untold.last

    def _write(self, event: AuditEvent) -> bool:
        try:
            self.ledger.note(event)
        except LedgerUnavailable:  # its disk may be the same that is full
            return False
        return True

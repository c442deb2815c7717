"""Who was turned away at the port, told to the audit log: once a minute for each address, so that none fills it."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock

from pacs_ai_storage.database import LedgerUnavailable
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.records import AuditEvent

_ONCE_IN = timedelta(minutes=1)
_MOST_ADDRESSES = 1000


@dataclass(slots=True, kw_only=True)
class Alerts:
    """Its methods may be called from any thread."""

    ledger: Ledger
    now: Callable[[], datetime]
    _last: dict[str, datetime] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def turned_away(self, address: str, detail: str, *, calling: str = "") -> None:
        """The log tells of it, unless it told of the same address within a minute, or of a thousand others."""
        at = self.now()
        if self._is_due(address, at):
            event = AuditEvent(at=at, actor=calling or address, action="refuse-association", detail=detail)
            with suppress(LedgerUnavailable):  # the peer is turned away all the same
                self.ledger.note(event)

    def _is_due(self, address: str, at: datetime) -> bool:
        with self._lock:
            # One of a time to come was told of before the clock was set back.
            self._last = {known: last for known, last in self._last.items() if timedelta() <= at - last < _ONCE_IN}
            if address in self._last or len(self._last) >= _MOST_ADDRESSES:
                return False
            self._last[address] = at
            return True

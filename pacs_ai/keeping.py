"""How long files are kept: what was delivered goes after its hours, at a quiet pace, and nothing else does."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pacs_ai_storage.expiry import Expiry
from pacs_ai_storage.instances import InstanceStore

log = logging.getLogger(__name__)

# A file that came again a moment ago may be on its way into the ledger.
_YOUNGEST = timedelta(hours=1)


@dataclass(slots=True, kw_only=True)
class Keeping:
    """Built once; `instances` and `results` are how long files stay after their study has nothing left to do."""

    expiry: Expiry
    store: InstanceStore
    instances: timedelta
    results: timedelta
    now: Callable[[], datetime]
    sweep_every: timedelta = timedelta(hours=1)
    _sweep: Iterator[int] = field(default_factory=lambda: iter(()))
    _swept_at: datetime | None = None
    _unknown: frozenset[str] = frozenset()

    def remove_some(self) -> bool:
        """Some of what is due has gone from ledger and disk, or else one folder was swept; False when all is done."""
        now = self.now()
        instances = self.expiry.expire_instances(now - self.instances, now)
        results = self.expiry.expire_results(now - self.results, now)
        for files, hours in ((instances, self.instances), (results, self.results)):
            for file in files:
                self.store.remove(file.path, older_than=now - min(hours, _YOUNGEST))
        if instances or results:
            log.info("%d instances and %d results have done their work and were removed", len(instances), len(results))
        return bool(instances or results) or self._sweep_some(now)

    def _sweep_some(self, now: datetime) -> bool:
        """Files that a crash left between ledger and disk go folder by folder."""
        if self._swept_at is None or not timedelta() <= now - self._swept_at < self.sweep_every:
            self._sweep = self._swept(self._swept_at or now)
            self._swept_at = now
        return next(self._sweep, None) is not None

    def _swept(self, last: datetime) -> Iterator[int]:
        """What was unknown to the ledger at the last sweep, still is, and was not kept again meanwhile is removed."""
        unknown: set[str] = set()
        for folder in self.store.folders():
            found = self.expiry.unknown(folder)
            gone = sum(self.store.remove(path, older_than=last) for path in sorted(found & self._unknown))
            if gone:
                log.warning("%d files that the ledger does not know were removed", gone)
            unknown |= found
            yield gone
        self._unknown = frozenset(unknown)

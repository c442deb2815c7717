"""Whether the service can do its work at this moment, and if not, why."""

from collections.abc import Callable
from dataclasses import dataclass

from pacs_ai_storage.audit import hold_end
from pacs_ai_storage.database import Database, LedgerUnavailable
from pacs_ai_storage.instances import InstanceStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Something that keeps instances from being taken or read; `detail` names no patient."""

    check: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What is asked; `is_network_loaded` and `has_failed` are the service's own word."""

    database: Database
    store: InstanceStore
    is_network_loaded: Callable[[], bool]
    has_failed: Callable[[], bool]

    def reasons(self) -> list[Reason]:
        """Why the service is not ready; empty when it is."""
        asked = (self._disk(), self._ledger(), self._network())
        return [reason for reason in asked if reason is not None]

    def _disk(self) -> Reason | None:
        try:
            free, takes_files = self.store.free_bytes(), self.store.takes_files()
        except OSError as error:
            return Reason(check="disk", detail=f"the data folder does not answer ({error.strerror})")
        if not takes_files:
            return Reason(check="disk", detail="the data folder takes no more files (read-only, or no inode is left)")
        if free > 0:
            return None
        return Reason(
            check="disk", detail="below its reserve (ingest.disk_reserve_gb): instances are refused with 0xA700"
        )

    def _ledger(self) -> Reason | None:
        try:
            with self.database.change() as connection:  # a lock that stays keeps instances out as well
                hold_end(connection)
                return None
        except LedgerUnavailable as error:
            return Reason(check="ledger", detail=str(error))

    def _network(self) -> Reason | None:
        return None if self.is_network_loaded() else Reason(check="network", detail="not loaded yet")

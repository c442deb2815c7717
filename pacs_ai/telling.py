"""What the department's audit repository hears of the service: its start, each event, its end (ITI-20)."""

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

from pacs_ai_storage.database import LedgerUnavailable
from pacs_ai_storage.following import REPOSITORY, Follower
from pacs_ai_storage.records import AuditEvent

from . import __version__
from .atna.forwarding import Forwarder
from .atna.messages import AuditSource
from .atna.syslog import Repository
from .persistence import Persistence
from .settings import Settings
from .stores import Stores
from .tls import client_context


class Telling:
    """Audit messages go out in the order of the log, from the last one that was taken before."""

    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        *,
        pause: Callable[[int], timedelta],
        persistence: Persistence,
        now: Callable[[], datetime],
    ) -> None:
        atna = settings.audit.atna
        (host, port), tls = atna.host_and_port, atna.tls
        self._ledger, self._persistence, self._now = stores.ledger, persistence, now
        self._forwarder = Forwarder(
            follower=Follower(stores.database, REPOSITORY),
            repository=Repository(
                host=host, port=port, context=partial(client_context, tls, "audit.atna") if tls else None
            ),
            source=AuditSource(
                name=atna.source or settings.dicom.ae_title,
                ae_title=settings.dicom.ae_title,
                process=str(os.getpid()),
                host=socket.gethostname(),
            ),
            pause=pause,
        )

    def run(self) -> None:
        """The start is told as soon as the ledger is there, then what happens, until the service stops."""
        try:
            self._persistence.insist(lambda: self._note("start"))
        except LedgerUnavailable:
            return  # asked to stop before the ledger was there
        self._persistence.pace(lambda: self._forwarder.try_once().total_seconds())

    def end(self) -> None:
        """The end is in the log, and told where the repository hears; else it is told after the next start."""
        with suppress(LedgerUnavailable):
            self._note("stop")
            if not self._forwarder.failures:
                self._forwarder.try_once()

    def _note(self, action: str) -> None:
        self._ledger.note(AuditEvent(at=self._now(), actor="service", action=action, detail=f"pacs-ai {__version__}"))

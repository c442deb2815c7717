"""A stand-in PACS for `demo`: it accepts results, checks that each can be parsed, and remembers what it has."""

from dataclasses import dataclass, field
from threading import Lock
from typing import cast

from pynetdicom import evt
from pynetdicom.transport import ThreadedAssociationServer

from .contexts import accept_everything_stored, new_ae


@dataclass(slots=True)
class StandInArchive:
    """What was accepted: SOP Instance UID to SOP Class UID."""

    ae_title: str = "ARCHIVE"
    accepted: dict[str, str] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)
    _server: ThreadedAssociationServer | None = None

    def start(self, host: str, port: int = 0) -> int:
        """It listens; returns the port."""
        ae = new_ae(self.ae_title)
        ae.maximum_pdu_size = 65536
        ae.require_called_aet = True
        accept_everything_stored(ae)
        server = ae.start_server((host, port), block=False, evt_handlers=[(evt.EVT_C_STORE, self._on_c_store)])
        self._server = cast("ThreadedAssociationServer", server)
        return int(self._server.server_address[1])

    def stop(self) -> None:
        """It no longer listens."""
        if self._server is not None:
            self._server.shutdown()

    def _on_c_store(self, event: evt.Event) -> int:
        received = event.dataset
        with self._lock:
            self.accepted[str(received.SOPInstanceUID)] = str(received.SOPClassUID)
        return 0x0000

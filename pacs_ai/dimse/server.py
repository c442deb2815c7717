"""The server of the DICOM port: nobody who is slow, silent or wrong keeps another one waiting."""

import logging
import socket
from collections.abc import Callable
from functools import partial
from threading import Thread
from typing import Any, cast

from pacs_ai_storage.instances import ArrivingFile
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from pacs_ai.tls import Certificates

from .admission import Admission, Guest
from .alerts import Alerts
from .contexts import SharedContexts
from .doorbell import Announced, Doorbell
from .giving_back import give_back
from .messages import INVALID_PDU, Messages, discard
from .reports_at_once import ReportsAtOnce
from .transport import WIRE_ERRORS, Connection, Limits, Provider, cut

log = logging.getLogger(__name__)

_TRANSIENT, _BY_PRESENTATION, _LOCAL_LIMIT_EXCEEDED = 0x02, 0x03, 0x02  # PS3.8 table 9-21


class Acceptor(Association):
    """An association that ends with its thread, whatever a peer has made of it."""

    guest: Guest
    admission: Admission
    reports: ReportsAtOnce

    def run(self) -> None:
        """The thread of the association; afterwards both of its threads and the connection are at their end."""
        try:
            super().run()
        except WIRE_ERRORS as error:
            log.warning("an association with %s is broken off: %s", self.requestor.address, type(error).__name__)
        finally:
            self.admission.leave(self.guest)
            self.dul.kill_dul()
            cut(self.guest.connection)  # or its thread might wait for the rest of a PDU
            if self.dul.is_alive():
                self.dul.join()
            self.guest.connection.close()
            cast("Messages", self.dimse).discard()

    def _serve_request(self, msg: Any, context_id: int) -> None:  # noqa: ANN401 - any of pynetdicom's messages
        if give_back(self, msg, context_id):
            return
        with self.reports.one_more(self) as has_place, self.guest.at_work():
            try:
                if has_place:
                    super()._serve_request(msg, context_id)
            except WIRE_ERRORS as error:
                log.warning("a request of %s cannot be served: %s", self.requestor.address, type(error).__name__)
                self.abort()
            finally:
                discard(getattr(msg, "DataSet", None))


def as_acceptor(association: Association, admission: Admission, guest: Guest) -> None:
    """The association is such a one, of this guest."""
    association.__class__ = Acceptor
    acceptor = cast("Acceptor", association)
    acceptor.admission, acceptor.guest = admission, guest
    acceptor.reports = ReportsAtOnce(break_off=partial(acceptor.dul.event_queue.put, INVALID_PDU))
    guest.association = acceptor


class _Handler(RequestHandler):
    """Builds the association of a connection."""

    def _create_association(self) -> Association:
        server, made = cast("Server", self.server), super()._create_association()
        # pynetdicom builds each of these itself and leaves no place to name another class.
        as_acceptor(made, server.admission, server.guest_with(self.request))
        made.dul.__class__ = Provider
        made.dimse.__class__ = Messages
        made.dul.socket.__class__ = Connection
        cast("Connection", made.dul.socket).begin(server.limits)
        cast("Messages", made.dimse).begin(server.begin_file)
        doorbell = Doorbell()
        made._reactor_checkpoint = doorbell  # noqa: SLF001 - the only place where its thread can be kept waiting
        made.dul.to_user_queue = Announced(doorbell)
        made.dimse.msg_queue = Announced(doorbell)
        return made


class Server(ThreadedAssociationServer):
    """Accepts connections within `admission` and holds them to `limits`; TLS handshakes wait in their own threads."""

    daemon_threads = True

    def __init__(  # noqa: PLR0913 - what the port stands between
        self,
        ae: AE,
        address: tuple[str, int],
        handlers: list[evt.EventHandlerType],
        *,
        admission: Admission,
        limits: Limits,
        certificates: Certificates | None,
        begin_file: Callable[[], ArrivingFile],
        alerts: Alerts | None = None,
    ) -> None:
        self.admission = admission
        self.limits = limits
        self.begin_file = begin_file
        self._certificates = certificates
        self._alerts = alerts
        self._guests: dict[socket.socket, Guest] = {}
        contexts = SharedContexts(ae.supported_contexts)
        super().__init__(ae, address, ae.ae_title, contexts, evt_handlers=handlers, request_handler=_Handler)

    # As many connections at once as come in a moment; with five, senders would wait for the TCP timer of a second.
    request_queue_size = 128

    def verify_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: Any) -> bool:  # noqa: ANN401 - of any family
        """Whether the connection goes on; who may not connect is not spoken to."""
        assert isinstance(request, socket.socket)
        address = str(client_address[0])
        if not self.admission.is_allowed(address):
            log.warning("connection from %s closed: it is in none of dicom.allowed_addresses", address)
            return False
        self._guests[request] = self.admission.enter(address, request)
        return True

    def finish_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: Any) -> None:  # noqa: ANN401 - as above
        """In the connection's own thread: the handshake, then the association."""
        assert isinstance(request, socket.socket)
        guest = self._guests.pop(request)
        try:
            connection = self._encrypted(request, guest)
        except OSError as error:
            log.warning("TLS handshake with %s failed: %s", guest.address, _reason(error))
            self.admission.leave(guest)
            self.shutdown_request(guest.connection)
            if self._alerts is not None:
                detail = f"TLS handshake with {guest.address} failed: {_reason(error)}"
                self._alerts.turned_away(guest.address, detail)
            return
        self._guests[connection] = guest
        super().finish_request(connection, client_address)

    def guest_with(self, connection: socket.socket) -> Guest:
        """The guest of this connection, asked for once."""
        return self._guests.pop(connection)

    def _encrypted(self, request: socket.socket, guest: Guest) -> socket.socket:
        if self._certificates is None:
            return request
        request.settimeout(self.limits.request_seconds)
        connection = self._certificates.context().wrap_socket(request, server_side=True, do_handshake_on_connect=False)
        guest.connection = connection
        connection.do_handshake()
        return connection

    def start(self) -> None:
        """Connections are accepted, in a thread of the server's own."""
        Thread(target=self.serve_forever, name="dicom-port", daemon=True, kwargs={"poll_interval": 0.1}).start()
        self.ae._servers.append(self)  # noqa: SLF001 - as AE.start_server does, which knows no other class of server


def admit(event: evt.Event) -> None:
    """EVT_REQUESTED: the association has its place, or is rejected for the moment (PS3.8 9.3.4).

    Whoever uses wrong titles is left to be rejected for that, so that he takes nobody's place.
    """
    association = event.assoc
    assert isinstance(association, Acceptor)
    if not _has_right_titles(association) or association.admission.admit(association.guest):
        return
    log.warning("%s has as many associations as it may have, and all are at work", association.guest.address)
    association.acse.send_reject(_TRANSIENT, _BY_PRESENTATION, _LOCAL_LIMIT_EXCEEDED)
    evt.trigger(association, evt.EVT_REJECTED, {})
    association.kill()


def _has_right_titles(association: Association) -> bool:
    request, ae = association.requestor.primitive, association.ae
    assert request is not None
    is_called = not ae.require_called_aet or request.called_ae_title == association.acceptor.ae_title.strip()
    return is_called and (not ae.require_calling_aet or request.calling_ae_title in ae.require_calling_aet)


def _reason(error: OSError) -> str:
    """Why, without what the peer has sent."""
    return getattr(error, "reason", None) or error.strerror or type(error).__name__

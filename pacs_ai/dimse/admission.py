"""Who is let in: address ranges, associations of one peer and of all, and who has to go when there is no room."""

import ipaddress
import logging
import socket
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock, Thread, current_thread

from pynetdicom.association import Association

from .messages import Messages
from .transport import Connection, cut

log = logging.getLogger(__name__)

_WAITING_ROOM = 32  # connections without an association: amid their handshake, or silent


@dataclass(slots=True, eq=False)
class Guest:
    """One connection from its first moment; `association` is there after the TLS handshake, admitted by its request."""

    address: str
    connection: socket.socket
    since: float = field(default_factory=time.monotonic)
    association: Association | None = None
    is_admitted: bool = False
    _serving: set[Thread] = field(default_factory=set)

    @property
    def is_busy(self) -> bool:
        """Whether an operation is open: a message that comes in, waits for its turn, or is being answered."""
        if self.association is None:
            return False
        messages = self.association.dimse
        assert isinstance(messages, Messages)
        return bool(self._serving) or not messages.msg_queue.empty() or messages.is_under_way()

    @property
    def last_traffic(self) -> float:
        """When the last whole PDU came or went."""
        connection = self.association.dul.socket if self.association is not None else None
        return connection.last_traffic if isinstance(connection, Connection) else self.since

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """The guest is busy during the block: this thread serves a request of it."""
        self._serving.add(current_thread())
        try:
            yield
        finally:
            self._serving.discard(current_thread())

    def turn_out(self) -> None:
        """The peer is told (A-ABORT) and the connection ends, in a thread of its own, also if it does not listen."""
        Thread(target=self._leave, name="turning-out", daemon=True).start()

    def _leave(self) -> None:
        association = self.association
        if association is not None and association.is_established and not self._is_mid_pdu(association):
            association.abort()
        cut(self.connection)

    @staticmethod
    def _is_mid_pdu(association: Association) -> bool:
        connection = association.dul.socket
        return isinstance(connection, Connection) and connection.pdu_begun is not None


class Admission:
    """Everybody who is connected. Every method may be called from any thread."""

    def __init__(self, *, addresses: Iterable[str], most: int, most_per_peer: int, quiet_seconds: float) -> None:
        self._networks = [ipaddress.ip_network(found) for found in addresses]
        self._most = most
        self._most_per_peer = most_per_peer
        self._quiet_seconds = quiet_seconds
        self._guests: list[Guest] = []
        self._lock = Lock()

    def is_allowed(self, address: str) -> bool:
        """Whether the address is in one of the ranges, or there are none."""
        found = ipaddress.ip_address(address.partition("%")[0])
        plain = getattr(found, "ipv4_mapped", None) or found
        return not self._networks or any(plain in network for network in self._networks)

    def enter(self, address: str, connection: socket.socket) -> Guest:
        """The guest is in the waiting room; where that is full, the oldest of the most numerous address leaves."""
        guest = Guest(address=address, connection=connection)
        with self._lock:
            waiting = [found for found in self._guests if not found.is_admitted]
            if len(waiting) >= _WAITING_ROOM:
                crowd = Counter(found.address for found in waiting)
                self._turn_out(max(waiting, key=lambda found: (crowd[found.address], -found.since)))
            self._guests.append(guest)
        return guest

    def admit(self, guest: Guest) -> bool:
        """Whether the guest may have an association; the longest idle one of its address, or of all, makes room."""
        with self._lock:
            admitted = [found for found in self._guests if found.is_admitted]
            peers = [found for found in admitted if found.address == guest.address]
            if len(peers) >= self._most_per_peer and not self._make_room(peers):
                return False
            admitted = [found for found in self._guests if found.is_admitted]
            if len(admitted) >= self._most and not self._make_room(admitted):
                return False
            guest.is_admitted = True
            return True

    def leave(self, guest: Guest) -> None:
        """The guest is no longer counted."""
        with self._lock:
            if guest in self._guests:
                self._guests.remove(guest)

    def close(self) -> None:
        """Nobody who has no association yet will get one."""
        with self._lock:
            for guest in self._guests:
                if guest.association is None:
                    cut(guest.connection)

    def _make_room(self, guests: list[Guest]) -> bool:
        before = time.monotonic() - self._quiet_seconds
        idle = [found for found in guests if found.last_traffic < before and not found.is_busy]
        if not idle:
            return False
        self._turn_out(min(idle, key=lambda found: found.last_traffic))
        return True

    def _turn_out(self, guest: Guest) -> None:
        seconds = time.monotonic() - guest.last_traffic
        what = "association" if guest.is_admitted else "connection"
        log.warning("the %s of %s, idle for %.0f s, makes room for another", what, guest.address, seconds)
        self._guests.remove(guest)
        guest.turn_out()

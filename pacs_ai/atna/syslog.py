"""Syslog messages (RFC 5424) over TLS (RFC 5425) or UDP (RFC 5426), as PS3.15 A.6 asks for."""

import errno
import logging
import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pacs_ai.errors import PeerUnreachable, SettingsError

log = logging.getLogger(__name__)

_PRIORITY = 10 * 8 + 5  # security/authorisation messages; normal but significant
_MESSAGE_ID = "DICOM+RFC3881"
_BOM = b"\xef\xbb\xbf"
_SECONDS = 10.0
_PAUSE = 0.002


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """Where messages go; over UDP without `context`, which is asked for anew for each connection."""

    host: str
    port: int
    context: Callable[[], ssl.SSLContext] | None

    def take(self, messages: Sequence[bytes]) -> None:
        """The repository has been sent all of them, over TLS with the connection ended by both after that.

        Raises PeerUnreachable where it may lack any: then all are to be sent again.
        """
        try:
            if self.context is None:
                self._by_datagrams(messages)
            else:
                self._by_tls(messages, self.context())
        # A certificate may be wrong amid its renewal; a name that cannot be one is no OSError to Python.
        except (OSError, UnicodeError, SettingsError) as error:
            message = f"the audit record repository {self.host}:{self.port} does not take messages: {_words(error)}"
            raise PeerUnreachable(message) from error

    def _by_datagrams(self, messages: Sequence[bytes]) -> None:
        kind, _, _, _, address = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(kind, socket.SOCK_DGRAM) as sender:
            for message in messages:
                _send(sender, message, address)

    def _by_tls(self, messages: Sequence[bytes], context: ssl.SSLContext) -> None:
        with (
            socket.create_connection((self.host, self.port), timeout=_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=self.host) as connection,
        ):
            for message in messages:
                connection.sendall(b"%d %b" % (len(message), message))
            _wait_until_acknowledged(connection)
            # Syslog has no answers. TLS has one: a close that is answered was read, and all that came before it.
            try:
                connection.unwrap()
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                return  # it closed without the alert; a connection with anything unread would have been reset
            _wait_until_ended(connection)


def _send(sender: socket.socket, message: bytes, address: Any) -> None:  # noqa: ANN401 - a family has its own form
    try:
        sender.sendto(message, address)
    except OSError as error:
        if error.errno != errno.EMSGSIZE:
            raise
        # It would hold up all that comes after it for ever.
        log.warning(
            "an audit message of %d bytes is more than a datagram holds and is left out; audit.atna.transport = 'tls' "
            "has no such limit",
            len(message),
        )


def _wait_until_acknowledged(connection: ssl.SSLSocket) -> None:
    """The other machine has every byte, and had not closed the connection before; only Linux says what it lacks.

    A close that came earlier would be taken for the answer to ours, and what is sent after it is read by nobody.
    """
    deadline = time.monotonic() + _SECONDS
    while True:
        lacking = _unacknowledged(connection)
        _must_be_open(connection)
        if not lacking:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(errno.ETIMEDOUT, "what was sent is not acknowledged")
        time.sleep(_PAUSE)


def _unacknowledged(connection: ssl.SSLSocket) -> int:
    if sys.platform != "linux":
        return 0
    import fcntl  # noqa: PLC0415 - Unix alone has them
    import termios  # noqa: PLC0415

    count: bytes = fcntl.ioctl(connection, termios.TIOCOUTQ, struct.pack("i", 0))  # SIOCOUTQ, by its other name
    return int(struct.unpack("i", count)[0])


def _must_be_open(connection: ssl.SSLSocket) -> None:
    """Raises OSError where the repository has closed, or says anything; tickets of TLS 1.3 are read over."""
    connection.settimeout(0)
    try:
        connection.recv(1)
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        connection.settimeout(_SECONDS)
        return
    raise ConnectionAbortedError(errno.ECONNABORTED, "it closed the connection before all was sent")


def _wait_until_ended(connection: socket.socket) -> None:
    """The repository has ended it too; ConnectionResetError where it left anything unread (RFC 1122 4.2.2.13)."""
    connection.shutdown(socket.SHUT_WR)
    connection.recv(1)


def syslog_message(content: bytes, at: datetime, *, host: str, process: int) -> bytes:
    """The message with its header (RFC 5424 section 6)."""
    time = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    header = f"<{_PRIORITY}>1 {time} {host[:255] or '-'} pacs-ai {process} {_MESSAGE_ID} - "
    return header.encode("ascii", errors="replace") + _BOM + content


def _words(error: OSError | UnicodeError | SettingsError) -> str:
    if isinstance(error, ssl.SSLError):
        return getattr(error, "verify_message", None) or error.reason or "TLS failed"
    return getattr(error, "strerror", None) or str(error)

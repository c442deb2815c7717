"""Syslog messages (RFC 5424) over TLS (RFC 5425) or UDP (RFC 5426), as PS3.15 A.6 asks for."""

import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pacs_ai.errors import PeerUnreachable, SettingsError

_PRIORITY = 10 * 8 + 5  # security/authorisation messages; normal but significant
_MESSAGE_ID = "DICOM+RFC3881"
_BOM = b"\xef\xbb\xbf"
_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """Where messages go; over UDP without `context`, which is asked for anew for each connection."""

    host: str
    port: int
    context: Callable[[], ssl.SSLContext] | None

    def take(self, messages: Sequence[bytes]) -> None:
        """The repository has been sent all of them, over TLS with its end of the connection closed after them.

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
                sender.sendto(message, address)

    def _by_tls(self, messages: Sequence[bytes], context: ssl.SSLContext) -> None:
        with (
            socket.create_connection((self.host, self.port), timeout=_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=self.host) as connection,
        ):
            for message in messages:
                connection.sendall(b"%d %b" % (len(message), message))
            # Syslog has no answers. TLS has one: a close that is answered was read, and all that came before it.
            try:
                connection.unwrap()
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                return  # it closed without the alert; a connection with anything unread would have been reset


def syslog_message(content: bytes, at: datetime, *, host: str, process: int) -> bytes:
    """The message with its header (RFC 5424 section 6)."""
    time = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    header = f"<{_PRIORITY}>1 {time} {host[:255] or '-'} pacs-ai {process} {_MESSAGE_ID} - "
    return header.encode("ascii", errors="replace") + _BOM + content


def _words(error: OSError | UnicodeError | SettingsError) -> str:
    if isinstance(error, ssl.SSLError):
        return getattr(error, "verify_message", None) or error.reason or "TLS failed"
    return getattr(error, "strerror", None) or str(error)

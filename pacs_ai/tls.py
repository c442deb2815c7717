"""TLS by the BCP 195 profile of DICOM (PS3.15 B.12, RFC 9325): 1.3, or 1.2 with ECDHE and AEAD, and nothing else."""

import logging
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock

from .errors import SettingsError
from .settings import NodeTls, Settings, TlsSettings

log = logging.getLogger(__name__)

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:!PSK:!aNULL"
_State = tuple[tuple[int, int, int] | None, ...]


def server_context(tls: TlsSettings) -> ssl.SSLContext:
    """The context of the port; SettingsError, with the key, where a file is not what it has to be."""
    context = _context(ssl.PROTOCOL_TLS_SERVER)
    _show_certificate(context, tls.certificate, tls.key, "dicom.tls")
    if tls.ca:
        _trust(context, tls.ca, "dicom.tls")
        context.verify_mode = ssl.CERT_REQUIRED if tls.require_client_certificate else ssl.CERT_OPTIONAL
    # Nobody comes back with a session of before a certificate was withdrawn.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    return context


def client_context(tls: NodeTls, where: str = "tls") -> ssl.SSLContext:
    """The context of one association to a node; SettingsError where a file is not what it has to be.

    Without `ca` the authorities of the operating system are trusted.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = _Noting
    context.check_hostname = tls.verify_hostname
    # A certificate in `ca` is trusted as it stands, also where it is the node's own and no authority's.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if tls.ca:
        _trust(context, tls.ca, where)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if tls.certificate:
        _show_certificate(context, tls.certificate, tls.key, where)
    return context


class _Noting(ssl.SSLSocket):
    """pynetdicom says only that there is no connection; why is left with the context."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except ssl.SSLError as error:
            self.context.failure = getattr(error, "verify_message", None) or error.reason  # type: ignore[attr-defined]
            self.close()
            raise


def failure_of(context: ssl.SSLContext) -> str | None:
    """Why the handshake of the association of this context failed; None when it did not."""
    return getattr(context, "failure", None)


def certificate_problems(settings: Settings) -> list[str]:
    """What is wrong with the files of certificates, one line for each place that names them."""
    makers = [partial(server_context, settings.dicom.tls)] if settings.dicom.tls.is_on else []
    makers += [
        partial(client_context, node.tls, f"nodes.{number}.tls")
        for number, node in enumerate(settings.nodes)
        if node.tls is not None
    ]
    repository = settings.audit.atna.tls
    if settings.audit.atna.is_on and repository is not None:
        makers.append(partial(client_context, repository, "audit.atna"))
    return [problem for make in makers if (problem := _problem_of(make)) is not None]


def _problem_of(make: Callable[[], ssl.SSLContext]) -> str | None:
    try:
        make()
    except SettingsError as error:
        return str(error)
    return None


def _context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    return context


def _show_certificate(context: ssl.SSLContext, certificate: str, key: str, where: str) -> None:
    _must_be_readable({f"{where}.certificate": certificate, f"{where}.key": key})
    try:
        # A question for a passphrase on the terminal would stop the service; an encrypted key is refused instead.
        context.load_cert_chain(certificate, key, password=_no_passphrase)
    except (ssl.SSLError, _Encrypted) as error:
        message = f"{where}.certificate: {_words(error, certificate, key)}"
        raise SettingsError(message) from error


class _Encrypted(Exception):
    """A key that asks for a passphrase."""


def _no_passphrase() -> bytes:
    raise _Encrypted


def _words(error: Exception, certificate: str, key: str) -> str:
    if isinstance(error, _Encrypted):
        return f"the key {key} has a passphrase; the service needs one without"
    reason = getattr(error, "reason", None)
    if reason == "KEY_VALUES_MISMATCH":
        return f"{key} is not the key of {certificate}"
    return f"{certificate} and {key} are not a certificate and its key in PEM ({reason or 'unreadable'})"


def _trust(context: ssl.SSLContext, ca: str, where: str) -> None:
    _must_be_readable({f"{where}.ca": ca})
    try:
        context.load_verify_locations(cafile=ca)
    except ssl.SSLError as error:
        message = f"{where}.ca: {ca} holds no certificate in PEM ({error.reason or 'unreadable'})"
        raise SettingsError(message) from error


def _must_be_readable(files: dict[str, str]) -> None:
    for key, path in files.items():
        try:
            with Path(path).open("rb"):
                pass
        except OSError as error:
            message = f"{key}: {path} cannot be read ({error.strerror})"
            raise SettingsError(message) from error


@dataclass(slots=True)
class Certificates:
    """The certificates of the port as they are on disk: a renewed one is shown to the next peer, without a restart."""

    tls: TlsSettings
    _lock: Lock = field(default_factory=Lock)
    _read: _State = ()
    _context: ssl.SSLContext | None = None
    _complained_of: tuple[_State, str] | None = None

    def __post_init__(self) -> None:
        """SettingsError where a file is not what it has to be."""
        self._read, self._context = self._on_disk(), server_context(self.tls)

    def context(self) -> ssl.SSLContext:
        """The context for a new peer; the one of before while new files do not fit together, as amid a renewal."""
        with self._lock:
            found = self._on_disk()
            if found != self._read:
                self._renew(found)
            assert self._context is not None
            return self._context

    def _renew(self, found: _State) -> None:
        """Files that cannot be used are tried again with each peer: what made them readable may not show on them."""
        try:
            self._context = server_context(self.tls)
        except SettingsError as error:
            if (found, str(error)) != self._complained_of:
                log.warning("%s; the certificates of before stay in use", error)
            self._complained_of = (found, str(error))
        else:
            self._read, self._complained_of = found, None
            log.info("the certificates of the DICOM port were read anew")

    def _on_disk(self) -> _State:
        return tuple(_stamp(path) for path in self._files())

    def _files(self) -> Iterable[str]:
        return filter(None, (self.tls.certificate, self.tls.key, self.tls.ca))


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino

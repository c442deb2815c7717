"""Whether the DICOM port is free for the service, or the service already answers there."""

import errno
import socket

from pacs_ai.dimse.contexts import TimeLimits
from pacs_ai.dimse.sender import Sender
from pacs_ai.errors import PeerUnreachable, SettingsError
from pacs_ai.settings import DicomSettings, Node, NodeTls, TlsSettings
from pacs_ai.tls import server_context

from .check import Check, failed, ok, warning

_LIMITS = TimeLimits(connect=2, associate=10, answer=5)  # on this machine, which may have much to do
_ANY_ADDRESS = {"", "0.0.0.0", "::"}  # noqa: S104 - compared with, not bound to
_ADVICE = {
    errno.EACCES: "ports below 1024 need a privilege: choose another dicom.port, or grant CAP_NET_BIND_SERVICE",
    errno.EADDRNOTAVAIL: "dicom.host is no address of this machine; 0.0.0.0 listens on all of them",
}


def check_listener(dicom: DicomSettings) -> Check:
    """Nothing listens afterwards that did not before."""
    name = f"port {dicom.port}"
    try:
        with socket.create_server((dicom.host, dicom.port)):
            return ok(name, "is free: the service is not running")
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return _who_listens(name, dicom)
        advice = _ADVICE.get(error.errno or 0, "check dicom.host and dicom.port")
        return failed(name, f"cannot be listened on ({error.strerror or error})", advice)


def check_calling_titles(dicom: DicomSettings) -> Check:
    """Whether anybody may push."""
    name = "calling AE titles"
    if not dicom.allowed_calling_ae_titles:
        return warning(name, "any is accepted", "name those that may push in dicom.allowed_calling_ae_titles")
    return ok(name, f"only {', '.join(dicom.allowed_calling_ae_titles)}")


def check_encryption(dicom: DicomSettings) -> Check:
    """Whether the port speaks TLS, and to whom."""
    name, tls = "encryption of the port", dicom.tls
    if not tls.is_on:
        return warning(name, "none: instances come in plain", "set certificate, key and ca of [dicom.tls]")
    try:
        server_context(tls)
    except SettingsError as error:
        return failed(name, str(error), "put the right file there; the service does not start without it")
    if not tls.require_client_certificate:
        return warning(name, "TLS, with anybody", "set dicom.tls.require_client_certificate")
    return ok(name, f"TLS, with peers whose certificates come from {tls.ca}")


def _own_tls(tls: TlsSettings) -> NodeTls | None:
    """How the service itself is spoken to on this machine: its certificate is known, and names another host."""
    if not tls.is_on:
        return None
    return NodeTls(ca=tls.certificate, certificate=tls.certificate, key=tls.key, verify_hostname=False)


def _who_listens(name: str, dicom: DicomSettings) -> Check:
    host = "127.0.0.1" if dicom.host in _ANY_ADDRESS else dicom.host
    us = Node(name="self", ae_title=dicom.ae_title, host=host, port=dicom.port, tls=_own_tls(dicom.tls))
    calling = next(iter(dicom.allowed_calling_ae_titles), dicom.ae_title)
    try:
        status = Sender(calling, limits=_LIMITS).echo(us)
    except PeerUnreachable as error:
        advice = "stop the program that holds the port, or choose another dicom.port"
        return failed(name, f"is taken, and not by us: {error}", advice)
    return ok(name, f"{dicom.ae_title} answers C-ECHO there with {status}: the service is running")

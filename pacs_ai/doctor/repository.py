"""Whether the audit record repository takes our audit messages (PS3.15 A.5)."""

from functools import partial

from pacs_ai.atna.syslog import Repository
from pacs_ai.errors import PeerUnreachable
from pacs_ai.settings import AtnaSettings
from pacs_ai.tls import client_context

from .check import Check, failed, ok, warning

_NAME = "audit record repository"


def check_repository(settings: AtnaSettings) -> Check:
    """No message is sent: over TLS a connection is made and ended, over UDP the name of the host is looked up."""
    if not settings.is_on:
        return ok(_NAME, "none is named in audit.atna.address")
    host, port = settings.host_and_port
    context = None if settings.tls is None else partial(client_context, settings.tls, "audit.atna")
    try:
        Repository(host=host, port=port, context=context).take(())
    except PeerUnreachable as error:
        return failed(_NAME, str(error), "check [audit.atna]; messages wait meanwhile, none is lost")
    if context is None:
        return warning(_NAME, f"{host}:{port} by UDP, which never answers", "set audit.atna.transport = 'tls'")
    return ok(_NAME, f"{host}:{port} takes connections by TLS")

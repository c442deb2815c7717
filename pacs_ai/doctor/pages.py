"""Whether the HTTP port is free for the pages, or the service already answers there."""

import errno
import http.client
import json
import socket

from pacs_ai.settings import HttpSettings

from .check import Check, failed, ok

_SECONDS = 5.0  # on this machine, which may be busy reading
_HERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - compared with, not bound to
_NAME = "HTTP port"


def check_pages(settings: HttpSettings) -> Check:
    """Nothing listens afterwards that did not before."""
    name = f"{_NAME} {settings.port}"
    if not settings.is_on:
        return ok(_NAME, "is off: no pages, no API, no metrics")
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        with socket.create_server((settings.host, settings.port), family=family):
            return ok(name, "is free: the service is not running")
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            return failed(name, f"cannot be listened on ({error.strerror or error})", "check http.host and http.port")
    if _is_ours(_HERE.get(settings.host, settings.host), settings.port):
        return ok(name, "is answered: the service is running")
    return failed(name, "is taken, and not by us", "stop the program that holds the port, or choose another http.port")


def _is_ours(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=_SECONDS)
    try:
        connection.request("GET", "/healthz")
        return set(json.loads(connection.getresponse().read(1024))) == {"status"}
    except (OSError, http.client.HTTPException, ValueError, TypeError):
        return False
    finally:
        connection.close()

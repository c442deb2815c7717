"""The HTTP server in a thread of its own: importing it takes half a second, for which no modality waits."""

import logging
import socket
from collections.abc import Callable
from threading import Event, Thread
from typing import TYPE_CHECKING

from pacs_ai.errors import SettingsError
from pacs_ai.nodes import bearer_token
from pacs_ai.settings import HttpSettings

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from uvicorn import Server

log = logging.getLogger(__name__)

_MOST_REQUESTS = 32
_BACKLOG = 64


class WebServer:
    """Answers from `start` to `stop`; whatever happens to it, the DICOM port goes on."""

    def __init__(self, settings: HttpSettings, build: Callable[[], "Starlette"]) -> None:
        self._settings = settings
        self._build = build
        self._stopping = Event()
        self._server: Server | None = None
        self._thread: Thread | None = None

    def start(self, port: int | None = None) -> int | None:
        """Connections are accepted and answered soon; returns the port, None where it cannot be opened."""
        wanted = self._settings.port if port is None else port
        try:
            listening = _listen(self._settings.host, wanted)
        except OSError as error:
            log.error("the HTTP port %d cannot be opened: %s", wanted, error.strerror)  # noqa: TRY400 - no fault of the code
            return None
        self._thread = Thread(target=self._serve, args=(listening,), name="web", daemon=True)
        self._thread.start()
        opened = int(listening.getsockname()[1])
        log.info("HTTP on %s port %d", self._settings.host, opened)
        return opened

    def stop(self) -> None:
        """The port is closed; a request under way has a second."""
        self._stopping.set()
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join()

    def _serve(self, listening: socket.socket) -> None:
        # What ends this thread ends nothing else; Python writes it to stderr.
        with listening:
            import uvicorn  # noqa: PLC0415 - see above

            from .connection import ImpatientConnection  # noqa: PLC0415 - see above

            configuration = uvicorn.Config(
                self._build(),
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                loop="asyncio",
                http=ImpatientConnection,
                server_header=False,
                limit_concurrency=_MOST_REQUESTS,
                timeout_keep_alive=5,
                timeout_graceful_shutdown=1,
            )
            self._server = uvicorn.Server(configuration)
            if not self._stopping.is_set():
                self._server.run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    if ":" not in host:
        return socket.create_server((host, port), backlog=_BACKLOG)
    both = socket.has_dualstack_ipv6()  # "::" is every address of this machine, those of version 4 among them
    return socket.create_server((host, port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=both)


def token_of(settings: HttpSettings, environment: Callable[[str], str | None]) -> str:
    """The token that requests have to show, empty for none; SettingsError when the named variable holds none."""
    if not settings.token_env:
        return ""
    try:
        return bearer_token(settings.token_env, environment(settings.token_env))
    except SettingsError as error:
        message = f"http.{error}"
        raise SettingsError(message) from error

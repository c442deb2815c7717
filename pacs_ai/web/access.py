"""Who may ask for pages and data: whoever has the token, or, where there is none, whoever is on this machine."""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .problems import problem

COOKIE = "pacs_ai_session"
SESSION_SECONDS = 12 * 3600
LOGIN = "/login"
HEALTH = "/healthz"  # open to everybody: the health check of a container has no token
_OPEN = frozenset({LOGIN, "/style.css"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    # Not "no-referrer", under which a browser calls the origin of our own forms "null" (Fetch, 3.3).
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """Signed cookies of browsers that have shown the token; a restart ends them all."""

    token: str
    clock: Callable[[], float] = time.time
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def is_token(self, given: str) -> bool:
        """Whether this is the token; as long to find out for any other."""
        return hmac.compare_digest(given.encode(), self.token.encode())

    def begin(self) -> str:
        """A value for the cookie that is believed for twelve hours."""
        until = str(int(self.clock()) + SESSION_SECONDS)
        return f"{until}.{self._sign(until)}"

    def is_open(self, value: str) -> bool:
        """Whether the value is one of ours and its time is not over."""
        until, _, signature = value.partition(".")
        if not hmac.compare_digest(signature.encode(), self._sign(until).encode()):
            return False
        return self.clock() < int(until)

    def _sign(self, until: str) -> str:
        return hmac.new(self._key, until.encode(), hashlib.sha256).hexdigest()


class Access:
    """An ASGI layer before every address; what it lets through has been allowed."""

    def __init__(self, app: ASGIApp, *, sessions: Sessions) -> None:
        self._app = app
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The answer of the application, or why there is none; either keeps out of caches, frames and scripts."""

        async def send_closed(message: Message) -> None:
            if message["type"] == "http.response.start":
                told = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
                message["headers"] = [*message.get("headers", []), *told]
            await send(message)

        refusal = self._refusal(Request(scope), scope["path"])
        await (refusal or self._app)(scope, receive, send_closed)

    def _refusal(self, request: Request, path: str) -> Response | None:
        headers = request.headers
        if path == HEALTH or self._has_token(headers):
            return None
        if not self._sessions.token and _host_of(headers.get("host", "")) not in _LOOPBACK:
            # A name that somebody has let point to this machine: a page of theirs would read ours (DNS rebinding).
            return problem(403, "without http.token_env only localhost, 127.0.0.1 and [::1] are answered")
        if request.method not in _SAFE and not _is_own(headers):
            return problem(403, "the request was made by a page of another site")
        if not self._sessions.token or path in _OPEN or self._has_session(request):
            return None
        return _ask_for_token(request)

    def _has_token(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        return bool(self._sessions.token) and scheme.lower() == "bearer" and self._sessions.is_token(given)

    def _has_session(self, request: Request) -> bool:
        return self._sessions.is_open(request.cookies.get(COOKIE, ""))


def _ask_for_token(request: Request) -> Response:
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        return RedirectResponse(LOGIN, 303)
    return problem(401, "a bearer token is asked for (http.token_env)", headers={"WWW-Authenticate": "Bearer"})


def _is_own(headers: Headers) -> bool:
    """Whether no page of another site is behind a request: browsers say where one comes from, programs do not.

    What they say of an encrypted or local site (Fetch Metadata) holds behind a proxy that gives us another host too.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = headers.get("origin")
    try:
        return origin is None or urlsplit(origin).netloc == headers.get("host", "")
    except ValueError:
        return False


def _host_of(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""

"""HTTP to one node: over TLS where its url says so, with its token, and with every wait and every answer bounded."""

import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from time import monotonic
from typing import Any

import httpx

from pacs_ai import __version__
from pacs_ai.errors import LONGEST_REST, PeerUnreachable, SettingsError
from pacs_ai.nodes import NodeTls, WebNode, token_of
from pacs_ai.tls import client_context, failure_of

DICOM_JSON = "application/dicom+json"
_MOST_BYTES = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class WebLimits:
    """Seconds to connect, for a sign of life, and for a whole answer."""

    connect: float = 5
    silence: float = 60
    answer: float = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a node answered; `retry_after` is how long it asks to be left alone (RFC 9110 10.2.3)."""

    status: int
    body: bytes
    retry_after: timedelta | None = None


class AnswerLost(PeerUnreachable):
    """The request was sent, all of it or a part, and no whole answer came; `is_silence` where time ran out."""

    def __init__(self, message: str, *, is_silence: bool) -> None:
        super().__init__(message)
        self.is_silence = is_silence


class Connection:
    """Requests to one node, one after another over the same connection where the node keeps it open."""

    def __init__(self, node: WebNode, client: httpx.Client, limits: WebLimits, context: ssl.SSLContext | None) -> None:
        self._node = node
        self._client = client
        self._limits = limits
        self._context = context

    def get(self, path: str, query: Mapping[str, str]) -> Reply:
        """The answer to a search. Raises PeerUnreachable without a connection, AnswerLost without an answer."""
        return self._exchange("GET", path, params=dict(query))

    def post(self, path: str, content: Iterable[bytes], *, length: int, content_type: str) -> Reply:
        """The answer to a body that is sent as it is made. Raises as `get`, and whatever `content` does."""
        # Not every archive takes a body of unknown length, for which httpx would choose chunks.
        headers = {"Content-Type": content_type, "Content-Length": str(length)}
        return self._exchange("POST", path, content=iter(content), headers=headers)

    def _exchange(self, method: str, path: str, **said: Any) -> Reply:  # noqa: ANN401 - as httpx takes it
        try:
            request = self._client.build_request(method, f"{self._node.url}{path}", **said)
            response = self._client.send(request, stream=True)
            try:
                body = self._body_of(response)
            finally:
                response.close()
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise PeerUnreachable(self._why_unreachable(error)) from error
        except httpx.TimeoutException as error:
            message = f"{self._node.address} said nothing for {self._limits.silence:g} s"
            raise AnswerLost(message, is_silence=True) from error
        except (httpx.InvalidURL, UnicodeError) as error:  # of a host that no name server is asked for
            message = f"{self._node.address} cannot be reached: url names no host"
            raise PeerUnreachable(message) from error
        except httpx.RequestError as error:
            message = f"{self._node.address} ended the connection before its answer ({type(error).__name__})"
            raise AnswerLost(message, is_silence=False) from error
        return Reply(status=response.status_code, body=body, retry_after=_retry_after(response.headers))

    def _body_of(self, response: httpx.Response) -> bytes:
        """Raw, since no compression is asked for: what inflates could be of any size."""
        body, end = bytearray(), monotonic() + self._limits.answer
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > _MOST_BYTES:
                message = f"{self._node.address} answered with more than {_MOST_BYTES >> 20} MB"
                raise AnswerLost(message, is_silence=False)
            if monotonic() > end:
                message = f"{self._node.address} did not end its answer within {self._limits.answer:g} s"
                raise AnswerLost(message, is_silence=True)
        return bytes(body)

    def _why_unreachable(self, error: httpx.TransportError) -> str:
        if self._context is not None and (failure := failure_of(self._context)):
            return f"{self._node.address}: TLS failed: {failure}"
        reason = "no answer in time" if isinstance(error, httpx.ConnectTimeout) else str(error) or "no connection"
        return f"{self._node.address} cannot be reached ({reason}); is it running, and is url right?"


@contextmanager
def connected(node: WebNode, limits: WebLimits) -> Iterator[Connection]:
    """Requests may be made; the first one connects. Raises PeerUnreachable where certificates or token are wrong.

    Certificates and token are read anew each time. Redirections are not followed, and no proxy, certificate or password
    is taken from the environment: what a node gets goes where the settings say. Cookies are not kept: one may hold what
    no request can say.
    """
    try:
        token = token_of(node)
        context = client_context(node.tls or NodeTls()) if node.is_encrypted else None
    except SettingsError as error:
        message = f"{node.address} is not called: {error}"
        raise PeerUnreachable(message) from error
    headers = {"Accept": DICOM_JSON, "Accept-Encoding": "identity", "User-Agent": f"pacs-ai/{__version__}"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    with httpx.Client(
        headers=headers,
        verify=context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # trusts nobody, and costs nothing to make
        timeout=httpx.Timeout(limits.silence, connect=limits.connect),
        trust_env=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        follow_redirects=False,
    ) as client:
        yield Connection(node, client, limits, context)


def _retry_after(headers: httpx.Headers) -> timedelta | None:
    """Seconds, or the time between two dates of the node's own clock; at most an hour."""
    said = headers.get("Retry-After", "").strip()
    if said.isascii() and said.isdigit():
        return min(timedelta(seconds=min(int(said[:9]), 10**8)), LONGEST_REST)
    try:
        waiting = parsedate_to_datetime(said) - parsedate_to_datetime(headers.get("Date", ""))
    except (TypeError, ValueError, OverflowError):  # of a year that no calendar has
        return None
    return max(timedelta(), min(waiting, LONGEST_REST))

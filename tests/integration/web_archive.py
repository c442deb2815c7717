"""A stand-in archive that takes results over DICOMweb, and refuses, forgets, stalls and lies as it is told to."""

import json
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from threading import Event, Lock, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pydicom import dcmread
from pydicom.dataset import Dataset

from pacs_ai.nodes import NodeTls, WebNode

from .certificates import Authority, Pair
from .peers import HOST

STORE = "/dicom-web/studies"


@dataclass
class WebArchive:
    """It keeps what it is sent but for what `reasons` gives a Failure Reason for; `statuses` are its next answers.

    A status in `statuses` is the whole answer to one STOW-RS request: 0 hangs up, and -1 says nothing until the end.
    """

    reasons: Callable[[Dataset], int | None] = lambda _instance: None
    statuses: list[int] = field(default_factory=list)
    query_status: int = 200
    fails_to_find: set[str] = field(default_factory=set)
    bearer: str | None = None
    forgets: bool = False
    is_mute: bool = False
    most_bytes: int = 1 << 30
    headers: dict[str, str] = field(default_factory=dict)
    page: bytes = b""
    address: str = ""
    requests: list[list[bytes]] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    cookies: list[str | None] = field(default_factory=list)
    holds: dict[str, Dataset] = field(default_factory=dict)
    ended: Event = field(default_factory=Event)
    _lock: Lock = field(default_factory=Lock)

    @property
    def node(self) -> WebNode:
        return self.node_with()

    def node_with(self, **changes: Any) -> WebNode:
        return WebNode(**{"name": "archive", "url": f"{self.address}/dicom-web", **changes})

    @property
    def instances(self) -> list[str]:
        """The SOP Instance UIDs of all that came, in their order."""
        return [str(header_of(part).SOPInstanceUID) for request in self.requests for part in request]

    def store(self, parts: Sequence[bytes]) -> tuple[int, bytes]:
        """Status and body of the response to STOW-RS (PS3.18 10.5.3)."""
        with self._lock:
            self.requests.append(list(parts))
            stored, failed = [], []
            for instance in map(header_of, parts):
                reference = {
                    "00081150": {"vr": "UI", "Value": [str(instance.SOPClassUID)]},
                    "00081155": {"vr": "UI", "Value": [str(instance.SOPInstanceUID)]},
                }
                reason = self.reasons(instance)
                if reason is not None:
                    failed.append(reference | {"00081197": {"vr": "US", "Value": [reason]}})
                    continue
                stored.append(reference)
                if not self.forgets:
                    self.holds[str(instance.SOPInstanceUID)] = instance
        status = 200 if not failed else 202 if stored else 409
        said = {"00081198": {"vr": "SQ", "Value": failed}, "00081199": {"vr": "SQ", "Value": stored}}
        return status, b"" if self.is_mute else json.dumps(said).encode()

    def search(self, path: str, query: str) -> tuple[int, bytes]:
        """Status and body of the response to QIDO-RS."""
        self.queries.append(f"{path}?{query}")
        if self.query_status != 200:
            return self.query_status, b""
        wanted = parse_qs(query).get("SOPInstanceUID", [""])[0]
        if wanted in self.fails_to_find:
            return 500, b""
        held = self.holds.get(wanted)
        level = path.split("/")
        found = held is not None and level[3::2] == [held.StudyInstanceUID, held.SeriesInstanceUID]
        return (200, json.dumps([{"00080018": {"vr": "UI", "Value": [wanted]}}]).encode()) if found else (204, b"")


def header_of(part: bytes) -> Dataset:
    return dcmread(BytesIO(part), stop_before_pixels=True)


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60  # a connection that a failing test has left open ends
    archive: WebArchive

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        if length > self.archive.most_bytes:
            self._drop(length)
            self._answer(413, b"")
            return
        content = self.rfile.read(length)
        self.archive.cookies.append(self.headers["Cookie"])
        status = self.archive.statuses.pop(0) if self.archive.statuses else None
        if not self._is_let_in() or status == 0:
            self.close_connection = True
        elif status == -1:
            self.archive.ended.wait()
        elif status is not None:
            self._answer(status, self.archive.page)
        else:
            assert self.path == STORE
            self._answer(*self.archive.store(_parts(content, self.headers["Content-Type"])))

    def do_GET(self) -> None:
        if self._is_let_in():
            asked = urlsplit(self.path)
            self._answer(*self.archive.search(asked.path, asked.query))

    def _is_let_in(self) -> bool:
        if self.archive.bearer is None or self.headers["Authorization"] == f"Bearer {self.archive.bearer}":
            return True
        self._answer(401, b"")
        return False

    def _drop(self, length: int) -> None:
        while length > 0:
            length -= len(self.rfile.read(min(length, 1 << 16)))

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response_only(status)
        for name, value in self.archive.headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Type", "application/dicom+json")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *said: object) -> None:
        """Say nothing."""


def _parts(content: bytes, content_type: str) -> list[bytes]:
    """The parts of the body, each exactly as it was sent (RFC 2046 5.1.1)."""
    assert content_type.startswith('multipart/related; type="application/dicom"; boundary=')
    boundary = b"--" + content_type.partition("boundary=")[2].encode()
    first, *parts, last = content.split(boundary)
    assert (first, last) == (b"", b"--\r\n")
    return [_content(part) for part in parts]


def _content(part: bytes) -> bytes:
    header, _, content = part.partition(b"\r\n\r\n")
    assert header == b"\r\nContent-Type: application/dicom"
    assert content.endswith(b"\r\n")
    return content[:-2]


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, handler: type[_Answers], context: ssl.SSLContext | None) -> None:
        self.context = context
        super().__init__((HOST, 0), handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """The handshake is done in the thread of the connection; a peer that breaks it off is no error of ours."""
        with suppress(ssl.SSLError, ConnectionError):
            if self.context is None:
                super().finish_request(request, client_address)
                return
            with self.context.wrap_socket(request, server_side=True) as encrypted:
                super().finish_request(encrypted, client_address)


@contextmanager
def taking(archive: WebArchive, context: ssl.SSLContext | None = None) -> Iterator[WebArchive]:
    """The archive listens on a free port."""
    server = _Server(type("Answers", (_Answers,), {"archive": archive}), context)
    archive.address = f"{'https' if context else 'http'}://{HOST}:{server.server_port}"
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield archive
    finally:
        archive.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


def context_of(pair: Pair, *, asks_for: Authority | None = None) -> ssl.SSLContext:
    """The archive's certificate is shown; where it asks for one, ours has to come from that authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    if asks_for is not None:
        context.load_verify_locations(asks_for.certificate)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def tls_with(authority: Authority, pair: Pair | None = None, **changes: Any) -> NodeTls:
    own = {"certificate": str(pair.certificate), "key": str(pair.key)} if pair else {}
    return NodeTls(ca=str(authority.certificate), **own, **changes)

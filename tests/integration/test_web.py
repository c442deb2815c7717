"""Health and metrics over HTTP: what keeps the service from its work is said, and nobody is named."""

import json
import re
import socket
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path

import pytest
from pacs_ai_storage import audit
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.records import AuditEvent, StudyState
from pydicom import dcmread
from pydicom.uid import generate_uid

from pacs_ai.errors import SettingsError
from pacs_ai.service import Service
from pacs_ai.settings import HttpSettings, Settings
from tests.fakes import TinyClassifier

from .disks import small_disk
from .peers import HOST, Archive, associated, contexts_for, push, store_as
from .services import Gated, Running, radiograph
from .waiting import wait_until

pytestmark = pytest.mark.timeout(180)


def tiny(_settings: object, _card: object) -> TinyClassifier:
    return TinyClassifier()


def get(port: int | None, path: str, *, token: str = "", host: str = HOST) -> tuple[int, str]:
    assert port is not None
    connection = HTTPConnection(host, port, timeout=30)
    connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
    answer = connection.getresponse()
    try:
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def reasons(port: int | None) -> tuple[int, set[str]]:
    status, body = get(port, "/readyz")
    return status, {reason["check"] for reason in json.loads(body)["reasons"]}


def test_readiness_names_what_is_missing_and_metrics_count_without_naming_anybody(
    settings_with: Callable[..., Settings], archive: Archive, tmp_path: Path
) -> None:
    loading, (study, path) = Gated(), radiograph(tmp_path)

    def load(_settings: object, _card: object) -> Gated:
        loading.gate.wait()
        return loading

    with small_disk(tmp_path / "data") as disk:
        service = Service(settings_with(archive.node), load=load, port=0, http_port=0)
        started = Running(service=service, port=service.start().port)
        before = reasons(service.http_port)
        loading.gate.set()
        service.wait_until_ready()
        ready = get(service.http_port, "/readyz")
        disk.fill()
        full = reasons(service.http_port)
        disk.make_room()
        with associated(started.port, contexts_for([path])) as association:
            refused = store_as(association, path, generate_uid())
        push(started.port, path)
        started.wait_for(study, StudyState.DELIVERED)
        # The reading is counted a moment after its results are kept.
        wait_until(lambda: "pacs_ai_reading_seconds_count 1.0" in get(service.http_port, "/metrics")[1])
        status, text = get(service.http_port, "/metrics")
        alive = get(service.http_port, "/healthz")
        service.stop()

    assert before == (503, {"network"})
    assert ready == (200, '{"status":"ready","reasons":[]}')
    assert (full[0], full[1] >= {"disk"}) == (503, True) if type(disk).__name__ == "MemoryDisk" else full
    assert alive == (200, '{"status":"ok"}')
    assert status == 200
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert lines["pacs_ai_instances_received_total"] == "1.0"
    assert lines[f'pacs_ai_instances_refused_total{{status="0x{refused:04X}"}}'] == "1.0"
    assert lines['pacs_ai_studies{state="DELIVERED"}'] == "1.0"
    assert lines['pacs_ai_deliveries{node="archive",state="ACCEPTED"}'] == "2.0"
    assert lines["pacs_ai_reading_seconds_count"] == lines['pacs_ai_reading_seconds_bucket{le="+Inf"}'] == "1.0"
    assert lines["pacs_ai_ledger_up"] == "1.0"
    assert float(lines["pacs_ai_disk_free_bytes"]) > 0
    assert all(name.startswith("pacs_ai_") for name in lines)
    sent = dcmread(path)
    named = [sent.SOPInstanceUID, sent.StudyInstanceUID, str(sent.PatientID), "MODALITY", "ARCHIVE"]
    assert [name for name in named if name in text] == []
    assert not re.search(r"\d+(\.\d+){4}", text)


def test_with_a_token_only_who_has_it_sees_more_than_that_the_service_lives(
    settings_with: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHERS_TOKEN", " sesame\n")
    http = HttpSettings(host=HOST, token_env="WATCHERS_TOKEN")  # noqa: S106 - a name
    service = Service(settings_with().model_copy(update={"http": http}), load=tiny, port=0, http_port=0)

    service.start()
    answers = [get(service.http_port, path)[0] for path in ("/healthz", "/readyz", "/metrics", "/docs")]
    wrong = get(service.http_port, "/metrics", token="open")[0]  # noqa: S106 - wrong on purpose
    right = get(service.http_port, "/metrics", token="sesame")[0]  # noqa: S106 - no secret
    service.stop()

    assert answers == [200, 401, 401, 401]
    assert (wrong, right) == (401, 200)


def test_a_token_that_is_not_there_keeps_the_service_from_starting(settings_with: Callable[..., Settings]) -> None:
    http = HttpSettings(host="0.0.0.0", token_env="NOT_SET_ANYWHERE")  # noqa: S104, S106 - asked for on purpose

    with pytest.raises(SettingsError, match="NOT_SET_ANYWHERE"):
        Service(settings_with().model_copy(update={"http": http}))


def test_an_http_port_that_is_taken_does_not_keep_instances_out(
    settings_with: Callable[..., Settings], archive: Archive, tmp_path: Path
) -> None:
    _, path = radiograph(tmp_path)
    http = HttpSettings(host=HOST, port=archive.port)
    service = Service(settings_with().model_copy(update={"http": http}), load=tiny, port=0)

    accepted = push(service.start().port, path)
    service.stop()

    assert (service.http_port, accepted) == (None, [0x0000])


def test_connections_that_send_no_whole_request_keep_nobody_out_for_long(
    settings_with: Callable[..., Settings],
) -> None:
    service = Service(settings_with(), load=tiny, port=0, http_port=0)
    service.start()
    port = service.http_port
    wait_until(lambda: get(port, "/healthz")[0] == 200)
    beginnings = (b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\n")

    with ExitStack() as opened:

        def is_crowded() -> bool:
            for beginning in beginnings * 21:
                idle = opened.enter_context(socket.create_connection((HOST, port)))
                idle.sendall(beginning)
            return get(port, "/healthz")[0] == 503

        wait_until(is_crowded)
        wait_until(lambda: get(port, "/healthz")[0] == 200, within=60)
        answered = get(port, "/healthz")[0]
    service.stop()

    assert answered == 200


def test_eight_listen_at_most_however_many_come_at_once_and_leave_their_places(
    settings_with: Callable[..., Settings],
) -> None:
    service = Service(settings_with(), load=tiny, port=0, http_port=0)
    service.start()
    port = service.http_port
    wait_until(lambda: get(port, "/healthz")[0] == 200)

    at_once = _listeners(port, 20)
    for _ in range(2):
        wait_until(lambda: _listeners(port, 8) == 8)
    service.stop()

    assert at_once == 8


@pytest.mark.parametrize("said", ["9" * 20, "9" * 5000, "-1", "newest"])
def test_a_listener_that_saw_an_event_of_no_log_is_told_what_is_new(
    settings_with: Callable[..., Settings], said: str
) -> None:
    service = Service(settings_with(), load=tiny, port=0, http_port=0)
    service.start()
    port = service.http_port
    service.wait_until_ready()  # what its start has to say is in the log
    wait_until(lambda: get(port, "/healthz")[0] == 200)
    connection = HTTPConnection(HOST, port or 0, timeout=30)

    connection.request("GET", "/api/v1/events", headers={"Last-Event-ID": said})
    answer = connection.getresponse()
    Ledger(service.stores.database).note(AuditEvent(at=datetime.now(UTC), actor="operator", action="query-log"))
    told = answer.readline(), answer.readline()
    connection.close()
    service.stop()

    assert answer.status == 200
    assert b"event: query-log\n" in told


def test_a_listener_that_does_not_read_leaves_its_place_soon(settings_with: Callable[..., Settings]) -> None:
    service = Service(settings_with(), load=tiny, port=0, http_port=0)
    service.start()
    port = service.http_port
    wait_until(lambda: get(port, "/healthz")[0] == 200)
    event = AuditEvent(at=datetime.now(UTC), actor="operator", action="query-log", detail="much " * 20_000)
    with service.stores.database.change() as connection:
        audit.append(connection, *[event] * 100)
    asked = f"GET /api/v1/events HTTP/1.1\r\nHost: {HOST}\r\nLast-Event-ID: 0\r\n\r\n".encode()

    with ExitStack() as opened:
        begun = []
        for _ in range(8):
            listener = opened.enter_context(socket.create_connection((HOST, port), timeout=30))
            listener.sendall(asked)
            begun.append(listener.recv(12))
        wait_until(lambda: _listeners(port, 1) == 1)
    service.stop()

    assert begun == [b"HTTP/1.1 200"] * 8


def _listeners(port: int | None, number: int) -> int:
    """How many of so many that come at once may listen; afterwards they are gone."""
    asked = f"GET /api/v1/events HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
    with ExitStack() as opened:
        connections = [opened.enter_context(socket.create_connection((HOST, port), timeout=30)) for _ in range(number)]
        for connection in connections:
            connection.sendall(asked)
        return sum(connection.recv(1024).startswith(b"HTTP/1.1 200") for connection in connections)


def test_a_connection_is_kept_for_the_requests_that_follow_each_other(settings_with: Callable[..., Settings]) -> None:
    service = Service(settings_with(), load=tiny, port=0, http_port=0)
    service.start()
    connection = HTTPConnection(HOST, service.http_port or 0, timeout=30)

    answers = []
    for _ in range(3):
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        answers.append((answer.status, answer.read(), connection.sock is not None))
    connection.close()
    service.stop()

    assert answers == [(200, b'{"status":"ok"}', True)] * 3


@pytest.mark.parametrize(("host", "asked"), [("::1", "::1"), ("::", "::1"), ("::", "127.0.0.1")])
def test_the_http_port_is_opened_for_ipv6_too(
    host: str, asked: str, settings_with: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHERS_TOKEN", "sesame")
    http = HttpSettings(host=host, token_env="WATCHERS_TOKEN")  # noqa: S106 - a name
    service = Service(settings_with().model_copy(update={"http": http}), load=tiny, port=0, http_port=0)

    service.start()
    status, _ = get(service.http_port, "/healthz", host=asked)
    service.stop()

    assert status == 200

"""What programs ask over HTTP, on each kind of database."""

import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pacs_ai_storage import audit
from pacs_ai_storage.audit import AuditFilter
from pacs_ai_storage.database import Database
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.records import AuditEvent, DeliveryState, StudyState

from pacs_ai.web.news import News

from .offices import items, open_office, visit
from .studies import AT, STABLE, STUDY, actions, arrived, bring_to, seen

pytestmark = pytest.mark.timeout(180)
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def client(database: Database, tmp_path: Path) -> TestClient:
    return visit(open_office(database, tmp_path))


def problem_of(client: TestClient, method: str, path: str, **options: object) -> tuple[int, str]:
    answer = client.request(method, path, **options)  # type: ignore[arg-type]
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["status"], body["type"]) == (answer.status_code, "about:blank")
    return answer.status_code, body["detail"]


def test_the_worklist_is_that_of_the_command_line(client: TestClient, database: Database) -> None:
    bring_to(StudyState.DELIVERED, database)

    [entry] = items(client.get("/api/v1/worklist"))

    assert (entry["study_instance_uid"], entry["priority"], entry["probability"]) == (STUDY, "HIGH", 0.93)
    assert entry["reasons"] == ["pneumonia positive, 93.0%", "not analysed: NOT_FRONTAL"]


def test_pages_of_the_worklist_follow_one_another(client: TestClient, database: Database) -> None:
    ledger = Ledger(database)
    for number in range(5):
        ledger.record(arrived(number, study=f"1.2.{number}"))

    places, cursor = [], "0"
    while cursor is not None:
        page = client.get("/api/v1/worklist", params={"limit": 2, "cursor": cursor}).json()
        places.append([entry["place"] for entry in page["items"]])
        cursor = page["next_cursor"]

    assert places == [[1, 2], [3, 4], [5]]


def test_a_study_is_found_by_its_end_and_by_its_accession_number(client: TestClient, database: Database) -> None:
    bring_to(StudyState.DELIVERED, database)

    found = {client.get(f"/api/v1/studies/{name}").json()["study_instance_uid"] for name in (STUDY, "8.7", "ACC0001")}

    assert found == {STUDY}
    assert problem_of(client, "GET", "/api/v1/studies/9.9.9")[0] == 404


def test_a_study_is_marked_as_read_and_read_again(client: TestClient, database: Database) -> None:
    bring_to(StudyState.DELIVERED, database)

    read = client.post(f"/api/v1/studies/{STUDY}/mark-read")
    left = items(client.get("/api/v1/worklist"))
    not_failed = problem_of(client, "POST", f"/api/v1/studies/{STUDY}/requeue", json={})
    again = client.post(f"/api/v1/studies/{STUDY}/requeue", json={"force": True})

    assert (read.status_code, left, not_failed[0], again.status_code) == (204, [], 409, 204)
    assert problem_of(client, "POST", "/api/v1/studies/9.9.9/requeue", json={})[0] == 404
    assert ("mark-read", None) in [(action, None) for action, _ in actions(database)]
    assert seen(database).study.state is StudyState.RECEIVING


def test_pages_of_the_audit_log_go_back_to_its_beginning_without_gap_or_double(
    client: TestClient, database: Database
) -> None:
    bring_to(StudyState.DELIVERED, database)
    with database.read() as connection:
        every = [event.identity for event in audit.query(connection, AuditFilter(limit=1000))]

    numbers: list[int] = []
    cursor: str | None = None
    while True:
        page = client.get("/api/v1/audit", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        numbers += [event["id"] for event in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert numbers == sorted(every, key=lambda number: -(number or 0))


@pytest.mark.parametrize(
    ("wanted", "number"),
    [
        ({"study": STUDY, "action": "receive"}, 1),
        ({"accession": "ACC0001", "action": "receive"}, 1),
        ({"accession": "ACC0002"}, 0),
        ({"min_probability": 0.9}, 1),
        ({"max_probability": 0.9}, 0),
        ({"node": "pacs", "outcome": "accepted"}, 2),
        ({"calling_ae": "MODALITY", "action": "read"}, 1),
        ({"model": "tiny 0.0.1"}, 1),
        ({"since": "2026-01-05T10:30:01Z", "action": "receive"}, 0),
        ({"until": "2026-01-05T10:30:01+00:00", "action": "receive"}, 1),
        ({"actor": "MODALITY"}, 1),
    ],
)
def test_each_filter_of_the_audit_log_is_heeded(
    client: TestClient, database: Database, wanted: dict[str, str | float], number: int
) -> None:
    bring_to(StudyState.DELIVERED, database)

    assert len(items(client.get("/api/v1/audit", params=wanted))) == number
    assert len(items(client.post("/api/v1/audit/query", json=wanted))) == number


def test_a_question_that_has_a_name_is_asked(client: TestClient, database: Database) -> None:
    bring_to(StudyState.DECLINED, database)

    counted = items(client.get("/api/v1/audit", params={"named": "not-analysed"}))

    assert counted == [{"calling_ae_title": "MODALITY", "reason": "NOT_CHEST", "instances": 1}]
    status, detail = problem_of(client, "GET", "/api/v1/audit", params={"named": "nobody-asked"})
    assert (status, "there is no query" in detail) == (400, True)


def test_a_patient_is_asked_for_in_the_body_alone(client: TestClient, database: Database) -> None:
    bring_to(StudyState.DELIVERED, database)

    status, detail = problem_of(client, "GET", "/api/v1/audit", params={"patient": "SECRET-7"})

    assert status == 422
    assert "SECRET-7" not in detail
    assert items(client.post("/api/v1/audit/query", json={"patient": "SECRET-7"})) == []


@pytest.mark.parametrize(
    "wanted", [{"limit": 0}, {"since": "yesterday"}, {"min_probability": 2}, {"colour": "red"}, {"cursor": "nowhere"}]
)
@ON_SQLITE
def test_a_question_that_is_none_is_a_problem_that_names_the_field(
    client: TestClient, wanted: dict[str, str | float]
) -> None:
    status, detail = problem_of(client, "GET", "/api/v1/audit", params=wanted)

    assert status in {400, 422}
    assert detail.startswith(next(iter(wanted)))


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("audit", {"since": "2026-02-01", "until": "2026-01-01"}),
        ("audit", {"min_probability": "0.9", "max_probability": "0.1"}),
        ("studies", {"since": "2026-02-01", "until": "2026-01-01"}),
    ],
)
@ON_SQLITE
def test_limits_between_which_nothing_can_be_are_a_problem(
    client: TestClient, path: str, wanted: dict[str, str]
) -> None:
    status, detail = problem_of(client, "GET", f"/api/v1/{path}", params=wanted)

    assert (status, "nothing is between them" in detail) == (400, True)


def test_events_of_a_study_are_found_by_each_of_its_names(client: TestClient, database: Database) -> None:
    bring_to(StudyState.DELIVERED, database)
    refused = AuditEvent(at=AT, actor="X", action="refuse-receive", study_instance_uid="9.9.1")
    Ledger(database).note(refused)

    found = [len(items(client.get("/api/v1/audit", params={"study": name}))) for name in (STUDY, "8.7", "ACC0001")]

    assert found[0] == found[1] == found[2] > 0
    assert len(items(client.get("/api/v1/audit", params={"study": "9.9.1"}))) == 1
    assert problem_of(client, "GET", "/api/v1/audit", params={"study": "9.9.2"})[0] == 404


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_out_of_every_calendar_is_a_problem_that_names_the_field(client: TestClient, at: str) -> None:
    for wanted in ({"since": at}, {"until": at}, {"cursor": f"{at}~1"}):
        status, detail = problem_of(client, "GET", "/api/v1/audit", params=wanted)

        assert status in {400, 422}
        assert detail.startswith(next(iter(wanted)))


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00Z", "0001-01-02T00:00:00", "9999-12-30T23:59:59"])
def test_the_first_and_the_last_time_of_the_calendar_can_be_asked_for(client: TestClient, at: str) -> None:
    assert items(client.get("/api/v1/audit", params={"since": at, "until": at, "cursor": f"{at}~1"})) == []


@pytest.mark.parametrize("number", [2**63, -1, "9" * 5000])
def test_a_cursor_that_no_database_counts_to_is_a_problem(client: TestClient, number: int | str) -> None:
    cursors = {
        "audit": f"2026-01-05T10:30:00+00:00~{number}",
        **dict.fromkeys(("deliveries", "worklist", "studies"), str(number)),
    }

    for path, cursor in cursors.items():
        status, detail = problem_of(client, "GET", f"/api/v1/{path}", params={"cursor": cursor})

        assert status in {400, 422}
        assert detail.startswith("cursor")


@pytest.mark.parametrize("path", ["audit/query", "deliveries/retry", "studies/1.2.3/requeue"])
@ON_SQLITE
def test_a_question_of_megabytes_is_refused(client: TestClient, path: str) -> None:
    status, detail = problem_of(client, "POST", f"/api/v1/{path}", json={"text": "a" * 100_000})

    assert (status, "KiB" in detail) == (413, True)


@pytest.mark.parametrize("said", ["\0", "a\0b", "\ud800", "a" * 60_000])
def test_what_no_database_can_look_for_is_a_problem_that_names_the_field(client: TestClient, said: str) -> None:
    fields = ("study", "instance", "action", "outcome", "node", "actor", "text", "accession", "patient")
    asked = [("audit/query", field) for field in fields]
    chosen = [(f"deliveries/{verb}", field) for verb in ("retry", "cancel") for field in ("id", "node")]

    for path, field in [*asked, *chosen]:
        body = json.dumps({field: said}).encode()
        headers = {"Content-Type": "application/json"}
        status, detail = problem_of(client, "POST", f"/api/v1/{path}", content=body, headers=headers)

        assert (status, detail.split(":")[0]) == (422, field)
    assert problem_of(client, "GET", "/api/v1/deliveries", params={"node": "\0"})[0] == 422


@pytest.mark.parametrize("name", ["%00", "8.7%00", "…", "%ed%a0%80", "7" * 60_000])
def test_a_name_that_nothing_can_have_is_that_of_no_study(client: TestClient, database: Database, name: str) -> None:
    bring_to(StudyState.DELIVERED, database)

    assert problem_of(client, "GET", f"/api/v1/studies/{name}")[0] == 404
    assert problem_of(client, "POST", f"/api/v1/studies/{name}/mark-read")[0] == 404


def test_looking_into_the_log_is_noted_where_audit_messages_are_sent(database: Database, tmp_path: Path) -> None:
    client = visit(open_office(database, tmp_path, notes_use=True))

    items(client.post("/api/v1/audit/query", json={"patient": "SECRET-7"}))

    with database.read() as connection:
        [event] = audit.query(connection, AuditFilter())
    assert (event.action, event.actor) == ("query-log", "operator")
    assert "SECRET-7" not in str(event)


def test_the_outbox_is_listed_retried_and_cancelled(client: TestClient, database: Database) -> None:
    bring_to(StudyState.READY, database, nodes=("pacs", "mirror"))

    listed = items(client.get("/api/v1/deliveries", params={"state": "PENDING", "node": "pacs"}))
    retried = client.post("/api/v1/deliveries/retry", json={"node": "pacs"})
    cancelled = client.post("/api/v1/deliveries/cancel", json={"id": STUDY, "node": "mirror"})
    states = {item["state"] for item in items(client.get("/api/v1/deliveries", params={"node": "mirror"}))}

    assert {item["kind"] for item in listed} == {"report", "capture"}
    assert (retried.json(), cancelled.json()) == ({"deliveries": 2}, {"deliveries": 2})
    assert states == {DeliveryState.CANCELLED}
    assert {actor for actor in _actors(database) if actor == "operator"} == {"operator"}


def _actors(database: Database) -> set[str]:
    with database.read() as connection:
        return {event.actor for event in audit.trail(connection, STUDY)}


def test_pages_of_the_outbox_follow_one_another(client: TestClient, database: Database) -> None:
    bring_to(StudyState.READY, database, nodes=("a", "b", "c"))

    found, cursor = [], "0"
    while cursor is not None:
        page = client.get("/api/v1/deliveries", params={"limit": 4, "cursor": cursor}).json()
        found += [(item["node"], item["kind"]) for item in page["items"]]
        cursor = page["next_cursor"]

    assert len(found) == len(set(found)) == 6


@pytest.mark.parametrize(
    ("wanted", "number"),
    [
        ({}, 5),
        ({"state": "RECEIVING"}, 5),
        ({"state": "READY"}, 0),
        ({"accession": "ACC0001"}, 5),
        ({"accession": "ACC0002"}, 0),
        ({"since": "2026-01-05T10:30:01Z"}, 0),
        ({"until": "2026-01-05T10:30:01Z"}, 5),
    ],
)
def test_studies_are_listed_page_by_page(
    client: TestClient, database: Database, wanted: dict[str, str], number: int
) -> None:
    ledger = Ledger(database)
    for image in range(5):
        ledger.record(arrived(image, study=f"1.2.{image}"))

    found, cursor = [], "0"
    while cursor is not None:
        page = client.get("/api/v1/studies", params={"limit": 2, "cursor": cursor, **wanted}).json()
        found += [study["study_instance_uid"] for study in page["items"]]
        cursor = page["next_cursor"]

    assert len(found) == len(set(found)) == number


def test_deliveries_are_listed_by_the_names_by_which_they_are_retried(client: TestClient, database: Database) -> None:
    bring_to(StudyState.READY, database)

    found = [items(client.get("/api/v1/deliveries", params={"id": name})) for name in (STUDY, "ACC0001")]

    assert [{item["study_instance_uid"] for item in one} for one in found] == [{STUDY}, {STUDY}]
    assert problem_of(client, "GET", "/api/v1/deliveries", params={"id": "9.9.9"})[0] == 404


@pytest.mark.parametrize("path", ["worklist", "studies", "deliveries", "audit"])
@ON_SQLITE
def test_a_parameter_that_is_none_is_refused(client: TestClient, path: str) -> None:
    status, detail = problem_of(client, "GET", f"/api/v1/{path}", params={"limt": "1"})

    assert (status, detail.startswith("limt")) == (422, True)


@pytest.mark.parametrize("named", [{}, {"named": "study", "study": STUDY}])
@ON_SQLITE
def test_no_page_follows_one_that_is_just_full(client: TestClient, database: Database, named: dict[str, str]) -> None:
    bring_to(StudyState.READY, database, nodes=("a", "b", "c"))
    with database.read() as connection:
        events = len(audit.trail(connection, STUDY))

    outbox = client.get("/api/v1/deliveries", params={"limit": 6}).json()
    log = client.get("/api/v1/audit", params={"limit": events, **named}).json()

    assert (len(outbox["items"]), outbox["next_cursor"]) == (6, None)
    assert (len(log["items"]), log["next_cursor"]) == (events, None)


@pytest.mark.parametrize("chosen", [{}, {"all": True, "node": "pacs"}])
@ON_SQLITE
def test_deliveries_are_changed_only_where_it_is_said_which(client: TestClient, chosen: dict[str, object]) -> None:
    assert problem_of(client, "POST", "/api/v1/deliveries/retry", json=chosen)[0] == 400
    assert problem_of(client, "POST", "/api/v1/deliveries/cancel", json={"node": "nobody"})[0] == 404


@ON_SQLITE
def test_the_card_and_the_description_are_there(client: TestClient) -> None:
    card = client.get("/api/v1/model").json()
    described = client.get("/api/openapi.json").json()
    page = client.get("/api/docs")

    assert card["name"] == "pneumonia-vgg16"
    promised = {"worklist", "studies/{uid}", "audit", "deliveries", "model", "events"}
    assert {f"/api/v1/{path}" for path in promised} <= described["paths"].keys()
    assert all(path in page.text for path in described["paths"])
    assert "HTTPBearer" in described["components"]["securitySchemes"]
    assert list(described["paths"]["/api/v1/events"]["get"]["responses"]["200"]["content"]) == ["text/event-stream"]
    for methods in described["paths"].values():
        for operation in methods.values():
            assert operation["responses"]["422"]["content"].keys() == {"application/problem+json"}


@ON_SQLITE
def test_a_ledger_that_is_away_is_a_problem_and_not_a_fault(database: Database, tmp_path: Path) -> None:
    client = visit(open_office(database, tmp_path))
    bring_to(StudyState.DELIVERED, database)
    Path(str(database.engine.url.database)).rename(tmp_path / "elsewhere")

    assert problem_of(client, "GET", "/api/v1/worklist")[0] == 503


async def _gone_after(looks: list[bool]) -> bool:
    return looks.pop(0) if looks else True


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_events_are_told_as_they_are_written(database: Database, tmp_path: Path) -> None:
    import asyncio  # noqa: PLC0415

    bring_to(StudyState.DELIVERED, database)
    news = News(after=open_office(database, tmp_path).events_after, is_over=lambda: False)

    async def listen() -> list[str]:
        looks = [False, True]
        return [line async for line in news.lines(2, lambda: _gone_after(looks))]

    told = asyncio.run(listen())

    numbers = [int(line.splitlines()[0].removeprefix("id: ")) for line in told]
    assert numbers == list(range(3, len(actions(database)) + 1))
    assert json.loads(told[0].splitlines()[2].removeprefix("data: "))["id"] == 3


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_whoever_listens_is_told_no_more_once_the_service_goes(database: Database, tmp_path: Path) -> None:
    import asyncio  # noqa: PLC0415

    bring_to(StudyState.DELIVERED, database)
    ends = iter([False, True])
    news = News(after=open_office(database, tmp_path).events_after, is_over=lambda: next(ends))

    async def listen() -> list[str]:
        return [line async for line in news.lines(0, lambda: _gone_after([False] * 9))]

    assert len(asyncio.run(listen())) == len(actions(database))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_who_comes_back_goes_on_after_the_last_event_that_it_saw(database: Database, tmp_path: Path) -> None:
    office = open_office(database, tmp_path)
    Ledger(database).note(AuditEvent(at=AT, actor="operator", action="query-log"))
    before = office.newest_event()
    bring_to(StudyState.RECEIVING, database)

    assert [event.action for event in office.events_after(before, 10)] == ["receive"]
    assert office.now() == STABLE

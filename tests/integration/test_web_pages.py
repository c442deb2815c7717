"""What people see in a browser, and whom the pages keep out."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from fastapi.testclient import TestClient
from pacs_ai_storage.database import Database
from pacs_ai_storage.instances import InstanceStore
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.records import DeliveryState, StudyState
from pydicom import dcmread

from pacs_ai.samples import sample_paths
from tests.fakes import Clock

from .offices import ADDRESS, open_office, visit
from .studies import STUDY, arrived, bring_to, read_study, seen

pytestmark = [pytest.mark.timeout(180), pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]
TOKEN = "open sesame"  # noqa: S105 - no secret
BROWSER = {"Accept": "text/html", "Origin": ADDRESS}
ELSEWHERE = {"Accept": "text/html", "Origin": "http://elsewhere.example"}


@pytest.fixture
def client(database: Database, tmp_path: Path) -> TestClient:
    return visit(open_office(database, tmp_path))


@pytest.fixture
def guarded(database: Database, tmp_path: Path) -> TestClient:
    return visit(open_office(database, tmp_path), token=TOKEN, address="http://pacs-ai.example:8080")


def test_the_worklist_shows_what_waits_and_why(client: TestClient, database: Database) -> None:
    empty = client.get("/").text
    bring_to(StudyState.DELIVERED, database)

    page = client.get("/").text

    assert "Nothing waits to be read." in empty
    assert all(word in page for word in ("HIGH", "positive", "93.0%", "ACC0001", "not analysed: NOT_FRONTAL"))


def test_a_study_is_marked_as_read_and_read_again_by_a_button(client: TestClient, database: Database) -> None:
    bring_to(StudyState.DELIVERED, database)
    page = client.get(f"/studies/{STUDY}").text

    for action in re.findall(r'action="(/studies/[^"]+)"', page):
        answer = client.post(action, headers=BROWSER)
        assert answer.status_code == 303
        assert client.get(answer.headers["location"]).status_code == 200

    assert "Everything that touched it" in page
    assert seen(database).study.state is StudyState.RECEIVING


def test_deliveries_are_retried_and_cancelled_by_a_button(client: TestClient, database: Database) -> None:
    bring_to(StudyState.READY, database)
    page = client.get("/deliveries", params={"state": "PENDING"}).text
    objects = set(re.findall(r'name="id" value="([^"]+)"', page))

    retried = client.post("/deliveries/retry", data={"id": min(objects), "node": "pacs"}, headers=BROWSER)
    cancelled = client.post("/deliveries/cancel", data={"node": "pacs", "study": STUDY}, headers=BROWSER)

    assert len(objects) == 2
    assert (retried.headers["location"], cancelled.headers["location"]) == ("/deliveries", f"/studies/{STUDY}")
    assert {item.state for item in seen(database).deliveries} == {DeliveryState.CANCELLED}


def test_a_form_that_names_no_delivery_changes_none(client: TestClient, database: Database) -> None:
    bring_to(StudyState.READY, database)

    empty = client.post("/deliveries/cancel", headers=BROWSER)
    unread = client.post("/deliveries/cancel", files={"id": (None, "1.2.3"), "node": (None, "pacs")}, headers=BROWSER)

    assert (empty.status_code, unread.status_code) == (400, 400)
    assert {item.state for item in seen(database).deliveries} == {DeliveryState.PENDING}


def test_the_audit_log_is_asked_by_a_form_and_no_patient_is_in_an_address(
    client: TestClient, database: Database
) -> None:
    bring_to(StudyState.DELIVERED, database)

    page = client.get("/audit").text
    found = client.post("/audit", data={"action": "receive", "min_probability": ""}, headers=BROWSER).text
    nobody = client.post("/audit", data={"patient": "SECRET-7"}, headers=BROWSER)
    wrong = client.post("/audit", data={"min_probability": "much"}, headers=BROWSER)
    counted = client.post("/audit", data={"named": "not-analysed"}, headers=BROWSER)
    misspelt = client.post("/audit", data={"outcome": "postive"}, headers=BROWSER)

    assert re.findall(r'<form method="post" action="(/audit)"', page) == ["/audit"]
    assert (found.count("<td>receive</td>"), found.count("<td>deliver</td>")) == (1, 0)
    assert "No events." in nobody.text
    assert (wrong.status_code, "min_probability" in wrong.text) == (400, True)
    assert counted.status_code == 200
    assert "has the outcome &#39;postive&#39;" in misspelt.text


def test_the_picture_of_a_capture_is_shown_while_it_is_kept(
    client: TestClient, database: Database, tmp_path: Path
) -> None:
    store = InstanceStore(tmp_path / "instances")
    picture, *_ = read_study(store, Ledger(database), Clock())
    address = f"/studies/{STUDY}/captures/{picture.sop_instance_uid}"

    answer = client.get(address)
    shown = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
    kept = dcmread(store.locate(picture.file))
    store.locate(picture.file).unlink()

    assert answer.headers["content-type"] == "image/jpeg"
    assert shown is not None
    assert shown.shape == (kept.Rows, kept.Columns, 3)
    assert client.get(address).status_code == 404
    assert client.get(f"/studies/{STUDY}/captures/1.2.3").status_code == 404


@pytest.mark.parametrize("path", ["/", "/deliveries", "/audit", f"/studies/{STUDY}"])
def test_what_a_header_says_is_never_part_of_the_page(client: TestClient, database: Database, path: str) -> None:
    hostile = '"><script>alert(1)</script>'
    bring_to(StudyState.DELIVERED, database)
    instance = arrived(2)
    changed = {name: getattr(instance, name) for name in instance.__dataclass_fields__}
    Ledger(database).record(type(instance)(**{**changed, "calling_ae_title": hostile, "accession_number": hostile}))

    page = client.get(path).text

    assert "<script" not in page


def test_answers_are_kept_out_of_caches_frames_and_scripts(client: TestClient) -> None:
    headers = client.get("/").headers

    assert headers["cache-control"] == "no-store"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/deliveries", "/audit", "/api/docs", "/studies/1.2.3"])
def test_with_a_token_a_browser_is_asked_for_it_once(guarded: TestClient, path: str) -> None:
    asked = guarded.get(path, headers={"Accept": "text/html"})
    own = {"Accept": "text/html", "Origin": "http://pacs-ai.example:8080"}
    wrong = guarded.post("/login", data={"token": "sesame"}, headers=own)
    still_out = guarded.get(path, headers={"Accept": "text/html"})
    right = guarded.post("/login", data={"token": TOKEN}, headers=own)
    inside = guarded.get(path, headers={"Accept": "text/html"})
    guarded.post("/logout", headers=own)
    outside = guarded.get(path, headers={"Accept": "text/html"})

    assert (asked.status_code, asked.headers["location"]) == (303, "/login")
    assert (wrong.status_code, still_out.status_code, right.status_code) == (403, 303, 303)
    assert inside.status_code in {200, 404}
    assert outside.status_code == 303
    assert {"HttpOnly", "SameSite=strict"} <= set(right.headers["set-cookie"].split("; "))
    assert TOKEN not in right.headers["set-cookie"]


@pytest.mark.parametrize("beside", ['a={"b": 1}', "a b=c", "ü", "=", 'a="'])
def test_a_cookie_of_another_service_on_the_machine_ends_no_session(guarded: TestClient, beside: str) -> None:
    entered = guarded.post("/login", data={"token": TOKEN}, headers={"Origin": "http://pacs-ai.example:8080"})
    ours = entered.headers["set-cookie"].partition(";")[0]
    guarded.cookies.clear()

    for cookies in (f"{beside}; {ours}", f"{ours}; {beside}"):
        assert guarded.get("/api/v1/model", headers={"Cookie": cookies.encode()}).status_code == 200


def test_a_program_without_the_token_is_told_so(guarded: TestClient) -> None:
    without = guarded.get("/api/v1/worklist")
    inside = guarded.get("/api/v1/worklist", headers={"Authorization": f"Bearer {TOKEN}"})
    forged = guarded.get("/api/v1/worklist", headers={"Cookie": "pacs_ai_session=9999999999.00"})

    assert (without.status_code, without.headers["www-authenticate"]) == (401, "Bearer")
    assert (inside.status_code, forged.status_code) == (200, 401)
    assert (guarded.get("/healthz").status_code, guarded.head("/healthz").status_code) == (200, 200)


@pytest.mark.parametrize("host", ["a/healthz?", "a/healthz#", "a/login?", "a/style.css#"])
def test_no_address_in_the_host_header_opens_another(guarded: TestClient, host: str) -> None:
    assert guarded.get("/api/v1/worklist", headers={"Host": host}).status_code == 401


def test_no_page_of_another_site_changes_anything(client: TestClient, database: Database) -> None:
    bring_to(StudyState.READY, database)

    by_form = client.post("/deliveries/cancel", data={"node": "pacs"}, headers=ELSEWHERE)
    by_fetch = client.post("/api/v1/deliveries/cancel", json={"all": True}, headers={"Sec-Fetch-Site": "cross-site"})

    assert (by_form.status_code, by_fetch.status_code) == (403, 403)
    assert {item.state for item in seen(database).deliveries} == {DeliveryState.PENDING}


@pytest.mark.parametrize("origin", ["http://[", "http://[]", "null", ""])
def test_an_origin_that_is_none_is_another_site(client: TestClient, guarded: TestClient, origin: str) -> None:
    for visitor in (client, guarded):
        assert visitor.post("/logout", headers={"Origin": origin}).status_code == 403


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8080", 200),
        ("127.0.0.1", 200),
        ("[::1]:8080", 200),
        ("elsewhere.example:8080", 403),
        ("127.0.0.1.elsewhere.example", 403),
        ("[", 403),
    ],
)
def test_without_a_token_only_names_of_this_machine_are_answered(client: TestClient, host: str, status: int) -> None:
    assert client.get("/", headers={"Host": host}).status_code == status


def test_a_form_of_megabytes_is_refused(client: TestClient) -> None:
    answer = client.post("/audit", content=b"text=" + b"a" * 100_000, headers=BROWSER)

    assert (answer.status_code, "KiB" in answer.text) == (413, True)


def test_a_form_of_a_hundred_fields_is_refused(client: TestClient) -> None:
    answer = client.post("/audit", content="&".join(f"field{number}=1" for number in range(100)), headers=BROWSER)

    assert (answer.status_code, "fields" in answer.text) == (400, True)


def test_a_browser_gets_a_page_where_there_is_nothing(client: TestClient) -> None:
    answer = client.get("/studies/9.9.9", headers={"Accept": "text/html"})

    assert (answer.status_code, "text/html" in answer.headers["content-type"]) == (404, True)
    assert "no study 9.9.9" in answer.text


def test_the_samples_are_shown_with_no_name_of_a_patient(client: TestClient, database: Database) -> None:
    bring_to(StudyState.DELIVERED, database)
    names = {str(dcmread(path, stop_before_pixels=True).PatientName) for path in sample_paths()}

    pages = "".join(client.get(path).text for path in ("/", "/audit", "/deliveries", f"/studies/{STUDY}"))

    assert names
    assert not any(name in pages for name in names)

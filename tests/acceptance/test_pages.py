"""The pages in a real browser: what a person presses is done, with a token and without one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pacs_ai_storage.records import DeliveryState, StudyState
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from pacs_ai.service import Service
from pacs_ai.settings import DicomSettings, HttpSettings, IngestSettings, Node, Settings
from tests.fakes import TinyClassifier
from tests.integration.peers import HOST, nobody
from tests.integration.studies import STUDY, actions, bring_to, seen
from tests.integration.waiting import wait_until

from .browser import open_browser

pytestmark = pytest.mark.timeout(180)
TOKEN, VARIABLE = "open-sesame", "PAGES_TOKEN"


@contextmanager
def served(data: Path, **http: str) -> Iterator[Service]:
    """A service whose node is away, with a study that was read and whose results wait for it."""
    settings = Settings(
        data=data,
        dicom=DicomSettings(host=HOST),
        ingest=IngestSettings(stable_after=3600, disk_reserve_gb=0),
        http=HttpSettings(host=HOST, **http),
        nodes=(Node(name="pacs", ae_title="PACS", host=HOST, port=nobody()),),
    )
    service = Service(settings, load=lambda _settings, _card: TinyClassifier(), port=0, http_port=0)
    bring_to(StudyState.READY, service.stores.database)
    service.start()
    try:
        yield service
    finally:
        service.stop()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    opened = open_browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.quit()


def press(browser: Chrome, button: str) -> None:
    """The first button of this name is pressed, and the next page is there."""
    pressed = next(found for found in browser.find_elements(By.TAG_NAME, "button") if found.text == button)
    (before,) = browser.find_elements(By.TAG_NAME, "html")
    pressed.click()

    def is_next() -> bool:
        shown = browser.find_elements(By.TAG_NAME, "html")  # for a moment there is no page at all
        return shown not in ([], [before]) and browser.execute_script("return document.readyState") == "complete"

    wait_until(is_next)


def heading(browser: Chrome) -> str:
    return browser.find_element(By.TAG_NAME, "h1").text


def use_every_button(browser: Chrome, service: Service, address: str) -> None:
    database = service.stores.database
    browser.get(f"{address}/")
    assert "ACC0001" in browser.page_source
    press(browser, "Mark as read")
    assert "Nothing waits to be read." in browser.page_source
    assert seen(database).study.read_at is not None

    browser.get(f"{address}/deliveries")
    press(browser, "Retry")
    press(browser, "Cancel")
    press(browser, "Cancel")
    assert {item.state for item in seen(database).deliveries} == {DeliveryState.CANCELLED}

    browser.get(f"{address}/studies/{STUDY}")
    press(browser, "Read again")
    assert "read-again" in [action for action, _ in actions(database)]

    browser.get(f"{address}/audit")
    browser.find_element(By.NAME, "action").send_keys("cancel")
    press(browser, "Ask")
    assert (heading(browser), browser.page_source.count("<td>cancel</td>")) == ("Audit log", 2)


def test_on_this_machine_every_button_does_what_it_says(browser: Chrome, tmp_path: Path) -> None:
    with served(tmp_path / "data") as service:
        use_every_button(browser, service, f"http://{HOST}:{service.http_port}")

        assert {"retry", "cancel", "read-again"} <= {action for action, _ in actions(service.stores.database)}


def test_with_a_token_a_person_logs_in_works_and_logs_out(
    browser: Chrome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, TOKEN)
    with served(tmp_path / "data", token_env=VARIABLE) as service:
        address = f"http://{HOST}:{service.http_port}"
        browser.get(address)
        browser.find_element(By.NAME, "token").send_keys("wrong")
        press(browser, "Log in")
        browser.find_element(By.NAME, "token").send_keys(TOKEN)
        press(browser, "Log in")
        assert heading(browser) == "Worklist"
        use_every_button(browser, service, address)
        press(browser, "Log out")
        browser.get(f"{address}/audit")

        assert browser.find_elements(By.NAME, "token")


def test_a_page_of_another_site_changes_nothing(browser: Chrome, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.html"
    with served(tmp_path / "data") as service:
        action = f"http://{HOST}:{service.http_port}/studies/{STUDY}/mark-read"
        elsewhere.write_text(f'<form method="post" action="{action}"><button>Win</button></form>', encoding="utf-8")
        browser.get(elsewhere.as_uri())
        press(browser, "Win")

        assert "another site" in browser.page_source
        assert seen(service.stores.database).study.read_at is None

"""An office over a ledger, and a browser before it."""

from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from httpx2 import Response
from pacs_ai_storage.database import Database
from pacs_ai_storage.instances import InstanceStore

from pacs_ai.inference.card import read_card
from pacs_ai.policies import priority_policy
from pacs_ai.settings import Settings
from pacs_ai.tally import Tally
from pacs_ai.web.app import build_app
from pacs_ai.web.health import Health
from pacs_ai.web.metrics import Measures
from pacs_ai.web.office import Office
from tests.fakes import Clock

from .studies import STABLE

ADDRESS = "http://127.0.0.1:8080"


def open_office(database: Database, folder: Path, *, notes_use: bool = False) -> Office:
    return Office(
        database=database,
        store=InstanceStore(folder / "instances"),
        data=folder,
        card=read_card(""),
        policy=priority_policy(Settings()),
        notes_use=notes_use,
        now=Clock(STABLE),
        is_closing=lambda: False,
    )


def visit(office: Office, *, token: str = "", address: str = ADDRESS) -> TestClient:
    """A client of the whole application; it follows no redirection."""
    health = Health(
        database=office.database, store=office.store, is_network_loaded=lambda: True, has_failed=lambda: False
    )
    measures = Measures(database=office.database, store=office.store, tally=Tally(), now=office.now)
    app = build_app(health, measures, office, token=token)
    return TestClient(app, base_url=address, follow_redirects=False, raise_server_exceptions=True)


def items(answer: Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found

"""Damaged PDUs, DIMSE messages and data sets on the port: no hang, no crash, no leak, and no traceback."""

import itertools
import logging
import threading
from pathlib import Path

import pytest

from pacs_ai.dimse.sender import Sender
from pacs_ai.logs import FAULTS
from pacs_ai.settings import Node
from tests.builders import make_instance, phantom

from .conftest import Inbox
from .peers import HOST, file_of, push
from .port_fuzz import Sound, attack, attacks
from .waiting import wait_until
from .wire import resources

COUNT, SEED = 300, 20261124
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI:UserWarning")
def test_whatever_comes_the_port_goes_on(inbox: Inbox, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sound = Sound.of(file_of(tmp_path, make_instance(stored=phantom(64, 48))))
    died: list[threading.ExceptHookArgs] = []
    before, hook = resources(), threading.excepthook
    threading.excepthook = died.append

    try:
        for make in itertools.islice(attacks(SEED), COUNT):
            attack(inbox.port, make(sound))
        assert Sender("MODALITY").echo(Node(name="us", ae_title="PACS_AI", host=HOST, port=inbox.port)) == "0x0000"
        assert push(inbox.port, file_of(tmp_path, make_instance(stored=phantom(64, 48)))) == [0x0000]
        wait_until(lambda: resources() <= before)
    finally:
        threading.excepthook = hook

    assert died == []
    said = [record for record in caplog.records if record.name.startswith("pacs_ai") or record.name in FAULTS]
    assert [(record.name, record.getMessage()) for record in said if record.levelno >= logging.ERROR] == []

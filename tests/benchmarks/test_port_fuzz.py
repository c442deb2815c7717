"""Fuzz of the port for as long as asked, in pieces: FUZZ_SECONDS (60), FUZZ_SEED. An hour: FUZZ_SECONDS=3600."""

import gc
import logging
import os
import threading
import time
from pathlib import Path

import pytest

from pacs_ai.logs import FAULTS
from tests.builders import make_instance, phantom
from tests.integration.conftest import Inbox, inbox, open_inbox
from tests.integration.peers import file_of, push
from tests.integration.port_fuzz import Sound, attack, attacks
from tests.integration.waiting import wait_until
from tests.integration.wire import resources

__all__ = ["inbox", "open_inbox"]

SECONDS = float(os.environ.get("FUZZ_SECONDS", "60"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))
PIECE = 1000
pytestmark = [
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
    pytest.mark.timeout(SECONDS + 300),
    pytest.mark.filterwarnings("ignore:Invalid value for VR UI:UserWarning"),
]


def _resident_mb() -> float:
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_the_port_outlives_its_fuzz(inbox: Inbox, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("pydicom", "pynetdicom"):  # as the service has it: what they print would be kept by pytest to the end
        caplog.set_level(logging.CRITICAL, logger=name)
    for name in FAULTS:
        caplog.set_level(logging.ERROR, logger=name)
    caplog.set_level(logging.ERROR, logger="pacs_ai")
    sound = Sound.of(file_of(tmp_path, make_instance(stored=phantom(64, 48))))
    died: list[threading.ExceptHookArgs] = []
    before, hook = resources(), threading.excepthook
    threading.excepthook = died.append
    sizes, seed, end = [], SEED, time.monotonic() + SECONDS

    try:
        while time.monotonic() < end:
            for number, make in enumerate(attacks(seed)):
                attack(inbox.port, make(sound))
                if number == PIECE - 1 or time.monotonic() > end:
                    break
            assert push(inbox.port, file_of(tmp_path, make_instance(stored=phantom(64, 48)))) == [0x0000], (
                f"seed {seed}"
            )
            wait_until(lambda: resources() <= before)
            assert died == [], f"seed {seed}"
            said = [record for record in caplog.records if record.name.startswith("pacs_ai") or record.name in FAULTS]
            assert [record.getMessage() for record in said if record.levelno >= logging.ERROR] == [], f"seed {seed}"
            caplog.clear()
            sizes.append(_resident_mb())
            seed += 1
    finally:
        threading.excepthook = hook

    print(f"\n{SECONDS:.0f} s, seeds {SEED} to {seed - 1}: {sizes[0]:.0f} MB at first, {sizes[-1]:.0f} MB at last")
    assert sizes[-1] < sizes[0] + 50

"""20 MB of radiographs a second, while reading goes on: nothing is refused and nothing is lost.

LOAD_SECONDS makes it shorter (300), LOAD_MEGABYTES is the rate, LOAD_CATCH_UP how long reading may go on afterwards.
"""

import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacs_ai.simulation.arrivals import Arrivals
from pacs_ai.simulation.films import StudyShape
from tests.acceptance.peers import Serve, wait_until

from .trials import reading, serve_for_stand_in, try_out

pytestmark = pytest.mark.timeout(3600)
SECONDS = float(os.environ.get("LOAD_SECONDS", "300"))
MEGABYTES = float(os.environ.get("LOAD_MEGABYTES", "20"))
CATCH_UP = float(os.environ.get("LOAD_CATCH_UP", "600"))
SHAPE = StudyShape(size=(2500, 2048))
INSTANCE_MEGABYTES = 2500 * 2048 * 2 / 1e6


@pytest.fixture
def loaded(tmp_path: Path) -> Iterator[Serve]:
    serve, _ = serve_for_stand_in(tmp_path)
    with reading(serve):
        yield serve
    shutil.rmtree(tmp_path / "data")


def test_twenty_megabytes_a_second_are_taken_while_reading_goes_on(loaded: Serve) -> None:
    studies = round(SECONDS * MEGABYTES / INSTANCE_MEGABYTES)
    arrivals = Arrivals(burst=1, studies=studies, seconds=SECONDS)
    begun = time.monotonic()

    verdict = try_out(loaded, arrivals, SHAPE, seed=1)

    seconds = time.monotonic() - begun
    limit = str(10 * studies)
    received = loaded.ask("audit", "query", "--action", "receive", "--limit", limit)
    read = len(loaded.ask("audit", "query", "--action", "finish", "--limit", limit))
    print(
        f"\nload: {studies * INSTANCE_MEGABYTES / seconds:.1f} MB/s for {seconds:.0f} s, answers {verdict.answers}; "
        f"read meanwhile {read} of {studies}, queued {studies - read}"
    )
    assert (verdict.sent, verdict.accepted, verdict.refused) == (studies, studies, {})
    assert len({event["sop_instance_uid"] for event in received}) == len(received) == studies
    assert studies * INSTANCE_MEGABYTES / seconds >= 0.95 * MEGABYTES * SECONDS / (SECONDS + 5)
    assert read > 0
    wait_until(lambda: len(_finished(loaded, limit)) == studies, seconds=CATCH_UP)
    print(f"load: all {studies} read {time.monotonic() - begun - seconds:.0f} s after the last was pushed")
    assert set(Counter(_finished(loaded, limit)).values()) == {1}


def _finished(serve: Serve, limit: str) -> list[str]:
    return [
        event["study_instance_uid"] for event in serve.ask("audit", "query", "--action", "finish", "--limit", limit)
    ]

"""kill -9 at any moment, of the service or of a decoder process, and a PACS that is stopped and started.

KILL_ROUNDS says how often (200). Both ends are compared by SOP Instance UIDs: what was answered with success is in one
report each, and the PACS has what the outbox says that it has.
"""

import gc
import logging
import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from threading import Event, Thread

import pytest
from pydicom import dcmread

from pacs_ai.dimse.archive import OfferedResult, offered_result
from pacs_ai.dimse.sender import Sender
from pacs_ai.simulation.arrivals import Arrivals
from pacs_ai.simulation.films import InventedStudies, StudyShape
from pacs_ai.simulation.pusher import Push, Pusher
from pacs_ai.simulation.verdict import judge
from tests.acceptance.peers import Orthanc, Serve, wait_until
from tests.integration.peers import connection_refused

from .processes import children, is_running
from .trials import node_of

pytestmark = [pytest.mark.timeout(4 * 3600), connection_refused]
ROUNDS = int(os.environ.get("KILL_ROUNDS", "200"))
PER_SECOND = float(os.environ.get("KILL_STUDIES_PER_SECOND", "1"))
LONGEST_ROUND = 12.0
SERVICE, DECODER, PACS = "service", "decoder process", "PACS"


@contextmanager
def _under_load(serve: Serve) -> Iterator[list[Push]]:
    """Studies are pushed until each is answered with success; begun ones are seen through at the end."""
    pushes: list[Push] = []
    pusher = Pusher(
        node_of(serve),
        Sender("SIMULATE"),
        InventedStudies(StudyShape(refused_share=0.3), seed=200),
        associations=4,
        tries=10_000,
        on_push=pushes.append,
    )
    times = Arrivals(per_second=PER_SECOND, seconds=ROUNDS * (LONGEST_ROUND + 60)).times(200)
    thread = Thread(target=pusher.push, args=(times,))
    thread.start()
    yield pushes
    pusher.stop()
    thread.join()
    gc.collect()  # pynetdicom leaves it the sockets of refused connections, which this test alone allows


def _strike(victim: str, serve: Serve, orthanc: Orthanc, chance: random.Random) -> str:
    """What was struck; a service that has no decoder process yet is struck itself."""
    assert serve.process is not None
    decoders = children(serve.process.pid)
    if victim == PACS:
        orthanc.stop()
        Event().wait(chance.uniform(0.0, 5.0))
        orthanc.start()
    elif victim == DECODER and decoders:
        os.kill(chance.choice(decoders), signal.SIGKILL)
    else:
        os.kill(serve.process.pid, signal.SIGKILL)
        serve.process.wait()
        wait_until(lambda: not any(map(is_running, decoders)), seconds=60)
        serve.start()
        return SERVICE
    return victim


def test_nothing_is_lost_or_doubled_in_two_hundred_rounds_of_kills(
    orthanc: Orthanc, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    # What pynetdicom says of each refused connection would hold its socket until after the test.
    caplog.set_level(logging.CRITICAL, "pynetdicom")
    chance = random.Random(200)  # noqa: S311 - the same moments at each run
    struck: Counter[str] = Counter()
    serve.start()

    with _under_load(serve) as pushes:
        for _ in range(ROUNDS):
            Event().wait(chance.uniform(0.1, LONGEST_ROUND))
            struck[_strike(chance.choice((SERVICE, DECODER, PACS)), serve, orthanc, chance)] += 1
    received = _studies(serve, "receive")
    wait_until(lambda: _studies(serve, "finish") == received, seconds=1800)
    wait_until(lambda: {item["state"] for item in _deliveries(serve)} == {"ACCEPTED"}, seconds=600)

    held = _held(orthanc)
    verdict = judge(pushes, held, seed=200, late_seconds=float("inf"))
    undecoded = len(serve.ask("audit", "query", "--text", "UNDECODABLE", "--limit", "10000"))
    print(
        f"\nkills: {dict(struck)}; {verdict.accepted} of {verdict.sent} accepted, {verdict.reports} reports and "
        f"{verdict.captures} captures, lost {len(verdict.lost or ())}, doubled {len(verdict.doubled or ())}, "
        f"undecodable {undecoded}"
    )
    assert verdict.accepted
    assert {push.study_instance_uid for push in pushes if push.is_accepted} <= received
    assert (verdict.lost, verdict.doubled) == ((), ())
    assert Counter(item.sop_instance_uid for item in held) == Counter(
        item["sop_instance_uid"] for item in _deliveries(serve)
    )


def _studies(serve: Serve, action: str) -> set[str]:
    events = serve.ask("audit", "query", "--action", action, "--limit", "100000")
    return {event["study_instance_uid"] for event in events}


def _deliveries(serve: Serve) -> list[dict[str, str]]:
    return serve.ask("deliveries", "list", "--limit", "100000")


def _held(orthanc: Orthanc) -> list[OfferedResult]:
    return [
        offered_result(dcmread(BytesIO(orthanc.get_bytes(f"/instances/{identity}/file"))), 0x0000, is_kept=True)
        for identity in orthanc.get("/instances")
    ]

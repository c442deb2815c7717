"""Thousands of instances, with associations that are dropped: memory, threads and open files stay what they were.

Nine instances in ten are views that the gate refuses: each is received, recorded, answered in a report and delivered,
in about 30 ms. The tenth is a compressed film that is decoded and read. SOAK_INSTANCES makes it shorter.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
from pynetdicom.presentation import build_context

from pacs_ai.dimse.sender import Sender
from pacs_ai.simulation.arrivals import Arrivals
from pacs_ai.simulation.films import InventedStudies, StudyShape
from tests.acceptance.peers import Serve, wait_until

from .processes import Footprint, footprint
from .trials import node_of, reading, serve_for_stand_in, try_out

pytestmark = pytest.mark.timeout(7200)
INSTANCES = int(os.environ.get("SOAK_INSTANCES", "5000"))
ROUND = INSTANCES // 10
SHAPE = StudyShape(instances=2, refused_share=0.9)


def _drop_associations(serve: Serve, folder: Path, over: Event) -> None:
    """In turn: a connection without a word, one that ends in the middle of a PDU, an association that is aborted."""
    parcel = InventedStudies(SHAPE, seed=999).write(0, folder).parcels[0]
    context = build_context(parcel.sop_class_uid, parcel.transfer_syntax_uid)
    while not over.wait(0.5):
        socket.create_connection(("127.0.0.1", serve.port)).close()
        with socket.create_connection(("127.0.0.1", serve.port)) as peer:
            peer.sendall(b"\x01\x00\x00\x00\x01\x00\x00\x01")
        with Sender("DROPPING").association(node_of(serve), [context]) as association:
            association.dul.socket.send(b"\x04\x00\x00\x00\x40\x00\x00\x00")  # the beginning of a P-DATA-TF
            association.abort()


@contextmanager
def _dropping(serve: Serve, folder: Path) -> Iterator[None]:
    over = Event()
    thread = Thread(target=_drop_associations, args=(serve, folder, over))
    thread.start()
    yield
    over.set()
    thread.join()


@pytest.fixture
def soaked(tmp_path: Path) -> Iterator[tuple[Serve, int]]:
    serve, archive_port = serve_for_stand_in(tmp_path, stable_after=0.5)
    with reading(serve):
        yield serve, archive_port


def test_after_five_thousand_instances_the_service_is_as_large_as_after_five_hundred(
    soaked: tuple[Serve, int], tmp_path: Path
) -> None:
    serve, archive_port = soaked
    assert serve.process is not None
    pid = serve.process.pid
    prints = []
    for number in range(10):
        with _dropping(serve, tmp_path):
            verdict = try_out(
                serve,
                Arrivals(burst=ROUND // 2),
                SHAPE,
                seed=number,
                archive_port=archive_port,
                wait_seconds=1800,
            )
        assert (verdict.accepted, verdict.lost, verdict.doubled) == (ROUND // 2 * 2, (), ())
        prints.append(_settled(pid))
        print(f"\nafter {(number + 1) * ROUND} instances: {prints[-1]}; report after {verdict.results}")

    assert prints[-1].megabytes <= prints[0].megabytes * 1.05
    assert (prints[-1].threads, prints[-1].files) == (prints[0].threads, prints[0].files)


def _settled(pid: int) -> Footprint:
    """When the last association has ended: the same threads and files for three seconds, or what is there after two
    minutes."""
    seen = [footprint(pid)]

    def is_still() -> bool:
        seen.append(footprint(pid))
        lately = {(item.threads, item.files) for item in seen[-60:]}
        return len(seen) > 60 and (len(lately) == 1 or len(seen) > 2400)

    wait_until(is_still, seconds=180)
    return seen[-1]

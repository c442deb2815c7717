"""Trials of a `pacs-ai serve` that runs, with the shape and the arrivals that a benchmark asks for."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pacs_ai.dimse.archive import StandInArchive
from pacs_ai.settings import Node
from pacs_ai.simulation.arrivals import Arrivals
from pacs_ai.simulation.films import StudyShape
from pacs_ai.simulation.trial import Trial, TrialTerms
from pacs_ai.simulation.verdict import Verdict
from tests.acceptance.peers import Serve, wait_until
from tests.ports import free_port


@contextmanager
def reading(serve: Serve) -> Iterator[Serve]:
    """It reads, however long a busy machine takes to load the network; afterwards it is gone."""
    serve.start()
    try:
        wait_until(lambda: "reading with" in (serve.folder / "serve.log").read_text(), seconds=600)
        yield serve
    finally:
        serve.kill()


def serve_for_stand_in(folder: Path, **changes: Any) -> tuple[Serve, int]:
    """A service that delivers to the AE title ARCHIVE, and the port on which it is to be stood in for."""
    port = free_port()
    return Serve(folder, nodes=(("ARCHIVE", port),), **changes), port


def node_of(serve: Serve) -> Node:
    return Node(name="service", ae_title="PACS_AI", host="127.0.0.1", port=serve.port)


def try_out(
    serve: Serve, arrivals: Arrivals, shape: StudyShape, *, seed: int, archive_port: int | None = None, **changes: Any
) -> Verdict:
    """The verdict on one trial; without a port nobody stands in for the PACS."""
    terms = TrialTerms(
        node=node_of(serve), calling_ae_title="SIMULATE", arrivals=arrivals, shape=shape, seed=seed, **changes
    )
    archive = None if archive_port is None else StandInArchive()
    return Trial(terms=terms, archive=archive, archive_address=("127.0.0.1", archive_port or 0)).run()

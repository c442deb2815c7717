"""Damaged files in every syntax, over the wire: each is answered, each has an outcome, and the service is as it was."""

import os
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from pacs_ai_storage.records import StudyState
from pacs_ai_storage.schema import instances, outcomes, studies
from sqlalchemy import select

from pacs_ai.settings import Settings
from tests.mutations import damaged_files

from .peers import Archive, push
from .services import Running, radiograph, running
from .waiting import wait_until

COUNT, SEED = 500, 20260105
_ENDS = {StudyState.DELIVERED, StudyState.DECLINED}
# What pydicom warns of is damage here, and warnings are switched off and on for all threads at once.
pytestmark = [pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore")]


def _children() -> int:
    listed = subprocess.run(["ps", "-eo", "ppid=,comm="], capture_output=True, text=True, check=True).stdout
    return [line.split()[0] for line in listed.splitlines() if "ps" not in line].count(str(os.getpid()))


def _resident_mb() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20


def _rows(started: Running) -> tuple[set[str], set[str], Counter[str]]:
    """Instances that were kept, instances with an outcome, and states of studies."""
    with started.service.stores.database.read() as connection:
        return (
            set(connection.scalars(select(instances.c.sop_instance_uid))),
            set(connection.scalars(select(outcomes.c.sop_instance_uid))),
            Counter(connection.scalars(select(studies.c.state))),
        )


def test_every_damaged_file_is_answered_and_has_an_outcome(
    settings_with: Callable[..., Settings], archive: Archive, tmp_path: Path
) -> None:
    settings = settings_with(archive.node, readers=4)
    ingest = settings.ingest.model_copy(update={"decoder_seconds": 3, "decoder_memory_mb": 512})
    statuses: Counter[int] = Counter()
    with running(settings.model_copy(update={"ingest": ingest})) as started:
        study, sound = radiograph(tmp_path)
        push(started.port, sound)
        started.wait_for(study, StudyState.DELIVERED)
        children, threads, resident = _children(), threading.active_count(), _resident_mb()

        for path in damaged_files(tmp_path, COUNT, seed=SEED):
            statuses.update(push(started.port, path))
            path.unlink()
        wait_until(lambda: set(_rows(started)[2]) <= _ENDS, within=500)
        kept, answered, states = _rows(started)
        later, sound = radiograph(tmp_path)
        push(started.port, sound)
        started.wait_for(later, StudyState.DELIVERED)
        # Threads of pools and processes for films stay, as many as there may be; those of associations end.
        wait_until(lambda: threading.active_count() <= threads + ingest.readers + settings.delivery.associations)
        assert _children() <= children + (os.cpu_count() or 1) - 1
        assert _resident_mb() < resident + 150

    assert statuses.total() == COUNT
    assert set(statuses) <= {0x0000, 0xA900, 0xC000}
    assert len(kept) == statuses[0x0000] + 1
    assert kept == answered
    assert states[StudyState.DELIVERED] > COUNT // 4

"""Invented traffic through a running service into a stand-in PACS that misbehaves, and the verdict on it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic

import pytest

from pacs_ai.dimse.archive import Behaviour, StandInArchive, Trouble
from pacs_ai.settings import DeliverySettings, DicomSettings, IngestSettings, Node, Settings
from pacs_ai.simulation.arrivals import Arrivals
from pacs_ai.simulation.films import StudyShape
from pacs_ai.simulation.trial import Trial, TrialTerms
from pacs_ai.simulation.verdict import Verdict

from .peers import HOST, connection_refused, nobody
from .services import running

pytestmark = connection_refused
COMMAND = (sys.executable, "-m", "pacs_ai")
SMALL = StudyShape(size=(512, 512))


@dataclass
class Simulator:
    """A service whose PACS is stood in for; each trial invents other studies."""

    port: int
    archive_port: int
    runs: int = 0
    archives: list[StandInArchive] = field(default_factory=list)

    def run(self, behaviour: Behaviour | None = None, *, studies: int = 2, **changes: object) -> Verdict:
        self.runs += 1
        shape = changes.pop("shape", SMALL)
        terms = TrialTerms(
            node=Node(name="service", ae_title="PACS_AI", host=HOST, port=self.port),
            calling_ae_title="SIMULATE",
            arrivals=Arrivals(burst=studies),
            shape=shape,
            seed=self.runs,
            **{"wait_seconds": 60.0, "quiet_seconds": 0.5, **changes},
        )
        self.archives.append(StandInArchive(behaviour=behaviour or Behaviour()))
        return Trial(terms=terms, archive=self.archives[-1], archive_address=(HOST, self.archive_port)).run()


@contextmanager
def simulating(folder: Path, *, stable_after: float) -> Iterator[Simulator]:
    port = nobody()
    settings = Settings(
        data=folder / "data",
        dicom=DicomSettings(host=HOST),
        ingest=IngestSettings(stable_after=stable_after, disk_reserve_gb=0),
        delivery=DeliverySettings(first_retry_seconds=0.2, max_retry_seconds=0.4, prove_within_seconds=0.5),
        nodes=(Node(name="archive", ae_title="ARCHIVE", host=HOST, port=port, proof="c-find"),),
    )
    with running(settings) as started:
        yield Simulator(port=started.port, archive_port=port)


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with simulating(tmp_path_factory.mktemp("simulated"), stable_after=0.3) as started:
        yield started


def test_every_instance_that_is_answered_with_success_comes_back_in_a_report_once(tmp_path: Path) -> None:
    shape = StudyShape(size=(512, 512), instances=2, refused_share=0.5)

    with simulating(tmp_path, stable_after=3) as simulator:  # so that no study is read between its two instances
        verdict = simulator.run(studies=3, shape=shape, associations=2)

    assert (verdict.studies, verdict.sent, verdict.accepted, verdict.refused) == (3, 6, 6, {})
    assert (verdict.lost, verdict.doubled, verdict.sent_again, verdict.late) == ((), (), 0, 0)
    assert verdict.reports == 3
    assert verdict.captures is not None
    assert 0 < verdict.captures < 6
    assert verdict.results is not None
    assert verdict.results.median is not None
    assert 1 < verdict.results.median < 60
    assert verdict.holds


def test_a_pacs_in_trouble_gets_every_result_once_it_takes_it(simulator: Simulator) -> None:
    # Capture and report are tried again each after a pause of its own.
    busy = simulator.run(Behaviour(troubles=(Trouble.BUSY, Trouble.ABORT)), studies=1, quiet_seconds=3.0)
    late = simulator.run(Behaviour(troubles=(Trouble.STALL,), stall_seconds=1.0), studies=1, late_seconds=1.0)
    begun = monotonic()
    away = simulator.run(Behaviour(troubles=(Trouble.AWAY,), away_seconds=2.0), late_seconds=0.1)

    assert (busy.turned_away, busy.reports, busy.captures, busy.holds) == ({"0xA700": 2}, 1, 1, True)
    assert [item.status for item in simulator.archives[-3].results()].count(None) >= 1
    assert (late.reports, late.late, late.holds) == (1, 1, True)
    assert (away.reports, away.late, away.sent_again, away.holds) == (2, 2, 0, True)
    assert min(item.at for item in simulator.archives[-1].results()) >= begun + 2


def test_a_result_that_the_pacs_refuses_for_good_is_not_lost_by_the_service(simulator: Simulator) -> None:
    verdict = simulator.run(Behaviour(troubles=(Trouble.REFUSE,)), studies=1)

    assert (verdict.accepted, verdict.reports, verdict.captures) == (1, 0, 0)
    assert (verdict.turned_away, verdict.lost, verdict.holds) == ({"0xA900": 2}, (), True)


def test_what_the_pacs_forgets_once_is_sent_again_and_what_it_forgets_each_time_is_lost(simulator: Simulator) -> None:
    once = simulator.run(Behaviour(troubles=(Trouble.FORGET,)), studies=1, quiet_seconds=3.0)
    always = simulator.run(Behaviour(troubles=(Trouble.FORGET,) * 99), studies=1, wait_seconds=3.0)

    assert (once.accepted, once.reports, once.captures, once.holds) == (1, 1, 1, True)
    assert len(once.lost or ()) == 0
    assert (always.accepted, always.reports, len(always.lost or ()), always.holds) == (1, 0, 1, False)


def test_instances_that_nobody_answers_are_neither_accepted_nor_lost(simulator: Simulator) -> None:
    verdict = replace(simulator, port=nobody()).run(tries=2)

    assert (verdict.sent, verdict.unanswered, verdict.accepted, verdict.lost) == (2, 2, 0, ())


def _simulate(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, "simulate", *words], capture_output=True, text=True, check=False, timeout=120)


def test_the_command_prints_its_verdict_and_ends_with_zero_only_when_nothing_was_lost(simulator: Simulator) -> None:
    to, port = f"PACS_AI@{HOST}:{simulator.port}", str(simulator.archive_port)
    words = ("--to", to, "--burst", "1", "--size", "512x512", "--archive", port, "--json")

    held = _simulate(*words, "--seed", "77")
    lost = _simulate(*words, "--seed", "78", "--archive-behaviour", "stall", "--stall-for", "never", "--wait", "2s")

    assert held.returncode == 0, held.stderr
    verdict = json.loads(held.stdout)
    assert (verdict["seed"], verdict["accepted"], verdict["reports"], verdict["holds"]) == (77, 1, 1, True)
    assert (lost.returncode, len(json.loads(lost.stdout)["lost"])) == (1, 1)


def test_the_command_says_when_nobody_is_there() -> None:
    nowhere = _simulate("--to", f"PACS_AI@{HOST}:{nobody()}", "--burst", "1")

    assert (nowhere.returncode, "cannot be reached" in nowhere.stderr) == (4, True)


def test_the_command_says_why_it_is_turned_away(tmp_path: Path) -> None:
    dicom = DicomSettings(host=HOST, allowed_calling_ae_titles=("MODALITY",))
    settings = Settings(data=tmp_path / "data", dicom=dicom, ingest=IngestSettings(disk_reserve_gb=0))
    with running(settings) as started:
        ended = _simulate("--to", f"PACS_AI@{HOST}:{started.port}", "--burst", "2", "--size", "64x64")

    assert ended.returncode == 4
    assert ended.stderr.count("rejected the association: Calling AE title not recognised") == 1

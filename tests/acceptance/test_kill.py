"""The plug is pulled at any moment; what was answered with success is read and delivered once."""

import random
from collections import Counter
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.builders import make_instance, part10, sample_film

from .peers import CAPTURE, REPORT, Orthanc, Serve, storescu, wait_until

pytestmark = pytest.mark.timeout(900)
ROUNDS = 20
STUDIES = 60


def _pusher(serve: Serve, paths: list[Path], accepted: set[str], done: Event) -> None:
    # As a PACS does: an instance that was not answered with success is pushed again later.
    waiting = list(paths)
    while waiting and not done.is_set():
        path = waiting.pop(0)
        if storescu(serve.port, path).returncode == 0:
            accepted.add(path.stem)
            done.wait(0.4)
        else:
            waiting.append(path)
            done.wait(0.2)


def test_each_accepted_instance_has_its_report_and_capture_once_after_twenty_kills(
    orthanc: Orthanc, serve: Serve, tmp_path: Path
) -> None:
    chance = random.Random(20)  # noqa: S311 - the same moments at each run
    folder = tmp_path / "push"
    folder.mkdir()
    stored = sample_film(0, 576, 512)
    for _ in range(STUDIES):
        instance = make_instance(stored=stored)
        (folder / f"{instance.SOPInstanceUID}.dcm").write_bytes(part10(instance))
    accepted: set[str] = set()
    done = Event()
    serve.start()
    pusher = Thread(target=_pusher, args=(serve, sorted(folder.iterdir()), accepted, done))
    pusher.start()

    for _ in range(ROUNDS):
        done.wait(chance.uniform(0.1, 12.0))
        serve.kill()
        serve.start()
    pusher.join()
    done.set()
    wait_until(lambda: orthanc.count() >= 2 * STUDIES, seconds=400)
    wait_until(lambda: all(item["state"] == "ACCEPTED" for item in serve.ask("deliveries", "list", "--limit", "1000")))

    assert len(accepted) == STUDIES
    held = orthanc.instances()
    assert Counter(item["SOPClassUID"] for item in held) == {REPORT: STUDIES, CAPTURE: STUDIES}
    read = serve.ask("audit", "query", "--action", "finish", "--outcome", "READY", "--limit", "1000")
    assert Counter(event["study_instance_uid"] for event in read).most_common(1)[0][1] == 1
    assert len({item["StudyInstanceUID"] for item in held}) == STUDIES

"""What a service does when it was stopped, when a node is gone, and when another takes over."""

import errno
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Thread

import pytest
from pacs_ai_storage.records import DeliveryState, StudyState

from pacs_ai.findings import ModelInput, Reading
from pacs_ai.service import Service
from pacs_ai.settings import IngestSettings, Node, Settings
from tests.fakes import TinyClassifier

from .peers import (
    HOST,
    Archive,
    associated,
    connection_refused,
    contexts_for,
    listening,
    nobody,
    push,
    silent_peer,
)
from .services import Gated, Running, radiograph, running
from .waiting import wait_until

pytestmark = pytest.mark.timeout(180)


def test_what_another_run_had_begun_is_taken_up_and_sent_once(
    settings_with: Callable[..., Settings], archive: Archive, tmp_path: Path
) -> None:
    study, path = radiograph(tmp_path)
    stuck = Gated()

    with running(settings_with(readers=1), stuck) as first:
        push(first.port, path)
        first.wait_for(study, StudyState.PROCESSING)
        first.service._occupancy.leave()  # as the end of its process does
        with running(settings_with(archive.node)) as second:
            second.wait_for(study, StudyState.DELIVERED)
            stuck.gate.set()
            first.service.ask_to_stop()
        trail = first.trail(study)

    assert len(archive.received) == 2
    assert ("release", "the service was restarted") in trail
    assert [event for event in trail if event[0] == "finish"] == [("finish", "READY"), ("finish", "DELIVERED")]


@dataclass
class Diskless(TinyClassifier):
    """The disk is away for so many readings."""

    failures: int = 1

    def read(self, inputs: Sequence[ModelInput]) -> list[Reading]:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().read(inputs)


@pytest.mark.parametrize(("failures", "end"), [(1, StudyState.DELIVERED), (99, StudyState.FAILED)])
def test_a_moment_without_the_disk_costs_no_study(
    failures: int,
    end: StudyState,
    settings_with: Callable[..., Settings],
    archive: Archive,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pacs_ai.readers._PAUSE_AFTER_DISK", timedelta(0))
    study, path = radiograph(tmp_path)

    with running(settings_with(archive.node), Diskless(failures=failures)) as started:
        push(started.port, path)
        view = started.wait_for(study, end)

    assert view.study.reason == (None if end is StudyState.DELIVERED else "OSError")


def test_what_was_received_before_a_restart_is_read_after_it(
    settings_with: Callable[..., Settings], archive: Archive, tmp_path: Path
) -> None:
    study, path = radiograph(tmp_path)
    with running(settings_with(archive.node).model_copy(update={"ingest": never_stable(settings_with())})) as first:
        push(first.port, path)

    with running(settings_with(archive.node)) as second:
        before = second.view(study).instances
        view = second.wait_for(study, StudyState.DELIVERED)

    assert view.instances == before
    assert len(archive.received) == 2


def never_stable(settings: Settings) -> IngestSettings:
    return settings.ingest.model_copy(update={"stable_after": 3600.0})


def test_a_stop_waits_for_the_study_that_is_being_read(settings_with: Callable[..., Settings], tmp_path: Path) -> None:
    study, path = radiograph(tmp_path)
    slow = Gated()
    service = Service(settings_with(), load=lambda _settings, _card: slow, port=0)
    started = Running(service=service, port=service.start().port)
    push(started.port, path)
    started.wait_for(study, StudyState.PROCESSING)

    stopping = Thread(target=service.stop)
    stopping.start()
    slow.gate.set()
    stopping.join()

    view = started.view(study)
    assert view.study.state is StudyState.READY
    assert len(view.objects) == 2


@connection_refused
def test_a_stopped_service_takes_no_association(settings_with: Callable[..., Settings], tmp_path: Path) -> None:
    _, path = radiograph(tmp_path)

    with running(settings_with()) as started:
        accepted = push(started.port, path)

    with associated(started.port, contexts_for([path])) as association:
        assert not association.is_established
    assert accepted == [0x0000]


@connection_refused
def test_a_node_that_answers_nothing_does_not_delay_the_other(
    settings_with: Callable[..., Settings], archive: Archive, tmp_path: Path
) -> None:
    study, path = radiograph(tmp_path)

    with ExitStack() as silence:
        dead = Node(name="dead", ae_title="DEAD", host=HOST, port=silence.enter_context(silent_peer()))
        with running(settings_with(dead, archive.node)) as started:
            push(started.port, path)
            wait_until(lambda: len(archive.received) == 2)
            view = started.view(study)
            silence.close()  # or the service would not stop before it has waited long enough

    states = {(item.node, item.state) for item in view.deliveries}
    assert ("dead", DeliveryState.PENDING) in states
    assert ("archive", DeliveryState.ACCEPTED) in states
    assert {item.attempts for item in view.deliveries if item.node == "dead"} == {0}  # it was still waited for
    assert view.study.state is StudyState.READY


@connection_refused
def test_a_node_that_comes_back_gets_what_it_missed(settings_with: Callable[..., Settings], tmp_path: Path) -> None:
    study, path = radiograph(tmp_path)
    archive = Archive(port=nobody())

    with running(settings_with(archive.node)) as started:
        push(started.port, path)
        wait_until(lambda: any(item.attempts for item in started.view(study).deliveries))
        with listening(archive):
            view = started.wait_for(study, StudyState.DELIVERED)

    assert len(archive.received) == len(set(archive.instances)) == 2
    assert min(item.attempts for item in view.deliveries) >= 2

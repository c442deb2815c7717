"""Decoder processes: whatever a film does to one costs that film, and nothing else."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1

from pacs_ai.errors import DecoderUnavailable, LimitExceeded, UndecodablePixels
from pacs_ai.imaging import workers
from pacs_ai.imaging.film import open_film
from pacs_ai.imaging.workers import DecoderLimits, DecoderWorkers
from tests.builders import Stored, make_instance, part10
from tests.integration.waiting import wait_until


@pytest.fixture
def patient() -> Iterator[DecoderWorkers]:
    """One process, with time enough for any film however busy the machine is."""
    opened = DecoderWorkers(DecoderLimits(seconds=60), count=1)
    opened.start_one()
    yield opened
    opened.close()


@pytest.fixture
def compressed(film_path: Path, small: Stored) -> Path:
    film_path.write_bytes(part10(make_instance(stored=small, syntax=JPEGLosslessSV1)))
    return film_path


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A file that nobody ever finishes writing: whoever opens it hangs."""
    path = tmp_path / "endless.dcm"
    os.mkfifo(path)
    return path


def _children() -> set[int]:
    """The processes of this one that live."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,comm=,state="], capture_output=True, text=True, check=True)
    rows = [line.split() for line in listed.stdout.splitlines()]
    return {int(row[0]) for row in rows if int(row[1]) == os.getpid() and row[2] != "ps" and row[-1] != "Z"}


def _kill_whoever_opens(path: Path, before: set[int], times: int) -> None:
    for _ in range(times):
        writer = _writer_of(path)
        killed = _children() - before
        for child in killed:
            os.kill(child, signal.SIGKILL)
        _wait_for_the_end_of(killed)
        os.close(writer)


def _wait_for_the_end_of(killed: set[int]) -> None:
    wait_until(lambda: not _children() & killed)


def _writer_of(path: Path) -> int:
    """The other end of the pipe, which can be had only once somebody waits at this one."""

    def opened() -> int | None:
        with suppress(OSError):
            return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        return None

    writer = wait_until(opened)
    assert writer is not None
    return writer


def test_a_film_comes_back_from_a_process_as_it_is_opened_here(patient: DecoderWorkers, compressed: Path) -> None:
    film, here = patient.open(compressed, input_size=224), open_film(compressed, input_size=224)

    assert np.array_equal(film.model_input.pixels, here.model_input.pixels)
    assert np.array_equal(film.display, here.display)
    assert film.model_input.pixels.dtype == np.float32


def test_a_damaged_film_is_said_to_be_and_the_process_goes_on(
    patient: DecoderWorkers, tmp_path: Path, small: Stored, compressed: Path
) -> None:
    before = _children()
    damaged = tmp_path / "damaged.dcm"
    content = part10(make_instance(stored=small, syntax=JPEG2000Lossless))
    damaged.write_bytes(content[: len(content) // 2])

    with pytest.raises(UndecodablePixels):
        patient.open(damaged, input_size=224)
    assert patient.open(compressed, input_size=64).model_input.pixels.shape == (64, 64, 1)
    assert _children() == before


def test_a_film_that_hangs_costs_its_time_and_the_next_is_opened(endless: Path, compressed: Path) -> None:
    with closing(DecoderWorkers(DecoderLimits(seconds=2), count=1)) as opened:
        opened.start_one()
        began = time.monotonic()
        with pytest.raises(LimitExceeded, match="longer than 2 s"):
            opened.open(endless, input_size=224)

        assert time.monotonic() - began >= 2
        opened._limits = DecoderLimits(seconds=60)  # two seconds are few for a sound film on a busy machine
        assert opened.open(compressed, input_size=224).display.size
        assert len(_children()) <= 2


def test_a_process_that_somebody_kills_costs_nothing(patient: DecoderWorkers, endless: Path, compressed: Path) -> None:
    (process,) = [place for place in patient._places.queue if place is not None]
    os.kill(process._process.pid, signal.SIGKILL)

    assert patient.open(compressed, input_size=224).display.size


def test_a_film_that_kills_two_processes_cannot_be_decoded(endless: Path) -> None:
    opened = DecoderWorkers(DecoderLimits(seconds=60), count=1)
    before = _children()
    killer = threading.Thread(target=_kill_whoever_opens, args=(endless, before, 2), daemon=True)
    killer.start()

    with pytest.raises(UndecodablePixels, match="crashed"):
        opened.open(endless, input_size=224)
    killer.join()
    opened.close()
    assert _children() <= before


def test_a_film_that_eats_memory_exceeds_the_limit_and_the_next_is_opened(tmp_path: Path, compressed: Path) -> None:
    large = tmp_path / "large.dcm"
    stored = np.arange(6000 * 6000, dtype=np.uint32).astype(np.uint16).reshape(6000, 6000) >> 4
    large.write_bytes(part10(make_instance(stored=stored, syntax=JPEGLosslessSV1)))
    opened = DecoderWorkers(DecoderLimits(memory_bytes=64 << 20), count=1)
    try:
        with pytest.raises((LimitExceeded, UndecodablePixels)) as refused:
            opened.open(large, input_size=224)
        assert "memory" in str(refused.value)
        assert opened.open(compressed, input_size=224).display.size
    finally:
        opened.close()


def test_what_was_closed_has_left_no_process(compressed: Path) -> None:
    before = _children()
    opened = DecoderWorkers(DecoderLimits(), count=2)
    opened.open(compressed, input_size=224)
    opened.close()

    assert _children() == before


def test_no_process_to_be_had_says_nothing_of_the_film(compressed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers.sys, "executable", "/nowhere/python")

    with pytest.raises(DecoderUnavailable, match="cannot be started"):
        DecoderWorkers(DecoderLimits(), count=1).open(compressed, input_size=224)


def test_a_process_that_does_not_start_is_no_fault_of_the_film(
    compressed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers.sys, "executable", "/bin/false")

    with pytest.raises(DecoderUnavailable, match="exit code 1"):
        DecoderWorkers(DecoderLimits(), count=1).open(compressed, input_size=224)

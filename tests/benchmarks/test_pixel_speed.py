"""From the file of one radiograph to what the network reads and the capture shows, and from a reading to its results.

Compressed films are opened as the service does it, in a process of their own.

Run with `make benchmark`; each prints its figure, the fastest of several runs, and as a ratio to the decoder alone.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    RLELossless,
)

from pacs_ai.allocator import share_pools
from pacs_ai.imaging.decoders import decode
from pacs_ai.imaging.film import open_film, read_header
from pacs_ai.imaging.geometry import use_one_thread
from pacs_ai.imaging.opener import FilmOpener
from pacs_ai.process import encode
from pacs_ai.results.capture import build_capture
from pacs_ai.results.report import build_report
from tests.builders import Stored, make_instance, part10, sample_film
from tests.unit.making import AUTHOR, FIRST, WHEN, make_header, make_read_image

BOUNDS = {ExplicitVRLittleEndian: 12, JPEGLosslessSV1: 60, RLELossless: 60, HTJ2KLossless: 45, JPEG2000Lossless: 450}


@pytest.fixture(scope="module")
def grainy() -> Stored:
    """A film of 2500 x 2048 and 12 bit with the grain of a detector; smooth pixels would compress too well."""
    share_pools()
    use_one_thread()
    grain = np.random.default_rng(0).normal(0, 12, (2500, 2048))
    return np.clip(sample_film(0, 2500, 2048) + grain, 0, 4095).astype(np.uint16)


def _fastest(*calls: Callable[[], object], runs: int) -> list[float]:
    """Milliseconds of each call's fastest run, the calls by turns: what other programs take only ever adds."""
    spans: list[list[float]] = [[] for _ in calls]
    for _ in range(runs):
        for call, taken in zip(calls, spans, strict=True):
            begun = time.perf_counter()
            call()
            taken.append((time.perf_counter() - begun) * 1000)
    return [min(taken) for taken in spans]


@pytest.mark.parametrize("syntax", BOUNDS, ids=lambda syntax: syntax.keyword)
def test_a_radiograph_is_ready_for_the_network_in_time(syntax: UID, grainy: Stored, tmp_path: Path) -> None:
    path = tmp_path / "film.dcm"
    path.write_bytes(part10(make_instance(stored=grainy, syntax=syntax)))
    image = dcmread(path)
    runs = 8 if syntax == JPEG2000Lossless else 40

    with FilmOpener(at_once=1) as opener:
        opener.warm_up()
        alone, whole = _fastest(
            lambda: decode(image),
            lambda: opener.open(path, read_header(path, max_bytes=64 << 20), input_size=224),
            runs=runs,
        )

    megabytes = path.stat().st_size / 1e6
    print(
        f"\n{syntax.keyword} ({megabytes:.1f} MB): {whole:.1f} ms, at most {BOUNDS[syntax]};"
        f" {whole / alone:.2f} x the decoder alone ({alone:.1f})"
    )
    assert whole <= BOUNDS[syntax]


def test_report_and_capture_of_a_radiograph_are_built_in_time(grainy: Stored, tmp_path: Path) -> None:
    path = tmp_path / "film.dcm"
    instance = make_instance(stored=grainy)
    path.write_bytes(part10(instance))
    film = open_film(path, input_size=224)
    image = replace(make_read_image(make_header(instance)), display=film.display)

    def build() -> int:
        capture = build_capture(image, AUTHOR, "positive", WHEN)
        report = build_report([(image, capture)], AUTHOR, FIRST)
        return len(encode(capture)) + len(encode(report))

    (whole,) = _fastest(build, runs=20)

    print(f"\nreport and capture: {whole:.1f} ms, at most 60; {build() / 1e3:.0f} kB")
    assert whole <= 60

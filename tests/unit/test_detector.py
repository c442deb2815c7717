"""What a network has not learned is refused by its own features; what is kept of that is a file of plain arrays."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pacs_ai_training.detector import Lessons, fit_detector, write_detector
from pacs_ai_training.strangers import TURNS, drawn, turned

from pacs_ai.errors import ModelError
from pacs_ai.findings import RefusalReason
from pacs_ai.inference.detector import Detector, load_detector
from pacs_ai.inference.taps import Tap

TAPS = (Tap(layer="last", grid=1),)
WIDTH = 40


def _around(centre: float, count: int, seed: int, *, strange: float = 0.0) -> np.ndarray:
    """Features about a centre in the first half of the axes; `strange` shifts the second half."""
    rng = np.random.default_rng(seed)
    found = rng.normal(0, 1, (count, WIDTH))
    found[:, : WIDTH // 2] += centre
    found[:, WIDTH // 2 :] += strange
    return found.astype(np.float32)


@pytest.fixture(scope="module")
def detector() -> Detector:
    lessons = Lessons(
        known=_around(0, 400, 1),
        other_patients=_around(2, 400, 2),
        other_images=_around(1, 400, 3, strange=2),
        validation=_around(0, 400, 4),
    )
    return fit_detector(lessons, TAPS, axes=30, refused_share=0.005)


def _share(detector: Detector, features: np.ndarray, *, any_population: bool = False) -> float:
    return float(np.mean([found is not None for found in detector.judge(features, any_population=any_population)]))


def test_films_like_those_of_validation_are_read(detector: Detector) -> None:
    assert _share(detector, _around(0, 400, 4)) <= 4 * 0.0075
    assert _share(detector, _around(0, 400, 5)) <= 0.05


def test_other_patients_are_refused_unless_any_population_is_read(detector: Detector) -> None:
    others = _around(2, 200, 6)

    assert _share(detector, others) >= 0.95
    assert _share(detector, others, any_population=True) <= 0.1


def test_other_images_are_refused_whatever_population_is_read(detector: Detector) -> None:
    for any_population in (False, True):
        assert _share(detector, _around(1, 200, 7, strange=2), any_population=any_population) >= 0.95
        assert _share(detector, _around(30, 50, 8), any_population=any_population) == 1.0


def test_a_refusal_says_what_was_measured_against_which_limit(detector: Detector) -> None:
    (refusal,) = detector.judge(_around(50, 1, 9), any_population=False)

    assert refusal is not None
    assert refusal.reason is RefusalReason.OUT_OF_DISTRIBUTION
    assert f"limit {detector.limits.distance:.2f}" in refusal.detail


def test_features_that_are_no_numbers_are_refused(detector: Detector) -> None:
    assert _share(detector, np.full((1, WIDTH), np.nan, np.float32)) == 1.0


def test_a_detector_read_back_judges_as_it_did(detector: Detector, tmp_path: Path) -> None:
    said = write_detector(detector, tmp_path)

    read = load_detector(tmp_path / str(said["file"]), str(said["sha256"]), TAPS, detector.limits)

    found, expected = (one.scores(_around(1, 20, 10)) for one in (read, detector))
    for part in ("distance", "residual", "kind", "population"):
        np.testing.assert_array_equal(getattr(found, part), getattr(expected, part))


def test_the_same_lessons_give_the_same_file(detector: Detector, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()

    assert write_detector(detector, tmp_path)["sha256"] == write_detector(detector, tmp_path / "again")["sha256"]


def test_a_detector_that_is_not_the_cards_is_not_used(detector: Detector, tmp_path: Path) -> None:
    write_detector(detector, tmp_path)

    with pytest.raises(ModelError, match="the card says"):
        load_detector(tmp_path / "detector.npz", "0" * 64, TAPS, detector.limits)


def test_nothing_in_a_detector_file_is_executed(detector: Detector, tmp_path: Path) -> None:
    path = tmp_path / "detector.npz"
    np.savez(path, mean=np.array([print], dtype=object))

    with pytest.raises(ModelError, match="not a detector"):
        load_detector(path, hashlib.sha256(path.read_bytes()).hexdigest(), TAPS, detector.limits)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut off"])
def test_a_detector_file_that_is_none_is_not_used(content: bytes, detector: Detector, tmp_path: Path) -> None:
    path = tmp_path / "detector.npz"
    path.write_bytes(content)

    with pytest.raises(ModelError, match="not a detector"):
        load_detector(path, hashlib.sha256(content).hexdigest(), TAPS, detector.limits)


def test_a_detector_without_an_array_is_not_used(detector: Detector, tmp_path: Path) -> None:
    path = tmp_path / "detector.npz"
    np.savez(path, mean=detector.mean)

    with pytest.raises(ModelError, match="not a detector"):
        load_detector(path, hashlib.sha256(path.read_bytes()).hexdigest(), TAPS, detector.limits)


def test_a_limit_moved_changes_the_verdict(detector: Detector) -> None:
    strict = replace(detector, limits=replace(detector.limits, distance=0.0))

    assert _share(strict, _around(0, 50, 11)) == 1.0


def test_films_are_turned_in_every_wrong_way_and_none_is_as_it_was() -> None:
    films = np.random.default_rng(0).integers(0, 256, (3, 16, 16), np.uint8)

    wrong = turned(films)

    assert wrong.shape == (3 * len(TURNS), 16, 16)
    assert not any(np.array_equal(film, other) for film in films for other in wrong)


def test_drawings_are_of_the_asked_size_all_different_and_the_same_again() -> None:
    first, again = drawn(24, 64, seed=1), drawn(24, 64, seed=1)

    np.testing.assert_array_equal(first, again)
    assert (first.shape, first.dtype) == ((24, 64, 64), np.uint8)
    assert len({image.tobytes() for image in first}) == 24

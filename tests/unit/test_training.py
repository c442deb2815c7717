"""Films, splits, augmentation and figures: what a network rests on before it exists."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from pacs_ai_training.augment import Augmentation, augment
from pacs_ai_training.films import (
    Film,
    FilmError,
    list_films,
    load_grey,
    patient_of,
    split_by_patient,
    without_duplicates,
    without_patients,
)
from pacs_ai_training.scores import (
    auc,
    average_precision,
    bootstrap,
    calibrate,
    probabilities_of,
    sensitivity,
    specificity,
    threshold_for_sensitivity,
)
from sklearn.metrics import average_precision_score, roc_auc_score

from pacs_ai.inference.calibration import Calibration


def _film(patient: str, label: int, sha256: str = "") -> Film:
    return Film(path=Path(f"{patient}.jpeg"), patient=patient, label=label, sha256=sha256 or patient)


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("person12_virus_3.jpeg", "person12"),
        ("PNEUMONIA_person1170_virus_1969.jpeg", "person1170"),
        ("IM-0115-0001.jpeg", "IM-0115"),
        ("NORMAL2-IM-0412-0001-0002.jpeg", "NORMAL2-IM-0412"),
        ("NORMAL_NORMAL2-IM-0412-0001.jpeg", "NORMAL2-IM-0412"),
    ],
)
def test_the_file_name_gives_the_patient(name: str, patient: str) -> None:
    assert patient_of(name) == patient


def test_a_name_without_a_patient_says_what_was_expected() -> None:
    with pytest.raises(FilmError, match="personN"):
        patient_of("scan7.jpeg")


def test_films_are_listed_with_label_and_hash(tmp_path: Path) -> None:
    for name, file in (("NORMAL", "IM-0001-0001.jpeg"), ("PNEUMONIA", "person1_virus_1.jpeg")):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / file), np.full((30, 40), 90, np.uint8))

    films = list_films(tmp_path)

    assert [(film.patient, film.label) for film in films] == [("IM-0001", 0), ("person1", 1)]
    assert films[0].sha256 == films[1].sha256
    assert load_grey(films, 224).shape == (2, 224, 224)


def test_an_empty_folder_says_what_should_be_there(tmp_path: Path) -> None:
    with pytest.raises(FilmError, match="NORMAL and PNEUMONIA"):
        list_films(tmp_path)


def test_each_film_is_learned_from_once_and_left_out_patients_never() -> None:
    films = [_film("a", 0, "x"), _film("b", 0, "x"), _film("c", 1, "y")]

    kept = without_patients(without_duplicates(films), {"c"})

    assert [film.patient for film in kept] == ["a"]


def test_no_patient_is_on_both_sides_of_a_split_and_both_classes_are() -> None:
    films = [_film(f"n{number // 3}", 0) for number in range(90)] + [
        _film(f"p{number // 2}", 1) for number in range(80)
    ]

    rest, drawn = split_by_patient(films, share=0.2, seed=3)

    assert len(rest) + len(drawn) == len(films)
    assert not {film.patient for film in rest} & {film.patient for film in drawn}
    assert {film.label for film in drawn} == {0, 1}
    assert split_by_patient(films, share=0.2, seed=3) == (rest, drawn)


def test_an_augmented_film_differs_stays_in_range_and_comes_again_with_its_seed() -> None:
    film = np.random.default_rng(0).integers(0, 256, (224, 224)).astype(np.uint8)

    first = augment(film, Augmentation(), np.random.default_rng(5))
    second = augment(film, Augmentation(), np.random.default_rng(6))
    again = augment(film, Augmentation(), np.random.default_rng(5))

    assert first.dtype == np.float32
    assert 0 <= first.min() <= first.max() <= 1
    assert not np.array_equal(first, second)
    assert np.array_equal(first, again)


def test_without_any_range_augmentation_changes_nothing() -> None:
    film = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    still = Augmentation(
        rotation_degrees=0,
        shift_share=0,
        zoom_share=0,
        stretch_share=0,
        flip_probability=0,
        contrast_share=0,
        brightness=0,
        gamma_share=0,
        marker_probability=0,
        patch_probability=0,
    )

    assert np.allclose(augment(film, still, np.random.default_rng(1)), film / 255, atol=1e-6)


def test_calibration_finds_the_slope_and_offset_that_made_the_labels() -> None:
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 4, 20_000)
    labels = (rng.random(20_000) < probabilities_of(Calibration(temperature=2.0, bias=-0.5), logits)).astype(float)

    found = calibrate(logits, labels)

    assert found.temperature == pytest.approx(2.0, rel=0.05)
    assert found.bias == pytest.approx(-0.5, abs=0.08)


def test_the_threshold_is_the_highest_with_the_sensitivity_asked_for() -> None:
    probabilities = np.linspace(0.01, 1, 100)
    labels = np.ones(100)

    threshold = threshold_for_sensitivity(probabilities, labels, 0.95)

    assert sensitivity(threshold)(probabilities, labels) >= 0.95
    assert sensitivity(threshold + 0.01)(probabilities, labels) < 0.95


def test_figures_on_a_case_that_can_be_done_by_hand() -> None:
    probabilities, labels = np.array([0.1, 0.4, 0.35, 0.8]), np.array([0.0, 0.0, 1.0, 1.0])

    assert auc(probabilities, labels) == 0.75
    assert sensitivity(0.5)(probabilities, labels) == 0.5
    assert specificity(0.2)(probabilities, labels) == 0.5


@pytest.mark.parametrize("digits", [1, 9], ids=["with ties", "without"])
def test_areas_under_the_curves_are_those_of_scikit_learn(digits: int) -> None:
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 2, 200).astype(float)
    probabilities = np.round(rng.random(200) * 0.6 + labels * 0.4, digits)

    assert auc(probabilities, labels) == pytest.approx(roc_auc_score(labels, probabilities), abs=1e-12)
    assert average_precision(probabilities, labels) == pytest.approx(
        average_precision_score(labels, probabilities), abs=1e-12
    )


def test_the_interval_holds_the_figure_and_is_wider_when_films_of_a_patient_are_alike() -> None:
    rng = np.random.default_rng(4)
    labels = np.repeat(rng.integers(0, 2, 60), 5).astype(float)
    probabilities = np.clip(labels * 0.3 + np.repeat(rng.random(60), 5) * 0.7, 0, 1)

    by_film = bootstrap(auc, probabilities, labels, [str(row) for row in range(300)], rounds=300)
    by_patient = bootstrap(auc, probabilities, labels, [str(row // 5) for row in range(300)], rounds=300)

    assert by_patient.low < by_patient.value < by_patient.high
    assert by_patient.high - by_patient.low > by_film.high - by_film.low

"""From any size to the size that is asked for."""

import cv2
import numpy as np
import pytest

from pacs_ai.imaging.geometry import shrink, to_network_scale
from tests.builders import phantom


def test_an_image_of_the_asked_size_is_not_touched() -> None:
    image = phantom(64, 48)

    assert shrink(image, 64, 48) is image


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_shrinking_keeps_the_kind_of_number(dtype: type[np.generic]) -> None:
    image = (phantom(64, 48) >> 5).astype(dtype)

    shrunk = shrink(image, 32, 24)

    assert (shrunk.shape, shrunk.dtype) == ((32, 24), dtype)


@pytest.mark.parametrize(("rows", "columns"), [(2500, 2048), (1792, 1792), (896, 1344)])
def test_shrinking_in_halves_first_is_the_mean_over_the_same_area(rows: int, columns: int) -> None:
    image = phantom(rows, columns)

    exact = cv2.resize(image.astype(np.float32), (224, 224), interpolation=cv2.INTER_AREA)

    assert np.abs(shrink(image, 224, 224) - exact).max() < 1.5 / 255 * 4095
    assert np.abs(shrink(image, 224, 224) - exact).mean() < 0.2 / 255 * 4095


def test_shrinking_averages_areas() -> None:
    image = np.array([[0, 100, 10, 10], [100, 200, 10, 10]], np.float32)

    np.testing.assert_allclose(shrink(image, 1, 2), [[100, 10]])


def test_the_aspect_is_given_up_and_each_region_stays_in_its_place() -> None:
    image = np.zeros((300, 100), np.float32)
    image[:100] = 1.0

    square = shrink(image, 60, 60)

    assert square[:19].min() == 1.0
    assert square[21:].max() == 0.0


def test_growing_makes_no_value_that_was_not_there() -> None:
    image = phantom(30, 20)

    grown = shrink(image, 64, 64)

    assert image.min() <= grown.min()
    assert grown.max() <= image.max()


def test_an_image_taller_but_narrower_than_asked_is_resized() -> None:
    assert shrink(phantom(300, 100), 224, 224).shape == (224, 224)


def test_the_network_reads_float_with_one_channel_within_the_unit() -> None:
    scaled = to_network_scale(np.array([[-0.5, 0.25], [1.0, 7.0]]))

    assert (scaled.shape, scaled.dtype) == ((2, 2, 1), np.float32)
    np.testing.assert_array_equal(scaled[..., 0], [[0, 0.25], [1, 1]])

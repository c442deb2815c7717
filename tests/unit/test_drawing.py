"""What a reader sees: the film, the map over its regions, and words beside it."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pacs_ai.findings import HeatMap
from pacs_ai.results.capture import HeatMapPolicy, build_capture
from pacs_ai.results.drawing import plain, with_caption, with_heat_map

from .making import AUTHOR, WHEN, make_read_image, read_back, small_display

_GREY = small_display()
ROWS, COLUMNS = _GREY.shape
QUARTERS = {
    "upper left": (slice(0, 7), slice(0, 7)),
    "upper right": (slice(0, 7), slice(7, 14)),
    "lower left": (slice(7, 14), slice(0, 7)),
    "lower right": (slice(7, 14), slice(7, 14)),
}


def _heat(quarter: str) -> HeatMap:
    values = np.zeros((14, 14), np.float32)
    values[QUARTERS[quarter]] = 1.0
    return HeatMap(values=values)


def _colour(drawn: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How coloured each pixel of the film is; grey is 0."""
    return np.ptp(drawn[:ROWS, :COLUMNS].astype(float), axis=2)


def _drawn(header: Dataset, policy: HeatMapPolicy, probability: float) -> NDArray[np.uint8]:
    capture = build_capture(make_read_image(header, probability), AUTHOR, policy, WHEN)
    return np.asarray(read_back(capture).pixel_array, np.uint8)


@pytest.mark.parametrize("quarter", QUARTERS)
def test_the_map_lies_over_the_region_that_it_speaks_of(quarter: str) -> None:
    coloured = _colour(with_heat_map(_GREY, _heat(quarter)))

    means = {
        name: coloured[
            slice(rows.start * ROWS // 14, rows.stop * ROWS // 14),
            slice(columns.start * COLUMNS // 14, columns.stop * COLUMNS // 14),
        ].mean()
        for name, (rows, columns) in QUARTERS.items()
    }
    others = [mean for name, mean in means.items() if name != quarter]
    assert means[quarter] > 20
    assert max(others) < 0.15 * means[quarter]


def test_a_single_cell_is_drawn_where_it_lies() -> None:
    values = np.zeros((14, 14), np.float32)
    values[3, 10] = 1.0

    coloured = _colour(with_heat_map(_GREY, HeatMap(values=values)))

    row, column = np.unravel_index(coloured.argmax(), coloured.shape)
    assert abs(row - 3.5 / 14 * ROWS) < ROWS / 14
    assert abs(column - 10.5 / 14 * COLUMNS) < COLUMNS / 14


def test_the_film_stays_visible_under_the_strongest_heat() -> None:
    hot = HeatMap(values=np.ones((14, 14), np.float32))

    drawn = with_heat_map(_GREY, hot)[:, :COLUMNS].mean(axis=2)

    assert np.corrcoef(drawn.ravel(), _GREY.ravel())[0, 1] > 0.99


def test_no_heat_leaves_the_film_as_it_is() -> None:
    cold = HeatMap(values=np.zeros((14, 14), np.float32))

    drawn = with_heat_map(_GREY, cold)

    np.testing.assert_array_equal(drawn[:, :COLUMNS], plain(_GREY))


def test_a_scale_stands_beside_the_map_and_not_on_it() -> None:
    drawn = with_heat_map(_GREY, _heat("upper left"))

    assert drawn.shape[0] == ROWS
    assert drawn.shape[1] > COLUMNS
    assert drawn[:, COLUMNS:].any()


@pytest.mark.parametrize("shape", [(160, 144), (700, 500), (300, 1024), (16, 2)])
@pytest.mark.parametrize("lines", [("one",), ("PNEUMONIA: PRESENT " * 6, "model " * 30)])
def test_the_caption_covers_nothing_of_the_film(shape: tuple[int, int], lines: tuple[str, ...]) -> None:
    rows, columns = shape
    film = plain(np.random.default_rng(0).integers(0, 256, shape, np.uint8))

    captioned = with_caption(film, lines)

    np.testing.assert_array_equal(captioned[:rows, :columns], film)
    assert not captioned[:rows, columns:].any()


@pytest.mark.parametrize("columns", [16, 640, 1080])
def test_a_long_caption_is_whole(columns: int) -> None:
    film = plain(np.zeros((100, columns), np.uint8))

    band = with_caption(film, ("W" * 150,))[100:]

    written = np.flatnonzero(band.any(axis=(0, 2)))
    assert written.min() >= 4
    assert written.max() < band.shape[1] - 4


def test_each_line_of_a_caption_is_written() -> None:
    film = plain(np.zeros((100, 640), np.uint8))

    one, two = with_caption(film, ("first",)), with_caption(film, ("first", "second"))

    assert two.shape[0] > one.shape[0]
    assert two[100:].astype(int).sum() > one[100:].astype(int).sum()


@pytest.mark.parametrize(
    ("policy", "probability", "is_drawn"),
    [
        ("positive", 0.87, True),
        ("positive", 0.5, True),
        ("positive", 0.13, False),
        ("always", 0.87, True),
        ("always", 0.13, True),
        ("never", 0.87, False),
        ("never", 0.13, False),
    ],
)
def test_the_map_is_drawn_only_as_the_policy_says(
    header: Dataset, policy: HeatMapPolicy, probability: float, is_drawn: bool
) -> None:
    drawn = _drawn(header, policy, probability)

    assert bool(_colour(drawn).max() > 20) is is_drawn
    assert drawn.shape[0] > ROWS


def test_a_capture_without_a_map_shows_the_film_untouched_but_for_jpeg(header: Dataset) -> None:
    drawn = _drawn(header, "never", 0.87)

    difference = drawn[:ROWS, :COLUMNS].astype(int) - plain(_GREY)
    assert np.abs(difference).mean() < 2


def test_another_film_gives_another_picture(header: Dataset) -> None:
    image = make_read_image(header)
    darker = replace(image, display=(_GREY // 2).astype(np.uint8))

    pictures = {build_capture(one, AUTHOR, "always", WHEN).PixelData for one in (image, darker)}

    assert len(pictures) == 2

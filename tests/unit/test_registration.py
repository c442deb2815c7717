"""What lies at a place of the source lies there for the network, on the picture and under the heat map.

The network's cells divide the whole film evenly, whatever its shape; a place is two fractions, of rows and columns.
"""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pacs_ai.findings import HeatMap
from pacs_ai.imaging.film import open_film
from pacs_ai.results.drawing import with_caption, with_heat_map
from tests.builders import make_instance, part10

SHAPES = [(2500, 2048), (2048, 2500), (600, 1900), (1801, 613), (577, 641), (512, 512)]
PLACES = [(0.3, 0.3), (0.41, 0.67), (0.62, 0.2)]
CELLS = 14


def _centre(heat: NDArray[np.float64]) -> tuple[float, float]:
    """Row and column of the centre of mass, in pixels from the upper left corner of the upper left pixel."""
    rows, columns = np.mgrid[0 : heat.shape[0], 0 : heat.shape[1]]
    return float((heat * (rows + 0.5)).sum() / heat.sum()), float((heat * (columns + 0.5)).sum() / heat.sum())


def _spot(shape: tuple[int, int], place: tuple[float, float]) -> NDArray[np.uint16]:
    y, x = np.ogrid[0 : shape[0], 0 : shape[1]]
    away = ((y + 0.5) / shape[0] - place[0]) ** 2 + ((x + 0.5) / shape[1] - place[1]) ** 2
    return np.asarray(np.rint(4095 * np.exp(-away / (2 * 0.04**2))), np.uint16)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_place_is_the_same_for_source_network_and_picture(shape: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "film.dcm"
    for place in PLACES:
        spot = _spot(shape, place)
        path.write_bytes(part10(make_instance(stored=spot, WindowCenter="2048", WindowWidth="4096")))
        film = open_film(path, input_size=224)

        source = _centre(spot.astype(float))
        for grey in (film.model_input.pixels[..., 0].astype(float), film.display.astype(float)):
            row, column = _centre(grey)
            assert abs(row * shape[0] / grey.shape[0] - source[0]) < 1
            assert abs(column * shape[1] / grey.shape[1] - source[1]) < 1


@pytest.mark.parametrize("shape", [(1024, 839), (839, 1024), (323, 1024), (1024, 349), (577, 641), (512, 512)])
@pytest.mark.parametrize("cell", [(4, 4), (9, 3), (6, 10)])
def test_the_heat_of_a_cell_lies_over_that_cell(shape: tuple[int, int], cell: tuple[int, int]) -> None:
    values = np.zeros((CELLS, CELLS), np.float32)
    values[cell] = 1.0

    drawn = with_caption(with_heat_map(np.zeros(shape, np.uint8), HeatMap(values=values)), ("one line",))

    coloured = drawn[: shape[0], : shape[1]].astype(float).sum(axis=2)
    row, column = _centre(coloured)
    assert abs(row - (cell[0] + 0.5) * shape[0] / CELLS) < 1
    assert abs(column - (cell[1] + 0.5) * shape[1] / CELLS) < 1

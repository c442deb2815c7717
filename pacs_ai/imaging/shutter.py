"""The display shutter: the part of an image that its device means to be seen (PS3.3 C.7.6.11)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pacs_ai.header import number, numbers, texts

Grid = NDArray[np.floating[Any]]
Inside = NDArray[np.bool_]
# Of a column of row numbers and a row of column numbers, both counted from 1: which pixels the opening shows.
Opening = Callable[[Grid, Grid], Inside]
_WHITE = 65535  # of P-values, in which the shutter's own grey is stated
_TRIAL = 128
_MOST_VERTICES = 1000  # a collimator has a few; a damaged header may have millions


@dataclass(frozen=True, slots=True, kw_only=True)
class Shutter:
    """What is open in every one of `openings` is shown; `level` is the grey of the rest, 0 = black, 1 = white."""

    rows: int
    columns: int
    openings: tuple[Opening, ...]
    level: float

    def is_open(self, rows: int, columns: int) -> Inside:
        """(rows, columns): whether the centre of each pixel is shown once the image has been brought to that size."""
        y = (np.arange(rows) + 0.5)[:, np.newaxis] * (self.rows / rows) + 0.5
        x = (np.arange(columns) + 0.5)[np.newaxis, :] * (self.columns / columns) + 0.5
        is_open = np.ones((rows, columns), bool)
        for opening in self.openings:
            is_open &= opening(y, x)
        return is_open


def display_shutter(header: Dataset, *, aspect: float) -> Shutter | None:
    """The shutter that the header describes; None where there is none, or one that would hide the whole image.

    `aspect` is the height of a pixel divided by its width.
    """
    shapes = {shape.upper() for shape in texts(header, "ShutterShape")}
    openings = [
        opening
        for shape, read in (("RECTANGULAR", _rectangle), ("CIRCULAR", _circle), ("POLYGONAL", _polygon))
        if shape in shapes and (opening := read(header, aspect))
    ]
    rows, columns = int(number(header, "Rows") or 0), int(number(header, "Columns") or 0)
    if not openings or rows < 1 or columns < 1:
        return None
    level = min(1.0, max(0.0, (number(header, "ShutterPresentationValue") or 0.0) / _WHITE))
    shutter = Shutter(rows=rows, columns=columns, openings=tuple(openings), level=level)
    return shutter if shutter.is_open(min(rows, _TRIAL), min(columns, _TRIAL)).any() else None


def _rectangle(header: Dataset, _aspect: float) -> Opening | None:
    stated = [
        number(header, keyword)
        for keyword in (
            "ShutterUpperHorizontalEdge",
            "ShutterLowerHorizontalEdge",
            "ShutterLeftVerticalEdge",
            "ShutterRightVerticalEdge",
        )
    ]
    edges = [edge for edge in stated if edge is not None]
    if len(edges) < len(stated):
        return None
    upper, lower, left, right = edges
    return lambda y, x: (upper <= y) & (y <= lower) & (left <= x) & (x <= right)


def _circle(header: Dataset, aspect: float) -> Opening | None:
    centre, radius = numbers(header, "CenterOfCircularShutter"), number(header, "RadiusOfCircularShutter")
    if len(centre) != 2 or radius is None:
        return None
    # The radius is counted in columns, so that a circle on the film is an ellipse of pixels that are not square.
    return lambda y, x: ((y - centre[0]) * aspect) ** 2 + (x - centre[1]) ** 2 <= radius * radius


def _polygon(header: Dataset, _aspect: float) -> Opening | None:
    flat = numbers(header, "VerticesOfThePolygonalShutter")
    vertices = list(zip(flat[::2], flat[1::2], strict=False))
    return None if not 3 <= len(vertices) <= _MOST_VERTICES else lambda y, x: _is_within(y, x, vertices)


def _is_within(y: Grid, x: Grid, vertices: Sequence[tuple[float, float]]) -> Inside:
    """Where a line to the right crosses the sides an odd number of times."""
    crossings = np.zeros((y.size, x.size + 1), np.uint8)  # one where a line meets a side left of that column
    for (row, column), (next_row, next_column) in pairwise([*vertices, vertices[0]]):
        rows = np.flatnonzero((row > y) != (next_row > y))
        if rows.size:
            crossing = column + (y[rows, 0] - row) * ((next_column - column) / (next_row - row))
            crossings[rows, np.searchsorted(x[0], crossing)] ^= 1
    to_the_right = np.bitwise_xor.accumulate(crossings[:, ::-1], axis=1)[:, ::-1]
    return to_the_right[:, 1:].astype(bool)

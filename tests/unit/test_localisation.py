"""A map that points nowhere is told from one that does, and the caption says so."""

import numpy as np
import pytest
from pydicom.dataset import Dataset

from pacs_ai.findings import HeatMap
from pacs_ai.results.capture import caption
from pacs_ai.results.localisation import is_localised

from .making import AUTHOR, make_read_image


def _blob(sigma: float, *, floor: float = 0.0) -> HeatMap:
    y, x = np.mgrid[0:14, 0:14].astype(np.float32)
    heat = np.exp(-((y - 4.0) ** 2 + (x - 9.0) ** 2) / (2 * sigma**2)) + floor
    return HeatMap(values=np.asarray(heat / heat.max(), np.float32))


NOWHERE = {
    "no heat": HeatMap(values=np.zeros((14, 14), np.float32)),
    "heat everywhere": HeatMap(values=np.ones((14, 14), np.float32)),
    "a blob as wide as the film": _blob(20.0),
    "a blob that hardly stands out": _blob(2.0, floor=2.0),
    "noise": HeatMap(values=np.random.default_rng(0).random((14, 14), np.float32) * np.float32(0.1) + np.float32(0.9)),
}
SOMEWHERE = {
    "one cell": HeatMap(values=np.eye(1, 196, 60, dtype=np.float32).reshape(14, 14)),
    "a narrow blob": _blob(1.0),
    "a lobe": _blob(2.5),
    "a lobe over some heat everywhere": _blob(2.5, floor=0.02),
}


@pytest.mark.parametrize("name", NOWHERE)
def test_a_diffuse_map_points_nowhere_and_the_caption_says_so(name: str, header: Dataset) -> None:
    assert not is_localised(NOWHERE[name])
    assert "not localised" in " ".join(caption(make_read_image(header), AUTHOR, NOWHERE[name]))


@pytest.mark.parametrize("name", SOMEWHERE)
def test_a_map_with_a_place_points_there(name: str, header: Dataset) -> None:
    assert is_localised(SOMEWHERE[name])
    assert "localised" not in " ".join(caption(make_read_image(header), AUTHOR, SOMEWHERE[name]))


def test_of_a_map_that_is_not_drawn_nothing_is_said(header: Dataset) -> None:
    assert "localised" not in " ".join(caption(make_read_image(header), AUTHOR))

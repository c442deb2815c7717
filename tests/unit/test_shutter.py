"""The display shutter: what the device hides is hidden from people and from the network (PS3.3 C.7.6.11)."""

from io import BytesIO
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from pacs_ai.imaging.decoders import decode
from pacs_ai.imaging.film import open_film
from pacs_ai.imaging.pixels import grey_transform
from pacs_ai.imaging.shutter import Shutter, display_shutter
from tests.builders import make_instance, part10, phantom

from .peers import shown_by_dcmtk

RECTANGLE = {
    "ShutterShape": "RECTANGULAR",
    "ShutterLeftVerticalEdge": 31,
    "ShutterRightVerticalEdge": 130,
    "ShutterUpperHorizontalEdge": 21,
    "ShutterLowerHorizontalEdge": 160,
}
CIRCLE = {"ShutterShape": "CIRCULAR", "CenterOfCircularShutter": [90, 80], "RadiusOfCircularShutter": 60}
TRIANGLE = {"ShutterShape": "POLYGONAL", "VerticesOfThePolygonalShutter": [20, 80, 150, 10, 150, 150]}
WHITE = {"ShutterPresentationValue": 65535}


def _film(**changes: Any) -> Dataset:
    return make_instance(modality="CR", stored=phantom(180, 160), **changes)


def _shutter(aspect: float = 1.0, **changes: Any) -> Shutter | None:
    return display_shutter(_film(**changes), aspect=aspect)


def _is_open(aspect: float = 1.0, **changes: Any) -> Any:
    shutter = _shutter(aspect, **changes)
    assert shutter is not None
    return shutter.is_open(180, 160)


def test_a_rectangle_shows_the_pixels_from_edge_to_edge() -> None:
    expected = np.zeros((180, 160), bool)
    expected[20:160, 30:130] = True  # edges are counted from 1

    np.testing.assert_array_equal(_is_open(**RECTANGLE), expected)


def test_a_circle_shows_what_lies_within_its_radius() -> None:
    y, x = np.mgrid[1:181, 1:161]

    np.testing.assert_array_equal(_is_open(**CIRCLE), (y - 90) ** 2 + (x - 80) ** 2 <= 3600)


def test_the_radius_counts_columns_so_that_high_pixels_need_fewer_rows() -> None:
    is_open = _is_open(aspect=2.0, **CIRCLE)

    assert np.ptp(np.flatnonzero(is_open.any(axis=0))) == 120
    assert np.ptp(np.flatnonzero(is_open.any(axis=1))) == 60


def test_a_polygon_shows_what_lies_within_its_sides() -> None:
    is_open = _is_open(**TRIANGLE)

    assert is_open[100, 80]
    assert not is_open[[10, 100, 100, 155], [80, 5, 155, 80]].any()
    assert is_open.sum() == pytest.approx(140 * 130 / 2, rel=0.01)


def test_a_polygon_of_a_thousand_sides_from_top_to_bottom_takes_no_time() -> None:
    vertices = [value for k in range(1000) for value in ((1 if k % 2 else 2500), 1 + k % 2000)]
    film = make_instance(stored=np.zeros((4, 4), np.uint16), ShutterShape="POLYGONAL", Rows=2500, Columns=2048)
    film.VerticesOfThePolygonalShutter = vertices
    shutter = display_shutter(film, aspect=1.0)
    assert shutter is not None

    start = process_time()
    is_open = shutter.is_open(2500, 2048)

    assert process_time() - start < 5
    assert is_open.any()


def test_only_what_every_shape_shows_is_seen() -> None:
    both = {**RECTANGLE, **CIRCLE, "ShutterShape": ["RECTANGULAR", "CIRCULAR"]}

    np.testing.assert_array_equal(_is_open(**both), _is_open(**RECTANGLE) & _is_open(**CIRCLE))


@pytest.mark.parametrize("shutter", [RECTANGLE, CIRCLE, TRIANGLE], ids=lambda shutter: shutter["ShutterShape"])
def test_the_opening_keeps_its_place_in_any_size(shutter: dict[str, Any]) -> None:
    found = _shutter(**shutter)
    assert found is not None

    share = [found.is_open(*size).mean() for size in ((180, 160), (90, 80), (224, 224), (720, 640))]

    assert share == pytest.approx([share[0]] * 4, abs=0.02)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"ShutterShape": ""},
        {"ShutterShape": "BITMAP"},
        {**RECTANGLE, "ShutterShape": None},
        {**RECTANGLE, "ShutterLeftVerticalEdge": None},
        {**CIRCLE, "CenterOfCircularShutter": [90]},
        {**CIRCLE, "RadiusOfCircularShutter": None},
        {**TRIANGLE, "VerticesOfThePolygonalShutter": [1, 1, 90, 90]},
        {**TRIANGLE, "VerticesOfThePolygonalShutter": list(range(1, 4001))},
    ],
)
def test_a_shutter_that_is_not_described_hides_nothing(changes: dict[str, Any]) -> None:
    assert _shutter(**changes) is None


def test_a_circle_of_absurd_size_hides_nothing() -> None:
    film = _film(**CIRCLE)
    film.add_new("RadiusOfCircularShutter", "DS", "1e300")

    assert display_shutter(film, aspect=1.0) is None


@pytest.mark.parametrize(
    "changes",
    [
        {**RECTANGLE, "ShutterLeftVerticalEdge": 140},
        {**CIRCLE, "RadiusOfCircularShutter": -1, "CenterOfCircularShutter": [-500, 80]},
        {**TRIANGLE, "VerticesOfThePolygonalShutter": [500, 500, 600, 600, 500, 700]},
    ],
)
def test_a_shutter_that_would_hide_all_hides_nothing(changes: dict[str, Any]) -> None:
    assert _shutter(**changes) is None


@pytest.mark.parametrize("shutter", [RECTANGLE, CIRCLE, TRIANGLE], ids=lambda shutter: shutter["ShutterShape"])
@pytest.mark.parametrize(("stated", "outside"), [({}, 0), (WHITE, 255), ({"ShutterPresentationValue": 32768}, 128)])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_people_see_the_grey_that_the_shutter_states_and_within_it_what_dcmtk_shows(
    tmp_path: Path, shutter: dict[str, Any], stated: dict[str, int], outside: int, photometric: str
) -> None:
    film = _film(**shutter, **stated, PhotometricInterpretation=photometric)
    (tmp_path / "film.dcm").write_bytes(part10(film))

    shown = open_film(tmp_path / "film.dcm", input_size=32).display

    is_open = _is_open(**shutter)
    dcmtk = shown_by_dcmtk(film, tmp_path, command="dcm2pnm", options=["+Wi", "1"]).astype(int)
    assert (shown[~is_open] == outside).all()
    assert np.abs(shown - dcmtk)[is_open].max() <= 1


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_the_network_sees_black_outside_whatever_people_see(tmp_path: Path, photometric: str) -> None:
    plain, hidden = tmp_path / "plain.dcm", tmp_path / "hidden.dcm"
    plain.write_bytes(part10(_film(PhotometricInterpretation=photometric)))
    hidden.write_bytes(part10(_film(**RECTANGLE, **WHITE, PhotometricInterpretation=photometric)))

    pixels = open_film(hidden, input_size=160).model_input.pixels

    shutter = _shutter(**RECTANGLE)
    assert shutter is not None
    is_open = shutter.is_open(160, 160)
    assert not pixels[~is_open].any()
    np.testing.assert_array_equal(pixels[is_open], open_film(plain, input_size=160).model_input.pixels[is_open])


def test_without_a_window_what_is_hidden_does_not_stretch_the_range() -> None:
    stored = np.full((180, 160), 4095, np.uint16)
    stored[20:160, 30:130] = np.linspace(1000, 2000, 14000).reshape(140, 100)
    film = make_instance(stored=stored, WindowCenter=None, WindowWidth=None, **RECTANGLE)
    image = dcmread(BytesIO(part10(film)))

    grey = grey_transform(image, decode(image)).grey(stored)[20:160, 30:130]

    assert (grey.min(), grey.max()) == (0.0, 1.0)

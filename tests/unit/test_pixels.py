"""Stored values to grey, against the standard's formulas; test_rendering holds them to DCMTK."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset

from pacs_ai.imaging.decoders import decode
from pacs_ai.imaging.geometry import shrink
from pacs_ai.imaging.pixels import display_size, grey_at, grey_transform, to_display, to_model_input
from tests.builders import Stored, lookup_table, make_instance, part10, phantom

Make = Callable[[Stored], Dataset]


def _gamma() -> NDArray[np.uint16]:
    return np.rint(4095 * (np.arange(4096) / 4095) ** 0.6).astype(np.uint16)


def _mono1(small: Stored, **changes: Any) -> Dataset:
    stated = {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE", "WindowCenter": "2047"}
    return make_instance(stored=(4095 - small).astype(np.uint16), **{**stated, **changes})


def _signed(small: Stored, **changes: Any) -> Dataset:
    return make_instance(stored=small.astype(np.int16) - 2048, RescaleIntercept="2048", **changes)


def _padded(small: Stored) -> Dataset:
    stored = small.copy()
    stored[:, :30] = 0
    instance = make_instance(stored=stored)
    instance.add_new("PixelPaddingValue", "US", 0)
    return instance


def _voi_lut(small: Stored) -> Dataset:
    item = lookup_table(_gamma(), 12)
    return make_instance(stored=small, WindowCenter=None, WindowWidth=None, VOILUTSequence=[item])


def _cr(small: Stored) -> Dataset:
    return make_instance(modality="CR", stored=small)


def _grey(instance: Dataset) -> NDArray[np.float32]:
    image = dcmread(BytesIO(part10(instance)))
    stored = decode(image)
    return grey_transform(image, stored).grey(stored)


def test_two_ways_to_say_inverse_are_one_inversion(small: Stored) -> None:
    plain = _grey(make_instance(stored=small))
    once = [
        _grey(make_instance(stored=small, PhotometricInterpretation="MONOCHROME1", PresentationLUTShape=None)),
        _grey(make_instance(stored=small, PresentationLUTShape="INVERSE")),
        _grey(make_instance(stored=small, PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE")),
    ]

    for inverted in once:
        np.testing.assert_allclose(inverted, 1.0 - plain, atol=1e-6)


def test_the_shape_decides_where_it_contradicts_the_photometric_interpretation(small: Stored) -> None:
    contradicting = make_instance(
        stored=small, PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="IDENTITY"
    )

    np.testing.assert_array_equal(_grey(contradicting), _grey(make_instance(stored=small)))


def test_the_window_decides_the_grey_and_not_the_range_of_the_film(small: Stored) -> None:
    half_lit = np.minimum(small, 2000).astype(np.uint16)

    assert _grey(make_instance(stored=half_lit)).max() == pytest.approx(0.487, abs=0.01)


def test_a_voi_lut_goes_before_a_window(small: Stored) -> None:
    table = lookup_table(_gamma(), 12)

    both = _grey(make_instance(stored=small, VOILUTSequence=[table]))

    np.testing.assert_array_equal(both, _grey(_voi_lut(small)))


def test_stored_values_outside_a_table_take_its_ends() -> None:
    stored = np.array([[0, 99, 100, 101], [102, 103, 104, 4095]], np.uint16)
    table = lookup_table(np.array([0, 50, 100, 255]), 8, first=100)

    grey = _grey(make_instance(stored=stored, VOILUTSequence=[table]))

    np.testing.assert_allclose(grey * 255, [[0, 0, 0, 50], [100, 255, 255, 255]], atol=1e-4)


def test_a_table_of_65536_entries_announces_zero_and_is_whole() -> None:
    stored = np.array([[0, 32768], [65534, 65535]], np.uint16)
    table = lookup_table(np.arange(65536), 16)

    grey = _grey(make_instance(stored=stored, bits=16, VOILUTSequence=[table]))

    np.testing.assert_allclose(grey * 65535, [[0, 32768], [65534, 65535]], atol=0.1)


def test_a_signed_table_may_begin_below_zero() -> None:
    stored = np.array([[-2, -1], [0, 1]], np.int16)
    table = lookup_table(np.array([0, 85, 170, 255]), 8, first=-2, vr="SS")

    grey = _grey(make_instance(stored=stored, VOILUTSequence=[table]))

    np.testing.assert_allclose(grey * 255, [[0, 85], [170, 255]], atol=1e-4)


@pytest.mark.parametrize(("vr", "kind"), [("US", "<u2"), ("SS", "<i2")])
@pytest.mark.parametrize(("top", "bits"), [(255, 8), (65535, 16)])
def test_the_words_of_a_table_may_be_written_as_numbers(small: Stored, vr: str, kind: str, top: int, bits: int) -> None:
    entries = np.rint(top * (np.arange(4096) / 4095) ** 0.6)
    table = lookup_table(entries, bits, is_packed=bits == 8)
    table.add_new("LUTData", vr, np.frombuffer(table.LUTData, kind).tolist())

    grey = _grey(make_instance(stored=small, VOILUTSequence=[table]))

    np.testing.assert_allclose(grey, entries[small] / top, atol=1e-6)


@pytest.mark.parametrize(
    ("function", "width", "expected"),
    [
        ("LINEAR", "1", [0.0, 0.0, 1.0]),
        ("LINEAR_EXACT", "1", [0.0, 0.5, 1.0]),
        ("LINEAR", "0", [0.0, 0.5, 1.0]),
        ("SIGMOID", "0", [0.0, 0.5, 1.0]),
    ],
)
def test_a_window_of_one_is_a_step_and_one_of_zero_is_none(function: str, width: str, expected: list[float]) -> None:
    stored = np.array([[99, 100, 101]], np.uint16)
    centre = "101" if (function, width) == ("LINEAR", "1") else "100"

    grey = _grey(make_instance(stored=stored, WindowCenter=centre, WindowWidth=width, VOILUTFunction=function))

    np.testing.assert_allclose(grey[0], expected, atol=1e-6)


@pytest.mark.parametrize(
    "stated",
    [
        {"WindowCenter": "1e300"},
        {"WindowWidth": "1e300"},
        {"WindowWidth": "1e-300", "VOILUTFunction": "LINEAR_EXACT"},
        {"RescaleIntercept": "1e39"},
        {"RescaleSlope": "1e300"},
        {"RescaleSlope": "1e39", "WindowCenter": None},
    ],
    ids=str,
)
def test_absurd_numbers_make_no_grey_that_is_none(small: Stored, stated: dict[str, Any]) -> None:
    grey = _grey(make_instance(stored=small, **stated))

    assert np.isfinite(grey).all()
    assert np.ptp(grey) > 0.3


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_in_either_polarity_and_outside_the_range(photometric: str) -> None:
    stored = np.array([[4000, 4000, 4001], [1000, 1500, 2000]], np.uint16)
    instance = make_instance(
        modality="CR", stored=stored, PhotometricInterpretation=photometric, WindowCenter=None, WindowWidth=None
    )
    instance.add_new("PixelPaddingValue", "US", 4000)
    instance.add_new("PixelPaddingRangeLimit", "US", 4001)

    grey = _grey(instance)

    assert not grey[0].any()
    assert sorted(grey[1]) == pytest.approx([0.0, 0.5, 1.0])


@pytest.mark.parametrize(
    ("value", "limit"),
    [
        (("SS", -2048), None),
        (("US", 63488), None),
        (("SS", -2048), ("SS", -2000)),
        (("SS", -2048), ("US", 63536)),
        (("US", 63488), ("US", 63536)),
        (("SS", -2000), ("US", 63488)),
    ],
)
def test_padding_of_signed_pixels_is_known_whatever_it_was_written_as(
    value: tuple[str, int], limit: tuple[str, int] | None
) -> None:
    stored = np.array([[-2048, -2048, -2048], [-500, 0, 500]], np.int16)
    instance = make_instance(stored=stored, WindowCenter=None, WindowWidth=None)
    instance.add_new("PixelPaddingValue", *value)
    if limit is not None:
        instance.add_new("PixelPaddingRangeLimit", *limit)

    np.testing.assert_allclose(_grey(instance), [[0, 0, 0], [0, 0.5, 1]], atol=1e-6)


def test_padding_of_unsigned_pixels_written_as_signed_is_known() -> None:
    stored = np.array([[65535, 65535, 65535], [1000, 1500, 2000]], np.uint16)
    instance = make_instance(stored=stored, bits=16, WindowCenter=None, WindowWidth=None)
    instance.add_new("PixelPaddingValue", "SS", -1)

    np.testing.assert_allclose(_grey(instance), [[0, 0, 0], [0, 0.5, 1]], atol=1e-6)


def test_padding_that_would_hide_every_pixel_hides_none(small: Stored) -> None:
    instance = make_instance(stored=small)
    instance.add_new("PixelPaddingValue", "US", 0)
    instance.add_new("PixelPaddingRangeLimit", "US", 4095)

    np.testing.assert_array_equal(_grey(instance), _grey(make_instance(stored=small)))


def test_a_flat_image_without_a_window_is_shown_and_not_divided_by_zero() -> None:
    grey = _grey(make_instance(stored=np.full((4, 4), 77, np.uint16), WindowCenter=None, WindowWidth=None))

    assert np.isfinite(grey).all()


@pytest.mark.parametrize("make", [_cr, _mono1, _signed, _voi_lut, _padded], ids=lambda make: make.__name__)
def test_resizing_first_is_close_to_resizing_the_whole_grey(make: Make) -> None:
    image = dcmread(BytesIO(part10(make(phantom(640, 576)))))
    stored = decode(image)
    transform = grey_transform(image, stored)

    early = grey_at(transform, stored, 224, 224)

    late = shrink(transform.grey(stored), 224, 224)
    assert np.abs(early - late).mean() < 0.002
    assert np.quantile(np.abs(early - late), 0.999) < 0.02


def test_the_network_reads_a_square_of_float_between_black_and_white(small: Stored) -> None:
    transform = grey_transform(make_instance(stored=small), small)

    pixels = to_model_input(transform, small, 64).pixels

    assert (pixels.shape, pixels.dtype) == ((64, 64, 1), np.float32)
    assert pixels.min() >= 0
    assert pixels.max() <= 1
    assert np.ptp(pixels) > 0.3


def test_the_display_is_the_grey_in_eight_bits(small: Stored) -> None:
    transform = grey_transform(make_instance(stored=small), small)

    shown = to_display(transform, small, small.shape)

    assert shown.dtype == np.uint8
    np.testing.assert_array_equal(shown, np.rint(transform.grey(small) * 255))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"Rows": 2500, "Columns": 2048}, (1024, 839)),
        ({"Rows": 640, "Columns": 576}, (640, 576)),
        ({"Rows": 600, "Columns": 600, "PixelSpacing": [0.2, 0.1]}, (1024, 512)),
        ({"Rows": 600, "Columns": 600, "PixelSpacing": None, "ImagerPixelSpacing": [0.1, 0.2]}, (512, 1024)),
        (
            {
                "Rows": 600,
                "Columns": 600,
                "PixelSpacing": None,
                "ImagerPixelSpacing": None,
                "PixelAspectRatio": ["3", "4"],
            },
            (600, 800),
        ),
        ({"Rows": 600, "Columns": 600, "PixelSpacing": [0, 0], "ImagerPixelSpacing": None}, (600, 600)),
        ({"Rows": 4000, "Columns": 2}, (1024, 1)),
    ],
)
def test_the_display_has_square_pixels_and_fits(changes: dict[str, Any], expected: tuple[int, int]) -> None:
    header = make_instance(stored=np.zeros((4, 4), np.uint16), **changes)

    assert display_size(header, max_side=1024) == expected

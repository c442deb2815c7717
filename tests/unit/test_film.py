"""An instance on disk: its header, its pixels, or the reason why there are none."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    RLELossless,
)

from pacs_ai.errors import LimitExceeded, NotDicom, UndecodablePixels
from pacs_ai.imaging.film import DISPLAY_SIDE, open_film, read_header
from pacs_ai.imaging.gate import CHECKS
from tests.builders import (
    BARE_FORMS,
    LOSSLESS,
    UNCOMPRESSED,
    Stored,
    bare_data_set,
    make_instance,
    part10,
    phantom,
    without_preamble,
)

from .making import CHILDREN

_PLENTY = 64 << 20


def test_the_header_is_all_but_the_pixels(film_path: Path, small: Stored) -> None:
    instance = make_instance(stored=small)
    film_path.write_bytes(part10(instance))

    header = read_header(film_path, max_bytes=_PLENTY)

    assert header.SOPInstanceUID == instance.SOPInstanceUID
    assert header.Rows == 180
    assert "PixelData" not in header


def test_a_file_larger_than_allowed_is_not_opened(film_path: Path, small: Stored) -> None:
    content = part10(make_instance(stored=small))
    film_path.write_bytes(content)

    with pytest.raises(LimitExceeded, match="max_instance_mb"):
        read_header(film_path, max_bytes=len(content) - 1)
    assert read_header(film_path, max_bytes=len(content))


@pytest.mark.parametrize(
    "content",
    [b"", b"\0", b"Dear colleague,\n" * 40, b"\x89PNG\r\n\x1a\n" + bytes(400), bytes(1000), b"\0" * 128 + b"DICM"],
    ids=["empty", "one byte", "letter", "PNG", "zeros", "preamble alone"],
)
def test_what_is_no_dicom_is_called_so(film_path: Path, content: bytes) -> None:
    film_path.write_bytes(content)

    with pytest.raises(NotDicom):
        read_header(film_path, max_bytes=_PLENTY)


@pytest.mark.parametrize("missing", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_an_instance_that_cannot_be_referred_to_is_no_instance(film_path: Path, small: Stored, missing: str) -> None:
    instance = make_instance(stored=small)
    del instance[missing]
    film_path.write_bytes(part10(instance))

    with pytest.raises(NotDicom, match=missing):
        read_header(film_path, max_bytes=_PLENTY)


@pytest.mark.parametrize("written", BARE_FORMS, ids=lambda form: form.__name__)
@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian], ids=lambda syntax: syntax.keyword
)
@pytest.mark.parametrize("bits", [8, 12])
def test_a_film_without_preamble_or_file_meta_is_read_all_the_same(
    film_path: Path, written: Callable[[Dataset], bytes], syntax: UID, bits: int
) -> None:
    instance = make_instance(stored=phantom(181, 159, bits=bits), bits=bits, syntax=syntax)
    film_path.write_bytes(part10(instance))
    whole = open_film(film_path, input_size=32)
    film_path.write_bytes(written(instance))

    header = read_header(film_path, max_bytes=_PLENTY)
    film = open_film(film_path, input_size=32)

    assert header.SOPInstanceUID == instance.SOPInstanceUID
    np.testing.assert_array_equal(film.display, whole.display)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLosslessSV1, JPEG2000Lossless], ids=lambda syntax: syntax.keyword)
def test_a_compressed_film_needs_the_file_meta_and_not_the_preamble(
    film_path: Path, small: Stored, syntax: UID
) -> None:
    instance = make_instance(stored=small, syntax=syntax)

    film_path.write_bytes(without_preamble(instance))
    assert open_film(film_path, input_size=32)
    film_path.write_bytes(bare_data_set(instance))
    with pytest.raises(UndecodablePixels):
        open_film(film_path, input_size=32)


@pytest.mark.parametrize(
    "syntax",
    [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian],
    ids=lambda syntax: syntax.keyword,
)
def test_a_header_that_was_cut_off_is_foreseen(film_path: Path, small: Stored, syntax: UID) -> None:
    content = part10(make_instance(stored=small, syntax=syntax))

    for length in (140, 200, 350, 500, 700, 901):
        film_path.write_bytes(content[:length])
        with pytest.raises(NotDicom):
            read_header(film_path, max_bytes=_PLENTY)


@pytest.mark.parametrize("syntax", [*UNCOMPRESSED, JPEGLosslessSV1, RLELossless, JPEG2000Lossless])
def test_pixels_that_were_cut_off_are_foreseen(film_path: Path, small: Stored, syntax: UID) -> None:
    content = part10(make_instance(stored=small, syntax=syntax))
    film_path.write_bytes(content[: int(len(content) * 0.9)])

    with pytest.raises((UndecodablePixels, NotDicom)):
        open_film(film_path, input_size=32)


def test_a_film_without_pixels_is_foreseen(film_path: Path, small: Stored) -> None:
    film_path.write_bytes(part10(make_instance(stored=small, PixelData=None)))

    with pytest.raises(UndecodablePixels):
        open_film(film_path, input_size=32)


@pytest.mark.parametrize("syntax", [*UNCOMPRESSED, *LOSSLESS], ids=lambda syntax: syntax.keyword)
def test_the_film_is_the_same_however_it_was_encoded(film_path: Path, small: Stored, syntax: UID) -> None:
    film_path.write_bytes(part10(make_instance(stored=small)))
    plain = open_film(film_path, input_size=64)
    film_path.write_bytes(part10(make_instance(stored=small, syntax=syntax)))

    film = open_film(film_path, input_size=64)

    np.testing.assert_array_equal(film.model_input.pixels, plain.model_input.pixels)
    np.testing.assert_array_equal(film.display, plain.display)


def test_a_film_is_the_square_of_the_network_and_a_picture_that_fits(film_path: Path) -> None:
    film_path.write_bytes(part10(make_instance(stored=phantom(1300, 900))))

    film = open_film(film_path, input_size=224)

    assert film.model_input.pixels.shape == (224, 224, 1)
    assert film.display.shape == (DISPLAY_SIDE, round(900 / 1300 * DISPLAY_SIDE))
    assert film.display.dtype == np.uint8


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_both_polarities_of_one_film_give_the_network_the_same(
    film_path: Path, small: Stored, photometric: str
) -> None:
    stored = small if photometric == "MONOCHROME2" else (4095 - small).astype(np.uint16)
    film_path.write_bytes(part10(make_instance(stored=small)))
    plain = open_film(film_path, input_size=64).model_input.pixels
    instance = make_instance(modality="CR", stored=stored, PhotometricInterpretation=photometric)
    film_path.write_bytes(part10(instance))

    pixels = open_film(film_path, input_size=64).model_input.pixels

    np.testing.assert_allclose(pixels, plain, atol=0.002)


_WHOLE = part10(make_instance(stored=phantom(16, 16)))


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(damage=st.lists(st.tuples(st.integers(128, len(_WHOLE) - 520), st.integers(0, 255)), min_size=1, max_size=12))
def test_no_damage_to_a_header_comes_as_a_surprise(
    tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, int]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.dcm"
    content = bytearray(_WHOLE)
    for place, byte in damage:
        content[place] = byte
    path.write_bytes(content)

    with suppress(NotDicom):
        header = read_header(path, max_bytes=_PLENTY)
        assert len([check(header, CHILDREN) for check in CHECKS]) == len(CHECKS)

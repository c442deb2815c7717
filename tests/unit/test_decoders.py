"""Compressed frames to stored values: exact, or refused in words."""

from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    MPEG2MPML,
    UID,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from pacs_ai.errors import UndecodablePixels
from pacs_ai.imaging import decoders
from pacs_ai.imaging.codestream import Codestream, read_codestream
from pacs_ai.imaging.decoders import decode, is_available
from tests.builders import LOSSLESS, UNCOMPRESSED, Stored, make_instance, part10, phantom

LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000, HTJ2K)
JPEG_FAMILY = tuple(syntax for syntax in (*LOSSLESS, *LOSSY) if syntax != RLELossless)


def _bits(syntax: UID) -> int:
    return 8 if syntax == JPEGBaseline8Bit else 12


def _opened(**changes: Any) -> Dataset:
    return dcmread(BytesIO(part10(make_instance(**changes))))


def _frame(syntax: UID, stored: Stored | None = None) -> bytes:
    bits = _bits(syntax)
    pixels = phantom(96, 80, bits=bits) if stored is None else stored
    image = _opened(stored=pixels, bits=bits, syntax=syntax)
    return get_frame(image.PixelData, 0, number_of_frames=1)


def _with_frame(syntax: UID, frame: bytes) -> Dataset:
    bits = _bits(syntax)
    image = _opened(stored=phantom(96, 80, bits=bits), bits=bits, syntax=syntax)
    image.PixelData = encapsulate([frame])
    return image


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("syntax", [*UNCOMPRESSED, *LOSSLESS], ids=lambda syntax: syntax.keyword)
def test_a_lossless_syntax_gives_back_each_stored_value(syntax: UID, bits: int) -> None:
    stored = phantom(96, 80, bits=bits)

    decoded = decode(_opened(stored=stored, bits=bits, syntax=syntax))

    assert decoded.dtype.itemsize == stored.dtype.itemsize
    np.testing.assert_array_equal(decoded, stored)


@pytest.mark.parametrize("syntax", [*UNCOMPRESSED, RLELossless], ids=lambda syntax: syntax.keyword)
def test_signed_values_keep_their_sign(syntax: UID) -> None:
    stored = phantom(96, 80).astype(np.int16) - 2048

    np.testing.assert_array_equal(decode(_opened(stored=stored, syntax=syntax)), stored)


@pytest.mark.parametrize(
    "syntax",
    [JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, HTJ2KLossless],
    ids=lambda syntax: syntax.keyword,
)
def test_the_sign_is_restored_from_a_codestream_without_one(syntax: UID) -> None:
    signed = phantom(96, 80).astype(np.int16) - 2048
    twos_complement = (signed & 0x0FFF).astype(np.uint16)

    image = _opened(stored=twos_complement, syntax=syntax, PixelRepresentation=1)

    np.testing.assert_array_equal(decode(image), signed)


@pytest.mark.parametrize("sign", [0, 1])
def test_a_signed_codestream_under_an_unsigned_header_is_refused(sign: int) -> None:
    signed = phantom(96, 80).astype(np.int16) - 2048
    frame = imagecodecs.jpeg2k_encode(signed, codecformat="J2K", reversible=True, level=0)
    image = _with_frame(JPEG2000Lossless, bytes(frame))
    image.PixelRepresentation = sign

    if sign:
        np.testing.assert_array_equal(decode(image), signed)
    else:
        with pytest.raises(UndecodablePixels):
            decode(image)


@pytest.mark.parametrize("precision", [12, 16])
def test_a_codestream_may_have_more_or_fewer_bits_than_the_header(precision: int) -> None:
    signed = phantom(96, 80).astype(np.int16) - 2048
    frame = imagecodecs.jpeg2k_encode(
        (signed & 0x0FFF).astype(np.uint16), codecformat="J2K", reversible=True, level=0, bitspersample=precision
    )
    image = _with_frame(JPEG2000Lossless, bytes(frame))
    image.PixelRepresentation, image.BitsStored, image.HighBit = 1, 28 - precision, 27 - precision

    np.testing.assert_array_equal(decode(image), signed)


@pytest.mark.parametrize("syntax", LOSSY, ids=lambda syntax: syntax.keyword)
def test_a_lossy_syntax_gives_back_nearly_each_stored_value(syntax: UID) -> None:
    bits = _bits(syntax)
    stored = phantom(96, 80, bits=bits)

    decoded = decode(_opened(stored=stored, bits=bits, syntax=syntax))

    error = np.abs(decoded.astype(int) - stored)
    assert error.mean() < 2**bits * 0.01


def test_unused_bits_are_cleared() -> None:
    stored = phantom(96, 80)

    decoded = decode(_opened(stored=stored | 0xA000))

    np.testing.assert_array_equal(decoded, stored)


@pytest.mark.parametrize("syntax", [*UNCOMPRESSED, RLELossless], ids=lambda syntax: syntax.keyword)
@pytest.mark.parametrize("is_signed", [False, True])
def test_a_sample_in_the_upper_bits_of_its_word_is_read_there(syntax: UID, is_signed: bool) -> None:
    values = phantom(96, 80).astype(np.int32) - (2048 if is_signed else 0)
    stored = (values << 3).astype(np.int16 if is_signed else np.uint16) | 5

    decoded = decode(_opened(stored=stored, syntax=syntax, HighBit=14))

    np.testing.assert_array_equal(decoded, values)


@pytest.mark.parametrize(
    "syntax",
    [JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, HTJ2KLossless],
    ids=lambda syntax: syntax.keyword,
)
@pytest.mark.parametrize(("bits", "high"), [(12, 15), (10, 15), (14, 15), (12, 14)])
def test_a_sample_in_the_upper_bits_is_read_there_in_a_codestream_of_whole_words(
    syntax: UID, bits: int, high: int
) -> None:
    values = phantom(96, 80, bits=bits)
    words = ((values << (high + 1 - bits)) | 1).astype(np.uint16)
    image = _opened(stored=words, bits=16, syntax=syntax, BitsStored=bits, HighBit=high)

    np.testing.assert_array_equal(decode(image), values)


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEG2000Lossless], ids=lambda syntax: syntax.keyword)
def test_a_codestream_that_has_the_samples_alone_is_read_whatever_the_high_bit(syntax: UID) -> None:
    np.testing.assert_array_equal(decode(_opened(stored=phantom(96, 80), syntax=syntax, HighBit=15)), phantom(96, 80))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEGLosslessSV1], ids=lambda syntax: syntax.keyword)
def test_a_high_bit_outside_the_word_is_refused_where_it_matters(syntax: UID) -> None:
    image = _opened(stored=phantom(96, 80), syntax=syntax, HighBit=20)

    if syntax == JPEGLosslessSV1:
        np.testing.assert_array_equal(decode(image), phantom(96, 80))
    else:
        with pytest.raises(UndecodablePixels):
            decode(image)


def test_an_empty_high_bit_says_nothing() -> None:
    image = _opened(stored=phantom(96, 80))
    image.HighBit = None

    np.testing.assert_array_equal(decode(image), phantom(96, 80))


@pytest.mark.parametrize("shape", [(96, 81), (97, 80), (95, 80), (96, 79), (60, 80), (48, 80), (1, 1), (2000, 2000)])
@pytest.mark.parametrize("syntax", [*UNCOMPRESSED, *LOSSLESS], ids=lambda syntax: syntax.keyword)
@pytest.mark.filterwarnings("ignore:The pixel data length")
def test_a_header_that_lies_about_the_size_is_refused(syntax: UID, shape: tuple[int, int]) -> None:
    image = _opened(stored=phantom(96, 80), syntax=syntax)
    image.Rows, image.Columns = shape

    with pytest.raises(UndecodablePixels):
        decode(image)


@pytest.mark.filterwarnings("ignore:The pixel data length")
@pytest.mark.parametrize("syntax", UNCOMPRESSED, ids=lambda syntax: syntax.keyword)
def test_padding_of_less_than_a_row_is_no_lie(syntax: UID) -> None:
    stored = phantom(96, 80)
    image = _opened(stored=stored, syntax=syntax)
    image.PixelData += b"\0" * 100

    np.testing.assert_array_equal(decode(image), stored)


@pytest.mark.parametrize("syntax", [*LOSSLESS, *LOSSY], ids=lambda syntax: syntax.keyword)
def test_a_frame_that_was_cut_off_is_refused(syntax: UID) -> None:
    frame = _frame(syntax)

    for share in (0.02, 0.5, 0.9):
        with pytest.raises(UndecodablePixels):
            decode(_with_frame(syntax, frame[: int(len(frame) * share)]))


@pytest.mark.parametrize("syntax", UNCOMPRESSED, ids=lambda syntax: syntax.keyword)
def test_pixel_data_that_was_cut_off_is_refused(syntax: UID) -> None:
    image = _opened(stored=phantom(96, 80), syntax=syntax)
    image.PixelData = image.PixelData[:-200]

    with pytest.raises(UndecodablePixels):
        decode(image)


@pytest.mark.parametrize("syntax", [*LOSSLESS, *LOSSY], ids=lambda syntax: syntax.keyword)
def test_a_frame_of_noise_is_refused(syntax: UID) -> None:
    noise = np.random.default_rng(1).integers(0, 256, 4000, np.uint8).tobytes()

    with pytest.raises(UndecodablePixels):
        decode(_with_frame(syntax, noise))


@pytest.mark.parametrize("padding", [b"\0", b"\0\0", b"\0" * 4000])
@pytest.mark.parametrize("syntax", JPEG_FAMILY, ids=lambda syntax: syntax.keyword)
def test_a_whole_frame_with_padding_is_read(syntax: UID, padding: bytes) -> None:
    frame = _frame(syntax).rstrip(b"\0")

    decoded = decode(_with_frame(syntax, frame + padding))

    assert decoded.shape == (96, 80)


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless], ids=lambda syntax: syntax.keyword)
def test_a_frame_in_several_fragments_is_read(syntax: UID) -> None:
    image = _opened(stored=phantom(96, 80), syntax=syntax)
    image.PixelData = encapsulate([_frame(syntax)], fragments_per_frame=3)

    np.testing.assert_array_equal(decode(image), phantom(96, 80))


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless, RLELossless], ids=lambda syntax: syntax.keyword)
@pytest.mark.parametrize(
    "table",
    [
        {"ExtendedOffsetTable": bytes(8)},
        {"ExtendedOffsetTable": b"", "ExtendedOffsetTableLengths": b""},
        {"ExtendedOffsetTable": (8).to_bytes(8, "little"), "ExtendedOffsetTableLengths": (4).to_bytes(8, "little")},
    ],
    ids=["no lengths", "empty", "wrong"],
)
def test_one_frame_needs_no_extended_offset_table(syntax: UID, table: dict[str, bytes]) -> None:
    stored = phantom(96, 80)

    np.testing.assert_array_equal(decode(_opened(stored=stored, syntax=syntax, **table)), stored)


def test_the_codestream_that_is_decoded_is_the_one_whose_size_was_looked_at() -> None:
    image = _opened(stored=phantom(96, 80), syntax=JPEG2000Lossless)
    looked_at, other = _frame(JPEG2000Lossless), _frame(JPEG2000Lossless, phantom(96, 80, seed=1))
    image.PixelData = encapsulate([looked_at, other])
    image.ExtendedOffsetTable = (8 + len(looked_at) + len(looked_at) % 2).to_bytes(8, "little")
    image.ExtendedOffsetTableLengths = len(other).to_bytes(8, "little")

    np.testing.assert_array_equal(decode(image), phantom(96, 80))


def test_an_image_without_pixel_data_is_refused() -> None:
    image = make_instance(stored=phantom(96, 80), PixelData=None)

    with pytest.raises(UndecodablePixels, match="no Pixel Data"):
        decode(image)


def test_empty_pixel_data_is_refused() -> None:
    image = make_instance(stored=phantom(96, 80), PixelData=b"")

    with pytest.raises(UndecodablePixels):
        decode(image)


@pytest.mark.parametrize("syntax", [MPEG2MPML, UID("1.2.3.4")])
def test_another_transfer_syntax_is_refused_by_name(syntax: UID) -> None:
    image = make_instance(stored=phantom(96, 80))
    image.file_meta.TransferSyntaxUID = syntax

    with pytest.raises(UndecodablePixels, match=str(syntax)):
        decode(image)


@pytest.mark.parametrize("missing", ["Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation"])
def test_a_header_without_what_the_pixels_need_is_refused(missing: str) -> None:
    image = make_instance(stored=phantom(96, 80), **{missing: None})

    with pytest.raises(UndecodablePixels):
        decode(image)


@pytest.mark.filterwarnings("ignore:The .0028,0004. 'Photometric Interpretation' value is 'RGB'")
def test_a_colour_frame_is_refused() -> None:
    image = _with_frame(JPEGBaseline8Bit, _frame(JPEGBaseline8Bit))
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PlanarConfiguration = 3, "RGB", 0

    with pytest.raises(UndecodablePixels):
        decode(image)


@pytest.mark.parametrize("syntax", JPEG_FAMILY, ids=lambda syntax: syntax.keyword)
def test_a_codestream_announces_its_size_and_precision(syntax: UID) -> None:
    takes_words = "HTJ2K" in syntax.keyword or "JPEGLS" in syntax.keyword  # as these are encoded here
    precision = 16 if takes_words else _bits(syntax)

    assert read_codestream(_frame(syntax)) == Codestream(rows=96, columns=80, precision=precision)


def test_a_signed_codestream_says_so() -> None:
    frame = imagecodecs.jpeg2k_encode(phantom(96, 80).astype(np.int16), codecformat="J2K", reversible=True, level=0)

    assert read_codestream(bytes(frame)) == Codestream(rows=96, columns=80, precision=16, is_signed=True)


def test_fill_bytes_before_a_marker_are_passed_over() -> None:
    frame = _frame(JPEGLosslessSV1)

    assert read_codestream(frame[:2] + b"\xff\xff" + frame[2:]) == read_codestream(frame)


@pytest.mark.parametrize("frame", [b"", b"\xff", b"\xff\xd8", b"\xff\xd8\xff", b"GIF89a" * 4, b"\xff\xd8" + b"\0" * 40])
def test_a_frame_that_announces_nothing_is_no_codestream(frame: bytes) -> None:
    assert read_codestream(frame) is None


def test_a_codestream_that_announces_a_huge_image_is_refused_before_decoding() -> None:
    frame = bytearray(_frame(JPEG2000Lossless))
    frame[8:12] = (1 << 30).to_bytes(4, "big")

    with pytest.raises(UndecodablePixels):
        decode(_with_frame(JPEG2000Lossless, bytes(frame)))


def test_the_plugin_is_known_once_however_often_it_is_registered() -> None:
    decoders.register()
    decoders.register()

    for syntax in (JPEGLossless, JPEGLSLossless, JPEG2000Lossless, HTJ2KLossless):
        assert is_available(syntax)
        assert get_decoder(syntax).available_plugins.count("imagecodecs") == 1

"""Stored values to grey as DCMTK shows them: every way in which a radiograph is written, each held to dcm2pnm."""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from pacs_ai.imaging.decoders import decode
from pacs_ai.imaging.pixels import display_size, grey_transform, to_display
from tests.builders import Stored, lookup_table, make_instance, part10, phantom

from .peers import shown_by_dcmtk

Make = Callable[[], Dataset]

ROWS, COLUMNS = 181, 159  # odd, so that 8 bit pixels end in a padding byte and no row is aligned


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way to write a radiograph, and how DCMTK is asked to show it.

    DCMTK cuts its grey down to a whole level, so that ours lies up to one level above; where it also cuts the rescaled
    value or the end of a window, up to one and a half, which is one level in the 8 bit of a picture.
    """

    make: Make
    options: tuple[str, ...] = ("+Wi", "1")
    command: str = "dcm2pnm"
    is_read_by_dcmtk: bool = True
    within: float = 1.001


def _stored(bits: int = 12) -> Stored:
    return phantom(ROWS, COLUMNS, bits=bits)


def _film(bits: int = 12, **changes: Any) -> Make:
    return lambda: make_instance(**{"stored": _stored(bits), "bits": bits, **changes})


def _encoded(syntax: UID, bits: int = 12, **changes: Any) -> Make:
    return _film(bits, syntax=syntax, **changes)


def _inverse(bits: int = 12, **changes: Any) -> Make:
    """A film in MONOCHROME1, whose air is stored as the highest values."""
    top = 2**bits - 1
    stored = (top - _stored(bits)).astype(np.uint8 if bits == 8 else np.uint16)
    stated = {"stored": stored, "PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}
    return _film(bits, **{**stated, **changes})


def _signed(bits: int = 12, **changes: Any) -> Make:
    """Two's complement around zero, which the rescale lifts back."""
    half = 2 ** (bits - 1)
    stored = (_stored(bits).astype(np.int32) - half).astype(np.int8 if bits == 8 else np.int16)
    return _film(bits, **{"stored": stored, "RescaleIntercept": str(half), **changes})


def _two_complement(syntax: UID, bits: int = 12) -> Make:
    """Signed values in a codestream that knows no sign."""
    half = 2 ** (bits - 1)
    stored = ((_stored(bits).astype(np.int32) - half) & (2**bits - 1)).astype(np.uint16)
    return _film(bits, stored=stored, syntax=syntax, PixelRepresentation=1, RescaleIntercept=str(half))


def _high(bits: int, syntax: UID = ExplicitVRLittleEndian, junk: int = 0) -> Make:
    """Values in the upper bits of each word, as old devices wrote them; `junk` below."""
    shift = 16 - bits
    return _film(bits, stored=(_stored(bits).astype(np.uint16) << shift) | junk, HighBit=15, syntax=syntax)


def _high_words(bits: int, syntax: UID) -> Make:
    """The same in a codestream of whole words, as DCMTK's encoders make of them."""
    words = _stored(bits).astype(np.uint16) << (16 - bits)
    window = {"WindowCenter": str(2 ** (bits - 1)), "WindowWidth": str(2**bits)}
    return _film(16, stored=words, syntax=syntax, BitsStored=bits, HighBit=15, **window)


def _gamma(count: int = 4096, top: int = 4095, power: float = 0.6) -> NDArray[np.uint16]:
    return np.rint(top * (np.arange(count) / (count - 1)) ** power).astype(np.uint16)


def _in_numbers(table: Dataset) -> Dataset:
    """The same table with its words written as numbers."""
    table.add_new("LUTData", "US", np.frombuffer(table.LUTData, "<u2").tolist())
    return table


def _voi_lut(*tables: Dataset, **changes: Any) -> Make:
    return _film(**{"WindowCenter": None, "WindowWidth": None, "VOILUTSequence": list(tables), **changes})


def _modality_lut(table: Dataset, **changes: Any) -> Make:
    table.ModalityLUTType = "US"
    return _film(modality="CR", ModalityLUTSequence=[table], **changes)


def _window(centre: str, width: str, function: str | None = None, make: Callable[..., Make] = _film) -> Make:
    return make(WindowCenter=centre, WindowWidth=width, VOILUTFunction=function)


def _padded(make: Callable[..., Make], value: int, limit: int | None = None, **changes: Any) -> Make:
    """The left of the film is padding, of which DCMTK shows what the window makes of it: black."""

    def build() -> Dataset:
        stored = make()().pixel_array.copy()
        stored[:, :30] = value if limit is None else np.linspace(value, limit, 30).astype(stored.dtype)
        instance = make(stored=stored, **changes)()
        instance.add_new("PixelPaddingValue", "SS" if stored.dtype.kind == "i" else "US", value)
        if limit is not None:
            instance.add_new("PixelPaddingRangeLimit", "US", limit)
        return instance

    return build


def _overlaid(*, is_in_pixels: bool) -> Make:
    """Stripes over the film: a plane of its own, or bit 12 of each pixel, as old devices wrote it (PS3.5 8.1.2)."""
    stripes = (np.indices((ROWS, COLUMNS))[0] % 7 == 0).astype(np.uint8)

    def build() -> Dataset:
        instance = make_instance(stored=_stored() | (stripes.astype(np.uint16) << 12) if is_in_pixels else _stored())
        instance.add_new(0x60000010, "US", ROWS)
        instance.add_new(0x60000011, "US", COLUMNS)
        instance.add_new(0x60000040, "CS", "G")
        instance.add_new(0x60000050, "SS", [1, 1])
        instance.add_new(0x60000100, "US", 16 if is_in_pixels else 1)
        instance.add_new(0x60000102, "US", 12 if is_in_pixels else 0)
        if not is_in_pixels:
            plane = np.packbits(stripes.ravel(), bitorder="little").tobytes()
            instance.add_new(0x60003000, "OW", plane + b"\0" * (len(plane) % 2))
        return instance

    return build


_WINDOW, _RANGE, _LUT = ("+Wi", "1"), ("+Wm",), ("+Wl", "1")
_J, _LS = "dcmj2pnm", "dcml2pnm"
_NONE = {"WindowCenter": None, "WindowWidth": None}

VARIANTS: dict[str, Variant] = {
    # How the pixels are encoded.
    "explicit VR, 12 bit": Variant(make=_film()),
    "explicit VR, 8 bit": Variant(make=_film(8)),
    "implicit VR, 12 bit": Variant(make=_encoded(ImplicitVRLittleEndian)),
    "implicit VR, 8 bit": Variant(make=_encoded(ImplicitVRLittleEndian, 8)),
    "big endian, 12 bit": Variant(make=_encoded(ExplicitVRBigEndian)),
    "big endian, 8 bit": Variant(make=_encoded(ExplicitVRBigEndian, 8)),
    "deflated, 12 bit": Variant(make=_encoded(DeflatedExplicitVRLittleEndian)),
    "deflated, 8 bit": Variant(make=_encoded(DeflatedExplicitVRLittleEndian, 8)),
    "RLE, 12 bit": Variant(make=_encoded(RLELossless)),
    "RLE, 8 bit": Variant(make=_encoded(RLELossless, 8)),
    "RLE, 16 bit": Variant(make=_encoded(RLELossless, 16)),
    "RLE, signed": Variant(make=_signed(syntax=RLELossless)),
    "JPEG baseline": Variant(make=_encoded(JPEGBaseline8Bit, 8), command=_J),
    "JPEG baseline, MONOCHROME1": Variant(make=_inverse(8, syntax=JPEGBaseline8Bit), command=_J),
    "JPEG extended, 12 bit": Variant(make=_encoded(JPEGExtended12Bit), command=_J),
    "JPEG lossless, 8 bit": Variant(make=_encoded(JPEGLossless, 8), command=_J),
    "JPEG lossless, 12 bit": Variant(make=_encoded(JPEGLossless), command=_J),
    "JPEG lossless, 16 bit": Variant(make=_encoded(JPEGLossless, 16), command=_J),
    "JPEG lossless SV1, 8 bit": Variant(make=_encoded(JPEGLosslessSV1, 8), command=_J),
    "JPEG lossless SV1, 12 bit": Variant(make=_encoded(JPEGLosslessSV1), command=_J),
    "JPEG lossless SV1, 16 bit": Variant(make=_encoded(JPEGLosslessSV1, 16), command=_J),
    "JPEG lossless SV1, signed": Variant(make=_two_complement(JPEGLosslessSV1), command=_J),
    "JPEG-LS, 8 bit": Variant(make=_encoded(JPEGLSLossless, 8), command=_LS),
    "JPEG-LS, 12 bit": Variant(make=_encoded(JPEGLSLossless), command=_LS),
    "JPEG-LS, 16 bit": Variant(make=_encoded(JPEGLSLossless, 16), command=_LS),
    "JPEG-LS, near lossless": Variant(make=_encoded(JPEGLSNearLossless), command=_LS),
    "JPEG 2000, 12 bit": Variant(make=_encoded(JPEG2000Lossless), is_read_by_dcmtk=False),
    "JPEG 2000, 8 bit, MONOCHROME1": Variant(make=_inverse(8, syntax=JPEG2000Lossless), is_read_by_dcmtk=False),
    "JPEG 2000, signed": Variant(make=_two_complement(JPEG2000Lossless), is_read_by_dcmtk=False),
    "JPEG 2000, lossy": Variant(make=_encoded(JPEG2000), is_read_by_dcmtk=False),
    "HTJ2K, 12 bit": Variant(make=_encoded(HTJ2KLossless), is_read_by_dcmtk=False),
    "HTJ2K, RPCL, 16 bit": Variant(make=_encoded(HTJ2KLosslessRPCL, 16), is_read_by_dcmtk=False),
    "HTJ2K, lossy": Variant(make=_encoded(HTJ2K), is_read_by_dcmtk=False),
    # Bits and signs.
    "10 bit": Variant(make=_film(10)),
    "14 bit": Variant(make=_film(14)),
    "16 bit": Variant(make=_film(16)),
    "6 bit in 8": Variant(make=_film(6, stored=_stored(8) >> 2)),
    "8 bit in 16": Variant(make=_film(8, stored=_stored(8).astype(np.uint16))),
    "junk in unused bits": Variant(make=_film(10, stored=(_stored(10) | 0xA800).astype(np.uint16))),
    "junk in unused bits, big endian": Variant(
        make=_film(10, stored=(_stored(10) | 0xA800).astype(np.uint16), syntax=ExplicitVRBigEndian)
    ),
    "junk in unused bits, signed": Variant(
        make=_film(
            stored=((_stored().astype(np.int32) - 2048) & 0x0FFF | 0x5000).astype(np.int16), RescaleIntercept="2048"
        )
    ),
    "upper bits": Variant(make=_high(12)),
    "upper bits, junk below": Variant(make=_high(10, junk=0x2A)),
    "upper bits, RLE": Variant(make=_high(12, RLELossless)),
    "upper bits, JPEG lossless": Variant(make=_high_words(12, JPEGLosslessSV1), command=_J),
    "upper bits, JPEG-LS": Variant(make=_high_words(10, JPEGLSLossless), command=_LS),
    "signed, 12 bit": Variant(make=_signed()),
    "signed, 16 bit": Variant(make=_signed(16)),
    "signed, 8 bit": Variant(make=_signed(8)),
    "signed, big endian": Variant(make=_signed(syntax=ExplicitVRBigEndian)),
    "signed, implicit VR": Variant(make=_signed(syntax=ImplicitVRLittleEndian)),
    "signed, window below zero": Variant(make=_signed(RescaleIntercept="0", WindowCenter="-300", WindowWidth="3000")),
    # Modality LUT and rescale.
    "CR without rescale": Variant(make=_film(modality="CR")),
    "slope of two": Variant(make=_film(RescaleSlope="2", WindowCenter="4096", WindowWidth="7000")),
    "slope of a fraction": Variant(
        make=_film(RescaleSlope="0.2442", RescaleIntercept="-13.7", WindowCenter="480.5", WindowWidth="871.3"),
        within=1.5,
    ),
    "negative slope": Variant(make=_film(RescaleSlope="-1", RescaleIntercept="4095")),
    "Modality LUT": Variant(make=_modality_lut(lookup_table(_gamma(), 12))),
    "Modality LUT of 8 bit": Variant(
        make=_modality_lut(lookup_table(_gamma(4096, 255), 8), WindowCenter="128", WindowWidth="220")
    ),
    "Modality LUT of 8 bit, two to a number": Variant(
        make=_modality_lut(
            _in_numbers(lookup_table(_gamma(4096, 255), 8, is_packed=True)), WindowCenter="128", WindowWidth="220"
        )
    ),
    "Modality LUT of a part of the values": Variant(make=_modality_lut(lookup_table(_gamma(2000), 12, first=900))),
    # Windows.
    "two windows": Variant(make=_film(WindowCenter=["2048", "1500"], WindowWidth=["3600", "900"])),
    "narrow window": Variant(make=_window("2500", "300")),
    "window of one": Variant(make=_window("2500", "1")),
    "window of two": Variant(make=_window("2500", "2")),
    "window wider than the values": Variant(make=_window("2048", "9000")),
    "window beside most values": Variant(make=_window("4000", "3000")),
    "window of fractions": Variant(make=_window("2047.5", "3333.25")),
    "LINEAR, said": Variant(make=_window("2048", "3000", "LINEAR")),
    "SIGMOID": Variant(make=_window("2048", "3600", "SIGMOID")),
    "SIGMOID, narrow": Variant(make=_window("2300", "400", "SIGMOID")),
    "LINEAR_EXACT": Variant(make=_window("2048", "3600", "LINEAR_EXACT")),
    "LINEAR_EXACT, narrow": Variant(make=_window("2300", "400", "LINEAR_EXACT")),
    "LINEAR_EXACT of one": Variant(make=_window("2500.5", "1", "LINEAR_EXACT")),
    "8 bit, SIGMOID": Variant(make=_film(8, WindowCenter="120", WindowWidth="150", VOILUTFunction="SIGMOID")),
    "16 bit, narrow window": Variant(make=_film(16, WindowCenter="40000", WindowWidth="9000")),
    "no window": Variant(make=_film(**_NONE), options=_RANGE),
    "no window, 8 bit": Variant(make=_film(8, **_NONE), options=_RANGE),
    "no window, signed": Variant(make=_signed(**_NONE), options=_RANGE),
    "no window, rescaled": Variant(
        make=_film(RescaleSlope="0.5", RescaleIntercept="-100", **_NONE), options=_RANGE, within=1.5
    ),
    "no window, part of the range": Variant(
        make=_film(stored=(_stored() // 3 + 700).astype(np.uint16), **_NONE), options=_RANGE
    ),
    "no window, Modality LUT": Variant(make=_modality_lut(lookup_table(_gamma(), 12), **_NONE), options=_RANGE),
    # VOI LUTs.
    "VOI LUT, 12 bit": Variant(make=_voi_lut(lookup_table(_gamma(), 12)), options=_LUT),
    "VOI LUT, 16 bit": Variant(make=_voi_lut(lookup_table(_gamma(4096, 65535), 16)), options=_LUT),
    "VOI LUT, 8 bit in words": Variant(make=_voi_lut(lookup_table(_gamma(4096, 255), 8)), options=_LUT),
    "VOI LUT, 8 bit in bytes": Variant(make=_voi_lut(lookup_table(_gamma(4096, 255), 8, is_packed=True)), options=_LUT),
    "VOI LUT of a part of the values": Variant(make=_voi_lut(lookup_table(_gamma(2000), 12, first=900)), options=_LUT),
    "VOI LUT, signed": Variant(
        make=_signed(RescaleIntercept="0", VOILUTSequence=[lookup_table(_gamma(), 12, first=-2048, vr="SS")], **_NONE),
        options=_LUT,
    ),
    "VOI LUT, signed, implicit VR": Variant(
        make=_signed(
            RescaleIntercept="0",
            syntax=ImplicitVRLittleEndian,
            VOILUTSequence=[lookup_table(_gamma(), 12, first=-2048, vr="SS")],
            **_NONE,
        ),
        options=_LUT,
    ),
    "VOI LUT, signed and said to be unsigned": Variant(
        make=_signed(RescaleIntercept="0", VOILUTSequence=[lookup_table(_gamma(), 12, first=63488)], **_NONE),
        options=_LUT,
    ),
    "VOI LUT, signed, of 40000 entries": Variant(
        make=_signed(
            16,
            RescaleIntercept="0",
            VOILUTSequence=[lookup_table(_gamma(40000, 65535), 16, first=-20000, vr="SS")],
            **_NONE,
        ),
        options=_LUT,
    ),
    "VOI LUT, signed, of 40000 entries, implicit VR": Variant(
        make=_signed(
            16,
            RescaleIntercept="0",
            syntax=ImplicitVRLittleEndian,
            VOILUTSequence=[lookup_table(_gamma(40000, 65535), 16, first=-20000, vr="SS")],
            **_NONE,
        ),
        options=_LUT,
    ),
    "Modality LUT, signed, of 40000 entries, implicit VR": Variant(
        make=_signed(
            16,
            modality="CR",
            RescaleIntercept=None,
            RescaleSlope=None,
            syntax=ImplicitVRLittleEndian,
            ModalityLUTSequence=[lookup_table(_gamma(40000), 12, first=-20000, vr="SS")],
            WindowCenter="2048",
            WindowWidth="3600",
        ),
    ),
    "VOI LUT below zero after a rescale": Variant(
        make=_voi_lut(lookup_table(_gamma(), 12, first=-1000, vr="SS"), RescaleIntercept="-1000"), options=_LUT
    ),
    "VOI LUT below zero after a rescale, implicit VR": Variant(
        make=_voi_lut(
            lookup_table(_gamma(), 12, first=-1000, vr="SS"), RescaleIntercept="-1000", syntax=ImplicitVRLittleEndian
        ),
        options=_LUT,
    ),
    "VOI LUT that begins above 32767": Variant(
        make=_voi_lut(lookup_table(_gamma(20000), 12, first=40000), bits=16, stored=_stored(16)), options=_LUT
    ),
    "VOI LUT that begins above 32767, signed values lifted": Variant(
        make=_signed(
            16,
            RescaleIntercept="32768",
            syntax=ImplicitVRLittleEndian,
            VOILUTSequence=[lookup_table(_gamma(20000), 12, first=40000)],
            **_NONE,
        ),
        options=_LUT,
    ),
    "VOI LUT, big endian": Variant(
        make=_voi_lut(lookup_table(_gamma(), 12, is_big_endian=True), syntax=ExplicitVRBigEndian), options=_LUT
    ),
    "VOI LUT, 8 bit in bytes, big endian": Variant(
        make=_voi_lut(
            lookup_table(_gamma(4096, 255), 8, is_packed=True, is_big_endian=True), syntax=ExplicitVRBigEndian
        ),
        options=_LUT,
    ),
    "VOI LUT, 8 bit, two to a number": Variant(
        make=_voi_lut(_in_numbers(lookup_table(_gamma(4096, 255), 8, is_packed=True))), options=_LUT
    ),
    "VOI LUT, 8 bit, two to a number, big endian": Variant(
        make=_voi_lut(_in_numbers(lookup_table(_gamma(4096, 255), 8, is_packed=True)), syntax=ExplicitVRBigEndian),
        options=_LUT,
    ),
    "VOI LUT after a Modality LUT": Variant(
        make=_modality_lut(lookup_table(_gamma(), 12), VOILUTSequence=[lookup_table(_gamma(power=1.6), 12)], **_NONE),
        options=_LUT,
    ),
    "VOI LUT after a rescale": Variant(
        make=_voi_lut(lookup_table(_gamma(), 12), RescaleSlope="0.5", RescaleIntercept="100"), options=_LUT
    ),
    "VOI LUT of 65536 entries": Variant(
        make=_voi_lut(lookup_table(_gamma(65536, 65535), 16), bits=16, stored=_stored(16)), options=_LUT
    ),
    "VOI LUT and window": Variant(make=_film(VOILUTSequence=[lookup_table(_gamma(), 12)]), options=_LUT),
    "two VOI LUTs": Variant(
        make=_voi_lut(lookup_table(_gamma(), 12), lookup_table(_gamma(power=3.0), 12)), options=_LUT
    ),
    # Polarity.
    "MONOCHROME1 and INVERSE": Variant(make=_inverse()),
    "MONOCHROME1 alone": Variant(make=_inverse(PresentationLUTShape=None)),
    "CR, MONOCHROME1": Variant(make=_inverse(modality="CR", PresentationLUTShape=None)),
    "MONOCHROME2 and INVERSE": Variant(make=_film(PresentationLUTShape="INVERSE")),
    "MONOCHROME1 and IDENTITY": Variant(make=_inverse(PresentationLUTShape="IDENTITY")),
    "MONOCHROME1 and a shape of film": Variant(make=_inverse(PresentationLUTShape="LIN OD")),
    "CR, MONOCHROME1 and IDENTITY, no window": Variant(
        make=_inverse(modality="CR", PresentationLUTShape="IDENTITY", **_NONE), options=_RANGE
    ),
    "MONOCHROME1, SIGMOID": Variant(make=_window("2048", "2000", "SIGMOID", _inverse)),
    "MONOCHROME1, LINEAR_EXACT": Variant(make=_window("2048", "2000", "LINEAR_EXACT", _inverse), within=1.5),
    "MONOCHROME1, window of one": Variant(make=_window("1500", "1", make=_inverse)),
    "MONOCHROME1, no window": Variant(make=_inverse(**_NONE), options=_RANGE),
    "MONOCHROME1, VOI LUT": Variant(make=_inverse(VOILUTSequence=[lookup_table(_gamma(), 12)], **_NONE), options=_LUT),
    "MONOCHROME1, Modality LUT": Variant(
        make=_inverse(modality="CR", PresentationLUTShape=None, ModalityLUTSequence=[lookup_table(_gamma(), 12)])
    ),
    "MONOCHROME1, 8 bit": Variant(make=_inverse(8)),
    "MONOCHROME1, signed": Variant(
        make=_signed(PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE")
    ),
    "MONOCHROME1, RLE": Variant(make=_inverse(syntax=RLELossless)),
    # Overlays are drawn over a film, and are no part of it.
    "overlay": Variant(make=_overlaid(is_in_pixels=False), options=("-O", *_WINDOW)),
    "overlay in unused bits": Variant(make=_overlaid(is_in_pixels=True), options=("-O", *_WINDOW)),
    # Padding: what DCMTK shows as its window says is black here in any case.
    "padding": Variant(make=_padded(_film, 0)),
    "padding, a range": Variant(make=_padded(_film, 0, 40)),
    "padding, signed": Variant(make=_padded(_signed, -2048)),
    "padding, MONOCHROME1": Variant(make=_padded(_inverse, 4095)),
    "padding that does not occur": Variant(
        make=_film(stored=np.minimum(_stored(), 4000).astype(np.uint16), PixelPaddingValue=4095)
    ),
}


def _as_dcmtk_reads(instance: Dataset, stored: Stored) -> Dataset:
    """The same film uncompressed, for a syntax that DCMTK does not know."""
    instance.PixelData = stored.tobytes()
    instance["PixelData"].VR = "OB" if stored.dtype.itemsize == 1 else "OW"
    instance["PixelData"].is_undefined_length = False
    instance.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return instance


@pytest.mark.parametrize("name", VARIANTS)
def test_the_grey_is_what_dcmtk_shows(name: str, tmp_path: Path) -> None:
    variant = VARIANTS[name]
    instance = variant.make()
    image = dcmread(BytesIO(part10(instance)))

    stored = decode(image)
    grey = grey_transform(image, stored).grey(stored)

    if not variant.is_read_by_dcmtk:
        instance = _as_dcmtk_reads(instance, stored)
    shown = shown_by_dcmtk(instance, tmp_path, command=variant.command, options=list(variant.options))
    assert np.ptp(shown) > 100
    assert np.abs(np.rint(grey * 255) - shown).max() <= 1
    assert np.abs(grey * 255 - shown).max() <= variant.within


@pytest.mark.parametrize("level", [0, 1000, 2048, 4095])
@pytest.mark.parametrize("make", [_film, _inverse])
def test_a_film_of_one_grey_is_what_dcmtk_shows(make: Callable[..., Make], level: int, tmp_path: Path) -> None:
    instance = make(stored=np.full((ROWS, COLUMNS), level, np.uint16))()
    image = dcmread(BytesIO(part10(instance)))

    grey = grey_transform(image, decode(image)).grey(decode(image))

    shown = shown_by_dcmtk(instance, tmp_path, command="dcm2pnm", options=["+Wi", "1"])
    assert np.abs(grey * 255 - shown).max() <= 1.001


@pytest.mark.parametrize(
    "stated",
    [
        {"PixelSpacing": [0.2, 0.1]},
        {"PixelSpacing": [0.125, 0.1875]},
        {"PixelSpacing": None, "ImagerPixelSpacing": [0.1, 0.2]},
        {"PixelSpacing": None, "ImagerPixelSpacing": None, "NominalScannedPixelSpacing": [0.375, 0.25]},
        {"PixelSpacing": None, "ImagerPixelSpacing": None, "PixelAspectRatio": ["5", "4"]},
    ],
    ids=str,
)
def test_pixels_that_are_not_square_are_shown_in_the_shape_that_dcmtk_gives_them(
    stated: dict[str, Any], tmp_path: Path
) -> None:
    y, x = np.mgrid[0:200, 0:180]
    smooth = np.rint(2000 + 900 * np.sin(y / 25) + 900 * np.cos(x / 20)).astype(np.uint16)
    instance = make_instance(stored=smooth, **stated)
    image = dcmread(BytesIO(part10(instance)))
    rows, columns = display_size(image, max_side=1024)

    shown = to_display(grey_transform(image, smooth), smooth, (rows, columns))

    # Each of the two keeps the side that has the fine pixels.
    scaling = ["+Sxf", "1"] if columns == 180 else ["+Syf", "1"]
    dcmtk = shown_by_dcmtk(
        instance, tmp_path, command="dcm2pnm", options=["+Wi", "1", "+a", "+i", "3", *scaling], size=(rows, columns)
    )
    assert np.abs(shown.astype(int) - dcmtk).max() <= 4
    assert np.abs(shown.astype(int) - dcmtk).mean() <= 1

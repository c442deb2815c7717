"""Each transfer syntax tried out: a small frame is encoded, read as a file, and decoded as a radiograph is."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    ComputedRadiographyImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
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

from .decoders import DECODABLE, decode, register

Stored = NDArray[Any]

_ENCODE: dict[UID, Callable[[Stored], bytes | bytearray]] = {
    JPEGBaseline8Bit: lambda stored: imagecodecs.jpeg_encode(stored, level=95),
    JPEGExtended12Bit: lambda stored: imagecodecs.jpeg_encode(stored, level=95, bitspersample=12),
    JPEGLossless: lambda stored: imagecodecs.jpeg_encode(stored, lossless=True, predictor=6, bitspersample=12),
    JPEGLosslessSV1: lambda stored: imagecodecs.jpeg_encode(stored, lossless=True, predictor=1, bitspersample=12),
    JPEGLSLossless: imagecodecs.jpegls_encode,
    JPEGLSNearLossless: lambda stored: imagecodecs.jpegls_encode(stored, level=2),
    JPEG2000Lossless: lambda stored: imagecodecs.jpeg2k_encode(
        stored, codecformat="J2K", reversible=True, level=0, bitspersample=12
    ),
    JPEG2000: lambda stored: imagecodecs.jpeg2k_encode(
        stored, codecformat="J2K", reversible=False, level=60, bitspersample=12
    ),
    **dict.fromkeys((HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K), imagecodecs.htj2k_encode),
}
_LOSSY = {JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000, HTJ2K}
_LOSS = 0.02  # of the range; a wrong codec is off by far more


def untried() -> set[UID]:
    """The transfer syntaxes that are decoded and that no trial covers."""
    return {syntax for syntax in DECODABLE if syntax.is_encapsulated} - {*_ENCODE, RLELossless}


def try_out(syntax: UID) -> str | None:
    """Why the transfer syntax cannot be decoded here, None when it can."""
    register()
    stored = _ramp(8 if syntax == JPEGBaseline8Bit else 12)
    try:
        decoded = decode(dcmread(_file(stored, syntax)))
    except (UndecodablePixels, RuntimeError, ValueError, OSError, ImportError) as error:
        return f"{type(error).__name__}: {error}"
    loss = float(np.abs(decoded.astype(int) - stored.astype(int)).max()) / float(stored.max())
    if loss > (_LOSS if syntax in _LOSSY else 0):
        return f"what comes out differs from what went in by {loss:.1%} of the range"
    return None


def _ramp(bits: int) -> Stored:
    rows, columns = np.mgrid[0:64, 0:48]
    top = 2**bits - 1
    ramp: Stored = np.rint((rows + columns) / 110 * top).astype(np.uint8 if bits == 8 else np.uint16)
    return ramp


def _file(stored: Stored, syntax: UID) -> BytesIO:
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = syntax
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = UID("2.25.1")
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.Rows, image.Columns = stored.shape
    image.BitsAllocated = stored.dtype.itemsize * 8
    image.BitsStored = 8 if stored.dtype.itemsize == 1 else 12
    image.HighBit, image.PixelRepresentation = image.BitsStored - 1, 0
    _put_pixels(image, stored, syntax)
    file = BytesIO()
    image.save_as(file, enforce_file_format=True)
    file.seek(0)
    return file


def _put_pixels(image: Dataset, stored: Stored, syntax: UID) -> None:
    if syntax in _ENCODE:
        image.PixelData = encapsulate([bytes(_ENCODE[syntax](stored))])
        image["PixelData"].VR = "OB"
        image["PixelData"].is_undefined_length = True
        return
    words = stored.dtype.newbyteorder(">" if syntax == ExplicitVRBigEndian else "<")
    image.PixelData = stored.astype(words).tobytes()
    image["PixelData"].VR = "OW"
    if syntax == RLELossless:
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.compress(RLELossless, generate_instance_uid=False)

"""Compressed frames to stored values: imagecodecs as a plugin of pydicom's decoders; no GPL, no GDCM."""

import struct
import zlib
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import DecodeRunner, get_decoder
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

from pacs_ai.errors import UndecodablePixels

_PLUGIN = "imagecodecs"
_DECODE: dict[UID, Callable[[bytes], NDArray[Any]]] = {
    **dict.fromkeys((JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1), imagecodecs.jpeg_decode),
    **dict.fromkeys((JPEGLSLossless, JPEGLSNearLossless), imagecodecs.jpegls_decode),
    **dict.fromkeys((JPEG2000Lossless, JPEG2000), imagecodecs.jpeg2k_decode),
    **dict.fromkeys((HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K), imagecodecs.htj2k_decode),
}
UNCOMPRESSED = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
DECODABLE = (*UNCOMPRESSED, RLELossless, *_DECODE)

# pydicom looks these up by name on the module that holds a plugin.
DECODER_DEPENDENCIES = dict.fromkeys(_DECODE, ("imagecodecs",))

# Everything that a codec or pydicom raises on damaged pixel data; a fault of ours would show as another.
_DAMAGE = (
    ValueError,
    RuntimeError,
    AttributeError,
    TypeError,
    IndexError,
    KeyError,
    NotImplementedError,
    EOFError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
)


def is_available(syntax: str) -> bool:
    """Whether this plugin decodes the transfer syntax."""
    return syntax in _DECODE


def register() -> None:
    """The plugin is known to pydicom; calling it twice changes nothing."""
    for syntax in _DECODE:
        decoder = get_decoder(syntax)
        if _PLUGIN not in decoder.available_plugins:
            decoder.add_plugin(_PLUGIN, (__name__, "decode_frame"))


def decode_frame(frame: bytes, runner: DecodeRunner) -> bytearray:
    """One frame as the raw bytes that pydicom expects; ValueError when the codestream is not what the header says."""
    if runner.samples_per_pixel != 1:
        message = "only grey images are decoded here"
        raise ValueError(message)
    stored = _DECODE[runner.transfer_syntax](frame)
    if stored.shape != (runner.rows, runner.columns):
        message = f"the codestream holds {stored.shape}, the header says {(runner.rows, runner.columns)}"
        raise ValueError(message)
    runner.set_option("bits_allocated", stored.dtype.itemsize * 8)
    return bytearray(np.ascontiguousarray(stored))


def decode(image: Dataset) -> NDArray[Any]:
    """The stored values of a single-frame grey image, (rows, columns), unused bits cleared and sign applied.

    Raises UndecodablePixels, with the cause in words, for anything that is not such an image.
    """
    syntax = image.file_meta.get("TransferSyntaxUID", ImplicitVRLittleEndian)
    if syntax not in DECODABLE:
        message = f"Transfer syntax {syntax} is not decoded here."
        raise UndecodablePixels(message)
    if "PixelData" not in image:
        message = "There is no Pixel Data."
        raise UndecodablePixels(message)
    try:
        _check_codestream(image, syntax)
        plugin = _PLUGIN if syntax in _DECODE else ""
        stored, _ = get_decoder(syntax).as_array(image, raw=True, index=0, decoding_plugin=plugin)
    except _DAMAGE as error:
        message = f"The pixel data cannot be decoded ({type(error).__name__})."
        raise UndecodablePixels(message) from error
    if stored.shape != (image.Rows, image.Columns):
        message = f"The pixel data holds {stored.shape}, the header says {(image.Rows, image.Columns)}."
        raise UndecodablePixels(message)
    return stored.astype(stored.dtype.newbyteorder("="), copy=False)


def _check_codestream(image: Dataset, syntax: str) -> None:
    # Before the codec sees it: a codestream may announce an image that fills the memory.
    if syntax not in _DECODE:
        return
    announced = codestream_size(get_frame(image.PixelData, 0, number_of_frames=1))
    if announced is not None and announced != (image.Rows, image.Columns):
        message = f"the codestream announces {announced}, the header says {(image.Rows, image.Columns)}"
        raise ValueError(message)


def codestream_size(frame: bytes) -> tuple[int, int] | None:
    """(rows, columns) that a JPEG (SOFn, ISO 10918-1 B.2.2) or JPEG 2000 (SIZ, ISO 15444-1 A.5.1) frame announces."""
    if frame[:2] == b"\xff\x4f":
        right, bottom, left, top = struct.unpack_from(">4I", frame, 8)
        return bottom - top, right - left
    position = 2 if frame[:2] == b"\xff\xd8" else len(frame)
    while position + 9 <= len(frame) and frame[position] == 0xFF:
        marker, length = frame[position + 1], int.from_bytes(frame[position + 2 : position + 4])
        # SOF0..SOF15 without DHT, JPG and DAC; SOF55 is JPEG-LS.
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}):
            rows, columns = struct.unpack_from(">2H", frame, position + 5)
            return rows, columns
        position += 2 + length
    return None

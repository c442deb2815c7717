"""Compressed frames to stored values: imagecodecs as a plugin of pydicom's decoders; no GPL, no GDCM."""

import struct
import zlib
from collections.abc import Callable
from functools import partial
from itertools import pairwise
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

from pacs_ai.errors import LimitExceeded, UndecodablePixels
from pacs_ai.header import number, quietly

from .codestream import Codestream, read_codestream

_PLUGIN = "imagecodecs"
_DECODE: dict[UID, Callable[[bytes], NDArray[Any]]] = {
    **dict.fromkeys((JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1), imagecodecs.jpeg_decode),
    **dict.fromkeys((JPEGLSLossless, JPEGLSNearLossless), imagecodecs.jpegls_decode),
    # The slowest of all; two threads halve the wait where a core is idle, and cost nothing where none is.
    **dict.fromkeys((JPEG2000Lossless, JPEG2000), partial(imagecodecs.jpeg2k_decode, numthreads=2)),
    **dict.fromkeys((HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K), imagecodecs.htj2k_decode),
}
UNCOMPRESSED = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
DECODABLE = (*UNCOMPRESSED, RLELossless, *_DECODE)

_PLUGGED = (*_DECODE, RLELossless)

# Unused bits and signs are ours: pydicom has another rule for each family, and copies uncompressed pixels for them.
_AS_THEY_ARE: dict[str, Any] = {
    "view_only": True,
    "correct_unused_bits": False,
    "apply_j2k_sign_correction": False,
    "apply_jls_sign_correction": False,
}

# Extended Offset Table and its lengths: one frame needs none, and they may point away from the codestream looked at.
_EXTENDED_OFFSETS = (0x7FE00001, 0x7FE00002)

# pydicom looks these up by name on the module that holds a plugin.
DECODER_DEPENDENCIES = dict.fromkeys(_DECODE, ("imagecodecs",))

_END = b"\xff\xd9"  # EOI of JPEG and JPEG-LS, EOC of JPEG 2000

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
    struct.error,
    zlib.error,
)


def is_available(syntax: str) -> bool:
    """Whether this plugin decodes the transfer syntax."""
    return syntax in _PLUGGED


def register() -> None:
    """The plugin is known to pydicom; calling it twice changes nothing."""
    for syntax in _PLUGGED:
        decoder = get_decoder(syntax)
        if _PLUGIN not in decoder.available_plugins:
            decoder.add_plugin(_PLUGIN, (__name__, "decode_frame"))


def decode_frame(frame: bytes, runner: DecodeRunner) -> memoryview:
    """One frame as the raw bytes that pydicom expects; ValueError when the codestream is not what the header says."""
    if runner.samples_per_pixel != 1:
        message = "only grey images are decoded here"
        raise ValueError(message)
    syntax = runner.transfer_syntax
    stored = _decode_rle(frame, runner) if syntax == RLELossless else _DECODE[syntax](frame)
    if stored.shape != (runner.rows, runner.columns):
        message = f"the codestream holds {stored.shape}, the header says {(runner.rows, runner.columns)}"
        raise ValueError(message)
    runner.set_option("bits_allocated", stored.dtype.itemsize * 8)
    # A codestream may have more bits than the header, or fewer; the sign is in the highest that both have.
    precision = runner.get_option("j2k_precision") or runner.get_option("jls_precision")
    runner.set_option("bits_stored", min(precision or runner.bits_stored, runner.bits_stored))
    return np.ascontiguousarray(stored).ravel().view(np.uint8).data


def _decode_rle(frame: bytes, runner: DecodeRunner) -> NDArray[Any]:
    """PackBits segments, one for each byte of a sample, the most significant first (PS3.5 G)."""
    count = int.from_bytes(frame[:4], "little")
    if count != runner.bits_allocated // 8:
        message = f"{count} RLE segments for {runner.bits_allocated} bits allocated"
        raise ValueError(message)
    offsets = [*struct.unpack_from(f"<{count}I", frame, 4), len(frame)]
    pixels = runner.rows * runner.columns
    planes = []
    for start, end in pairwise(offsets):
        plane = imagecodecs.packbits_decode(frame[start:end])
        # A segment of odd length is padded by one byte, which may decode to one more (PS3.5 G.3.1).
        if not pixels <= len(plane) <= pixels + 1:
            message = f"an RLE segment holds {len(plane)} of {pixels} bytes"
            raise ValueError(message)
        planes.append(np.frombuffer(plane, np.uint8, pixels))
    stored = np.stack(planes[::-1], axis=-1).view(f"<u{count}")
    return stored.reshape(runner.rows, runner.columns)


def decode(image: Dataset) -> NDArray[Any]:
    """The stored values of a single-frame grey image, (rows, columns), unused bits cleared and sign applied.

    They may be a view of the pixel data, which is not to be written to.

    Raises UndecodablePixels, with the cause in words, for anything that is not such an image, LimitExceeded where there
    is not enough memory for it.
    """
    syntax = transfer_syntax(image)
    if syntax not in DECODABLE:
        message = f"Transfer syntax {syntax} is not decoded here."
        raise UndecodablePixels(message)
    if "PixelData" not in image:
        message = "There is no Pixel Data."
        raise UndecodablePixels(message)
    for tag in _EXTENDED_OFFSETS:
        image.pop(tag, None)
    try:
        with quietly():
            precision = _checked_precision(image, syntax)
            plugin = _PLUGIN if syntax in _PLUGGED else ""
            decoder = get_decoder(syntax)
            found, said = decoder.as_array(image, raw=True, index=0, decoding_plugin=plugin, **_AS_THEY_ARE)
            native = found.astype(found.dtype.newbyteorder("="), copy=False)
            stored = _used_bits(native, int(said["bits_stored"]), below=_unused_below(image, precision))
    except MemoryError as error:
        message = "Decoding the pixel data takes more memory than it may have (ingest.decoder_memory_mb)."
        raise LimitExceeded(message) from error
    except _DAMAGE as error:
        message = f"The pixel data cannot be decoded ({type(error).__name__})."
        raise UndecodablePixels(message) from error
    if stored.shape != (image.Rows, image.Columns):
        message = f"The pixel data holds {stored.shape}, the header says {(image.Rows, image.Columns)}."
        raise UndecodablePixels(message)
    return stored


def transfer_syntax(image: Dataset) -> str:
    """The transfer syntax that the file meta information states, or, where it is silent, the one that was detected."""
    stated = image.file_meta.get("TransferSyntaxUID")
    if stated:
        return str(stated)
    _, is_little_endian = image.original_encoding
    return ExplicitVRBigEndian if is_little_endian is False else ExplicitVRLittleEndian


def _unused_below(image: Dataset, precision: int | None) -> int:
    # Older editions let a sample lie anywhere in its word, as High Bit says (PS3.5 8.1.1). A codestream holds samples,
    # or, when it has the precision for them, whole words.
    high_bit = number(image, "HighBit")
    if high_bit is None or (precision is not None and precision <= high_bit):
        return 0
    return max(0, int(high_bit) + 1 - int(image.BitsStored))


def _used_bits(words: NDArray[Any], bits: int, *, below: int) -> NDArray[Any]:
    """The samples of `bits` bits, above `below` unused ones; a copy only where unused bits hold something."""
    above = words.dtype.itemsize * 8 - bits - below
    if above < 0:
        message = f"High Bit lies outside of words of {words.dtype.itemsize} bytes"
        raise ValueError(message)
    half = 2 ** (bits - 1)
    lowest, highest = (-half, half - 1) if words.dtype.kind == "i" else (0, 2 * half - 1)
    if below == 0 and lowest <= words.min() and words.max() <= highest:
        return words
    return np.asarray((words << above) >> (above + below), words.dtype)


def _checked_precision(image: Dataset, syntax: str) -> int | None:
    """The bits of a sample in the codestream, 0 where it does not say, None of pixels that are in none."""
    if syntax in _DECODE:
        codestream = _check_codestream(image)
        return codestream.precision if codestream else 0
    if syntax in UNCOMPRESSED:
        _check_length(image)
    return None


def _check_length(image: Dataset) -> None:
    # Devices pad the end, though by less than a row; pydicom reports what is missing.
    row = image.Columns * (image.BitsAllocated // 8)
    expected = image.Rows * row
    if len(image.PixelData) >= expected + max(row, 2):
        message = f"there are {len(image.PixelData)} bytes of pixels, the header says {expected}"
        raise ValueError(message)


def _check_codestream(image: Dataset) -> Codestream | None:
    # Before the codec sees it: a codestream may announce an image that fills the memory.
    frame = get_frame(image.PixelData, 0, number_of_frames=1)
    codestream = read_codestream(frame)
    announced = (codestream.rows, codestream.columns) if codestream else None
    if announced is not None and announced != (image.Rows, image.Columns):
        message = f"the codestream announces {announced}, the header says {(image.Rows, image.Columns)}"
        raise ValueError(message)
    # Below zero the values would come out as the highest ones (PS3.5 8.2.4 has the two agree).
    if codestream and codestream.is_signed and image.PixelRepresentation == 0:
        message = "the codestream is signed, the header says that it is not"
        raise ValueError(message)
    # Most codecs fill up what is missing and say nothing; EOI and EOC are the same marker, padding may follow.
    if _END not in frame.rstrip(b"\0")[-16:]:
        message = "the codestream has no end"
        raise ValueError(message)
    return codestream

"""From stored values to grey: Modality LUT, VOI LUT or window, polarity once; PS3.4 N.2, PS3.3 C.11.1 and C.11.2."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pacs_ai.findings import ModelInput
from pacs_ai.header import items, number, numbers, text, value

from .geometry import shrink, to_network_scale
from .shutter import Shutter, display_shutter

# Raised when the same stored values come to other greys, here, in `geometry` or in `shutter`; a test pins them.
PIPELINE_VERSION = "3"
Stored = NDArray[Any]
Unit = NDArray[np.float32]
_TABLED = (np.uint8, np.uint16, np.int16)
Modality = Callable[[Stored], NDArray[np.float32]]
Mapping = Callable[[NDArray[np.float32]], Unit]


@dataclass(frozen=True, slots=True, kw_only=True)
class GreyTransform:
    """How the stored values of one image become grey: `modality`, then `voi` to 0..1, then the polarity.

    The shutter is laid over the finished picture, in the size in which it is needed.
    """

    modality: Modality
    voi: Mapping
    is_inverted: bool
    padding: tuple[int, int] | None
    shutter: Shutter | None

    def grey(self, stored: Stored) -> Unit:
        """float32 of the same shape in 0..1, 0 = black; padding is black."""
        unit = np.clip(self.voi(self.modality(stored)), 0.0, 1.0).astype(np.float32, copy=False)
        if self.is_inverted:
            unit = 1.0 - unit
        if self.padding is not None:
            unit[_is_padding(stored, self.padding)] = 0.0
        return unit


def grey_transform(header: Dataset, stored: Stored) -> GreyTransform:
    """The transform that the header asks for; without a VOI, the range of the stored values that are to be seen."""
    padding = _padding(header, stored)
    modality = _modality(header)
    vertical, horizontal = _pixel_aspect(header)
    shutter = display_shutter(header, aspect=vertical / horizontal)
    return GreyTransform(
        modality=modality,
        voi=_voi_lut(header, modality) or _window(header) or _full_range(_shown(stored, padding, shutter), modality),
        is_inverted=_is_inverted(header),
        padding=padding,
        shutter=shutter,
    )


def grey_at(transform: GreyTransform, stored: Stored, rows: int, columns: int) -> Unit:
    """The image at rows x columns as 0..1, without its shutter.

    Resized before the mathematics, which then runs on the small image; only where padding would bleed into
    the film's edge is the whole image transformed first.
    """
    if transform.padding is not None:
        return shrink(transform.grey(stored), rows, columns)
    return transform.grey(shrink(_resizable(stored), rows, columns))


def to_model_input(transform: GreyTransform, stored: Stored, size: int) -> ModelInput:
    """What the network reads: (size, size, 1), black outside of the shutter whatever grey it has for the eye."""
    grey = grey_at(transform, stored, size, size)
    if transform.shutter is not None:
        grey[~transform.shutter.is_open(size, size)] = 0.0
    return ModelInput(pixels=to_network_scale(grey))


def display_size(header: Dataset, *, max_side: int) -> tuple[int, int]:
    """(rows, columns) with square pixels and the longer side at most `max_side` (PS3.3 C.7.6.3.1.7)."""
    rows, columns = int(number(header, "Rows") or 1), int(number(header, "Columns") or 1)
    vertical, horizontal = _pixel_aspect(header)
    height, width = rows * vertical, columns * horizontal
    scale = min(1.0, max_side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def to_display(transform: GreyTransform, stored: Stored, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The image as a viewer shows it, uint8 at (rows, columns)."""
    shown = _in_levels(transform, stored, size)
    if transform.shutter is not None:
        shown[~transform.shutter.is_open(*size)] = round(transform.shutter.level * 255)
    return shown


def _in_levels(transform: GreyTransform, stored: Stored, size: tuple[int, int]) -> NDArray[np.uint8]:
    if transform.padding is not None or stored.dtype not in _TABLED:
        return np.rint(grey_at(transform, stored, *size) * 255).astype(np.uint8)
    # Each stored value is transformed once, instead of each pixel.
    small = shrink(stored, *size)
    lowest, highest = int(small.min()), int(small.max())
    every = np.arange(lowest, highest + 1).astype(stored.dtype)
    levels = np.rint(transform.grey(every) * 255).astype(np.uint8)
    return levels[small.astype(np.intp) - lowest]


def _pixel_aspect(header: Dataset) -> tuple[float, float]:
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio"):
        found = numbers(header, keyword)
        if len(found) == 2 and min(found) > 0:
            smaller = min(found)
            return found[0] / smaller, found[1] / smaller
    return 1.0, 1.0


def _resizable(stored: Stored) -> Stored:
    # OpenCV averages 8 and 16 bit integers; the rare others go through float.
    return stored if stored.dtype in (np.uint8, np.uint16, np.int16) else stored.astype(np.float32)


def _modality(header: Dataset) -> Modality:
    is_signed = number(header, "PixelRepresentation") == 1
    for item in items(header, "ModalityLUTSequence"):
        table = _table(item, header, is_signed=is_signed)
        if table is not None:
            return table.values
    slope, intercept = number(header, "RescaleSlope") or 1.0, number(header, "RescaleIntercept") or 0.0
    if (slope, intercept) == (1.0, 0.0):
        return lambda stored: stored.astype(np.float32)
    return lambda stored: stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)


def _voi_lut(header: Dataset, modality: Modality) -> Mapping | None:
    is_signed = bool(modality(_ends(header)).min() < 0)
    for item in items(header, "VOILUTSequence"):
        table = _table(item, header, is_signed=is_signed)
        if table is not None:
            return table.unit
    return None


def _ends(header: Dataset) -> Stored:
    """The least and the greatest value that can be stored."""
    count = 2 ** int(number(header, "BitsStored") or 16)
    return np.array([0, count - 1]) - (count // 2 if number(header, "PixelRepresentation") == 1 else 0)


def _window(header: Dataset) -> Mapping | None:
    centres, widths = numbers(header, "WindowCenter"), numbers(header, "WindowWidth")
    if not centres or not widths:
        return None
    centre, width = centres[0], widths[0]
    function = text(header, "VOILUTFunction").upper() or "LINEAR"
    if function == "SIGMOID" and width > 0:
        return lambda x: (1.0 / (1.0 + np.exp(np.clip(-4.0 * (x - centre) / width, -80, 80)))).astype(np.float32)
    if function == "LINEAR_EXACT" and width > 0:
        return lambda x: ((x - centre) / width + 0.5).astype(np.float32)
    if width > 1:
        return lambda x: ((x - (centre - 0.5)) / (width - 1.0) + 0.5).astype(np.float32)
    if width == 1:
        return lambda x: (x > centre - 0.5).astype(np.float32)
    return None  # a width below 1 is not legal (PS3.3 C.11.2.1.2); read it as no window


def _shown(stored: Stored, padding: tuple[int, int] | None, shutter: Shutter | None) -> Stored:
    if padding is None and shutter is None:
        return stored
    is_shown = np.ones(stored.shape, bool) if shutter is None else shutter.is_open(*stored.shape)
    if padding is not None:
        is_shown &= ~_is_padding(stored, padding)
    return stored[is_shown] if is_shown.any() and not is_shown.all() else stored


def _full_range(shown: Stored, modality: Modality) -> Mapping:
    ends = modality(np.array([shown.min(), shown.max()], dtype=shown.dtype))
    low, high = float(ends.min()), float(ends.max())
    return lambda x: ((x - low) / max(high - low, 1e-6)).astype(np.float32)


def _is_inverted(header: Dataset) -> bool:
    """The Presentation LUT Shape decides where it is stated (PS3.3 C.11.6), else the Photometric Interpretation.

    A DX image says it twice, MONOCHROME1 and INVERSE (PS3.3 C.8.11.3.1.2); it is one inversion.
    """
    shape = text(header, "PresentationLUTShape").upper()
    if shape in {"IDENTITY", "INVERSE"}:
        return shape == "INVERSE"
    return text(header, "PhotometricInterpretation").upper() == "MONOCHROME1"


def _padding(header: Dataset, stored: Stored) -> tuple[int, int] | None:
    """The stored values that are padding (PS3.3 C.7.5.1.1.2); None where no pixel has one, or every pixel."""
    ends = [
        _as_stored(int(found), header)
        for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")
        if (found := number(header, keyword)) is not None
    ]
    if not ends or number(header, "PixelPaddingValue") is None:
        return None
    padding = min(ends), max(ends)
    is_padding = _is_padding(stored, padding)
    return padding if is_padding.any() and not is_padding.all() else None


def _as_stored(value: int, header: Dataset) -> int:
    """A number of US or SS as the sign of the pixels has it, whichever of the two it was written as."""
    if number(header, "PixelRepresentation") == 1:
        return value - 65536 if value > 32767 else value
    return value + 65536 if value < 0 else value


def _is_padding(stored: Stored, padding: tuple[int, int]) -> NDArray[np.bool_]:
    low, high = padding
    if low == high:
        return np.asarray(stored == low)
    return np.asarray((stored >= low) & (stored <= high))


@dataclass(frozen=True, slots=True)
class _Table:
    """A lookup table: `first` is the input value of entry 0, `top` the largest output that its bits allow."""

    entries: NDArray[np.float32]
    first: int
    top: float

    def values(self, x: NDArray[Any]) -> NDArray[np.float32]:
        index = np.clip(np.rint(x.astype(np.float32)) - self.first, 0, len(self.entries) - 1).astype(np.int32)
        return np.asarray(self.entries[index], np.float32)

    def unit(self, x: NDArray[Any]) -> Unit:
        return np.asarray(self.values(x) / np.float32(self.top), np.float32)


def _table(item: Dataset, header: Dataset, *, is_signed: bool) -> _Table | None:
    """The table of an item; `is_signed` when its input may be negative, whatever VR the descriptor was read with."""
    descriptor = [int(part) for part in numbers(item, "LUTDescriptor")]
    raw = value(item, "LUTData")
    if len(descriptor) != 3 or raw is None:
        return None
    # The count is unsigned whatever the VR (PS3.3 C.11.1.1 and C.11.2.1.1).
    count, first, bits = descriptor[0] % 65536 or 65536, descriptor[1], descriptor[2]
    if is_signed and first > 32767:
        first -= 65536  # read as US (PS3.3 C.11.1.1 and C.11.2.1.1)
    if not is_signed and first + count <= 0:
        first += 65536  # read as SS
    _, is_little_endian = header.original_encoding
    entries = _entries(_swapped(raw) if is_little_endian is False else raw, count)
    if entries.size == 0 or not 1 <= bits <= 16:
        return None
    return _Table(entries.astype(np.float32), first, float(2**bits - 1))


def _swapped(raw: object) -> object:
    """Words (OW) of a big endian file as those of a little endian one; numbers (US) are read as such already."""
    return np.frombuffer(raw[: len(raw) // 2 * 2], ">u2").astype("<u2").tobytes() if isinstance(raw, bytes) else raw


def _entries(raw: object, count: int) -> NDArray[np.uint16]:
    if not isinstance(raw, bytes):  # numbers (US or SS), which hold what words (OW) do
        raw = np.asarray(raw, dtype=np.int64).astype("<u2").tobytes()
    if len(raw) in (count, count + 1):  # 8 bit entries, two to a word (PS3.3 C.11.1.1.1 and C.11.2.1.1, CP-522)
        return np.frombuffer(raw, np.uint8)[:count].astype(np.uint16)
    return np.frombuffer(raw[: len(raw) // 2 * 2], "<u2")[:count].copy()

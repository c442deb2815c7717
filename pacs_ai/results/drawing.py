"""What a reader sees on the capture: the radiograph, the heat map where it is asked for, a scale and a caption."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from pacs_ai.findings import HeatMap

Rgb = NDArray[np.uint8]

_FONT = cv2.FONT_HERSHEY_DUPLEX
_STRONGEST_ALPHA = 0.5
_SCALE_WIDTH = 56
_JPEG_QUALITY = 90


def with_heat_map(grey: NDArray[np.uint8], heat_map: HeatMap) -> Rgb:
    """The grey image under the map (inferno: even to the eye, safe for the colour-blind), its scale at the right.

    The map covers the whole image, so that each of its cells lies over the region that it speaks of.
    """
    rows, columns = grey.shape
    heat = cv2.resize(heat_map.values, (columns, rows), interpolation=cv2.INTER_CUBIC)
    levels = np.asarray(cv2.convertScaleAbs(np.clip(heat, 0.0, 1.0), alpha=255), np.uint8)
    # Both the share that is left of the film and what the colour adds depend on the level alone: two tables, no floats.
    alpha = np.arange(256) / 255 * _STRONGEST_ALPHA
    left = cv2.multiply(grey, cv2.LUT(levels, np.rint((1 - alpha) * 255).astype(np.uint8)), scale=1 / 255)
    added = np.rint(_colours(np.arange(256, dtype=np.uint8)[:, np.newaxis]) * alpha[:, np.newaxis, np.newaxis])
    overlay = cv2.applyColorMap(levels, added.astype(np.uint8))
    return np.hstack([np.asarray(cv2.add(cv2.cvtColor(left, cv2.COLOR_GRAY2RGB), overlay), np.uint8), _scale(rows)])


def plain(grey: NDArray[np.uint8]) -> Rgb:
    """The grey image alone, as RGB."""
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)


def with_caption(image: Rgb, lines: Sequence[str], *, min_columns: int = 640) -> Rgb:
    """The image above a black band with the lines in white; nothing of the radiograph is covered.

    The image keeps its upper left corner; a narrow one gets a black margin at the right so that the caption fits.
    """
    columns = max(image.shape[1], min_columns)
    size = columns / 1024 * 0.85
    spacing = round(40 * size / 0.85) + 2
    band = np.zeros((spacing * len(lines) + spacing // 2, columns, 3), np.uint8)
    for number, line in enumerate(lines):
        fitted = _fitted(line, size, columns - 24)
        cv2.putText(band, line, (12, spacing * (number + 1) - 4), _FONT, fitted, (255, 255, 255), 1, cv2.LINE_AA)
    page = np.zeros((image.shape[0] + band.shape[0], columns, 3), np.uint8)
    page[: image.shape[0], : image.shape[1]] = image
    page[image.shape[0] :] = band
    return page


def to_jpeg(image: Rgb) -> bytes:
    """A baseline JPEG in YCbCr whose colour has half the columns, the subsampling that YBR_FULL_422 promises."""
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        _JPEG_QUALITY,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    ]
    written, frame = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    assert written
    return frame.tobytes()


def _fitted(line: str, size: float, columns: int) -> float:
    width = cv2.getTextSize(line, _FONT, size, 1)[0][0]
    return size if width <= columns else size * columns / width


def _colours(levels: NDArray[np.uint8]) -> Rgb:
    return np.ascontiguousarray(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1])


def _scale(rows: int) -> Rgb:
    scale = np.zeros((rows, _SCALE_WIDTH, 3), np.uint8)
    top, bottom = rows // 4, rows - rows // 4
    ramp = np.linspace(255, 0, bottom - top).astype(np.uint8)[:, np.newaxis]
    scale[top:bottom, 8:24] = _colours(np.repeat(ramp, 16, axis=1))
    for label, row in (("high", top + 10), ("low", bottom)):
        cv2.putText(scale, label, (26, row), cv2.FONT_HERSHEY_SIMPLEX, 0.35, (255, 255, 255), 1, cv2.LINE_AA)
    return scale

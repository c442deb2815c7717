"""Random but seeded changes to a film, of the kinds that positioning and exposure make."""

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict


class Augmentation(BaseModel):
    """The range of each change; all are drawn uniformly and independently."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rotation_degrees: float = 12.0
    shift_share: float = 0.08
    zoom_share: float = 0.15
    stretch_share: float = 0.10
    flip_probability: float = 0.5
    contrast_share: float = 0.25
    brightness: float = 0.12
    gamma_share: float = 0.3
    marker_probability: float = 0.5
    patch_probability: float = 0.5
    patch_share: float = 0.25


def augment(film: NDArray[np.uint8], ranges: Augmentation, rng: np.random.Generator) -> NDArray[np.float32]:
    """A changed copy of a uint8 (rows, columns) film, as 0..1 float32 of the same shape."""
    rows, columns = film.shape
    matrix = _affine(rows, columns, ranges, rng)
    warped = cv2.warpAffine(film, matrix, (columns, rows), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    marked = _patched(_marked(np.asarray(warped, np.uint8), ranges, rng), ranges, rng)
    return _exposure(marked.astype(np.float32) / 255.0, ranges, rng)


def _marked(film: NDArray[np.uint8], ranges: Augmentation, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Letters and figures burned in by chance: which devices burn in what follows the class in the training films."""
    if rng.random() >= ranges.marker_probability:
        return film
    marker = "".join(rng.choice(list("RLKVAPmAs0123456789"), size=int(rng.integers(1, 6))))
    place = (int(rng.integers(0, film.shape[1])), int(rng.integers(10, film.shape[0])))
    shade, size = int(rng.integers(120, 256)), float(rng.uniform(0.25, 0.9))
    marked = film.copy()
    cv2.putText(marked, marker, place, cv2.FONT_HERSHEY_SIMPLEX, size, shade, 1, cv2.LINE_AA)
    return marked


def _patched(film: NDArray[np.uint8], ranges: Augmentation, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A rectangle of one shade over some part (Zhong et al., Random Erasing, AAAI 2020): no single spot decides."""
    if rng.random() >= ranges.patch_probability:
        return film
    rows, columns = film.shape
    height, width = (int(rng.uniform(0.05, ranges.patch_share) * side) for side in (rows, columns))
    top, left = int(rng.integers(0, rows - height)), int(rng.integers(0, columns - width))
    patched = film.copy()
    patched[top : top + height, left : left + width] = rng.integers(0, 256) if rng.random() < 0.5 else 0
    return patched


def _affine(rows: int, columns: int, ranges: Augmentation, rng: np.random.Generator) -> NDArray[np.float64]:
    zoom = 1 + rng.uniform(-ranges.zoom_share, ranges.zoom_share)
    stretch = 1 + rng.uniform(-ranges.stretch_share, ranges.stretch_share)
    angle = rng.uniform(-ranges.rotation_degrees, ranges.rotation_degrees)
    matrix = cv2.getRotationMatrix2D((columns / 2, rows / 2), angle, zoom)
    matrix[0] *= stretch
    matrix[0, 2] += columns * ((1 - stretch) / 2 + rng.uniform(-ranges.shift_share, ranges.shift_share))
    matrix[1, 2] += rows * rng.uniform(-ranges.shift_share, ranges.shift_share)
    if rng.random() < ranges.flip_probability:
        matrix[0] *= -1
        matrix[0, 2] += columns - 1
    return np.asarray(matrix, np.float64)


def _exposure(unit: NDArray[np.float32], ranges: Augmentation, rng: np.random.Generator) -> NDArray[np.float32]:
    gamma = 1 + rng.uniform(-ranges.gamma_share, ranges.gamma_share)
    contrast = 1 + rng.uniform(-ranges.contrast_share, ranges.contrast_share)
    offset = rng.uniform(-ranges.brightness, ranges.brightness)
    changed = (np.power(unit, gamma) - 0.5) * contrast + 0.5 + offset
    return np.clip(changed, 0.0, 1.0).astype(np.float32)

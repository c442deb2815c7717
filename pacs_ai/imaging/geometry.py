"""The one way from a grey image of any size to the square that the network reads; training and service share it."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[Any]


def use_one_thread() -> None:
    """OpenCV works in the thread that calls it; its own threads wait for one another with the processor in use."""
    cv2.setNumThreads(1)


def shrink(image: Grey, rows: int, columns: int) -> Grey:
    """The image at rows x columns: area-averaged when smaller, linear when larger; dtype is kept.

    The aspect ratio is not kept: in the training films it differs by class, and a letterbox would
    let the network read the class off the margins.
    """
    while _halves_evenly(image, rows, columns):
        # Exact means of 2 x 2 pixels, ten times as fast as means over fractions of pixels; those are left for the end.
        image = cv2.resize(image, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA)
    if image.shape == (rows, columns):
        return image
    smaller = image.shape[0] >= rows and image.shape[1] >= columns
    return cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def _halves_evenly(image: Grey, rows: int, columns: int) -> bool:
    height, width = image.shape
    return bool(height % 2 == 0 and width % 2 == 0 and height >= 2 * rows and width >= 2 * columns)


def to_network_scale(unit_grey: Grey) -> NDArray[np.float32]:
    """(rows, columns) of 0..1 with 0 = black, as float32 (rows, columns, 1): the input of every network of ours."""
    return np.clip(unit_grey, 0.0, 1.0).astype(np.float32)[..., np.newaxis]

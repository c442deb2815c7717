"""An instance on disk, opened: its header, or the reason why there is none; its pixels, once, in the sizes needed."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from pacs_ai.deflation import is_deflated, read_deflated
from pacs_ai.errors import LimitExceeded, NotDicom, UndecodablePixels
from pacs_ai.findings import ModelInput
from pacs_ai.header import PARSE_ERRORS, quietly, text
from pacs_ai.metered import MeteredFile

from .decoders import decode
from .front import IDENTIFIERS
from .pixels import display_size, grey_transform, to_display, to_model_input

DISPLAY_SIDE = 1024
_MAX_INFLATED = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """One radiograph, small enough to keep: for the network and for the eye (uint8, longer side at most 1024).

    `pixel_data_sha256` is of the value of Pixel Data as the data set has it: encapsulated where it is, inflated where
    the data set was deflated.
    """

    model_input: ModelInput
    display: NDArray[np.uint8]
    pixel_data_sha256: str


def read_header(path: Path, *, max_bytes: int) -> Dataset:
    """All of the data set but its pixels.

    Raises LimitExceeded for a file that is or inflates to more than `max_bytes`, NotDicom for one that holds no DICOM
    instance.
    """
    size = path.stat().st_size
    if size > max_bytes:
        message = f"The file has {size >> 20} MB; ingest.max_instance_mb allows {max_bytes >> 20}."
        raise LimitExceeded(message)
    header = _read(path, stop_before_pixels=True, max_bytes=max_bytes)
    missing = [keyword for keyword in IDENTIFIERS if not text(header, keyword)]
    if missing:
        message = f"Not a DICOM instance: it has no {', '.join(missing)}."
        raise NotDicom(message)
    return header


def open_film(path: Path, *, input_size: int) -> Film:
    """The pixels of an instance that the gate let pass; raises UndecodablePixels, LimitExceeded."""
    image = _read(path, stop_before_pixels=False)
    try:
        return _film(image, input_size=input_size)
    except PARSE_ERRORS as error:
        # Of a value that does not fit its VR. What pydicom says of it quotes it, and goes no further.
        message = f"The pixels cannot be read as the header describes them ({type(error).__name__})."
        raise UndecodablePixels(message) from None


def _film(image: Dataset, *, input_size: int) -> Film:
    # Hashing is a third of the work on bare pixels, and lets go of the interpreter: another core may do it meanwhile.
    with ThreadPoolExecutor(1) as beside:
        digest = beside.submit(_sha256, image.get("PixelData", b""))
        stored = decode(image)
        del image.PixelData  # ten readers at once would hold each film twice
        transform = grey_transform(image, stored)
        return Film(
            model_input=to_model_input(transform, stored, input_size),
            display=to_display(transform, stored, display_size(image, max_side=DISPLAY_SIDE)),
            pixel_data_sha256=digest.result(),
        )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _read(path: Path, *, stop_before_pixels: bool, max_bytes: int = _MAX_INFLATED) -> Dataset:
    with quietly():
        try:
            if is_deflated(path):
                found = read_deflated(path, stop_before_pixels=stop_before_pixels, max_bytes=max_bytes)
                if found is not None:
                    return found
            with MeteredFile(path) as file:
                return dcmread(file, stop_before_pixels=stop_before_pixels)
        except InvalidDicomError:
            return _read_without_preamble(path, stop_before_pixels=stop_before_pixels)
        except PARSE_ERRORS as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # of the disk, not of the data set
            message = f"The data set cannot be parsed ({type(error).__name__})."
            raise (NotDicom if stop_before_pixels else UndecodablePixels)(message) from error


def _read_without_preamble(path: Path, *, stop_before_pixels: bool) -> Dataset:
    message = "Not a DICOM file."
    try:
        with MeteredFile(path) as file:
            dataset = dcmread(file, stop_before_pixels=stop_before_pixels, force=True)
    except PARSE_ERRORS as error:
        raise NotDicom(message) from error
    if not text(dataset, "SOPClassUID"):
        raise NotDicom(message)
    return dataset

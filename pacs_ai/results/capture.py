"""The RGB Secondary Capture that people look at (PS3.3 A.8.1): the film, where the network looked, and what it said."""

import re
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, SecondaryCaptureImageStorage
from pydicom.valuerep import DSfloat

from pacs_ai.findings import HeatMap
from pacs_ai.header import number, numbers, text, texts

from . import drawing
from .equipment import code_item, new_instance, sign, stamp
from .facts import Author, ReadImage, date_and_time, in_utc, in_zone_of
from .localisation import is_localised
from .source import is_lossy, patient_and_study, patient_orientation, pixel_spacing, take_over
from .uids import derive_uid

HeatMapPolicy = Literal["positive", "always", "never"]
SERIES_NUMBER = 9002


def build_capture(
    image: ReadImage, author: Author, policy: HeatMapPolicy, when: datetime, *, rerun: int = 0
) -> Dataset:
    """One capture of one read image, in JPEG Baseline; the same arguments give the same bytes.

    `rerun` tells a reading that somebody asked for from the one before it: its capture is another instance.

    Where the network has no heat map, none is drawn, whatever the policy says.
    """
    heat_map = _map_to_draw(image, policy)
    key = (text(image.header, "SOPInstanceUID"), *author.key, policy, in_utc(when), str(rerun))
    capture = new_instance(SecondaryCaptureImageStorage, derive_uid("capture", *key))
    carried = patient_and_study(image.header)
    take_over(carried, capture)
    said_at = in_zone_of(carried, when)
    _series(capture, image.header, author, said_at)
    _image(capture, image, said_at, draws_map=heat_map is not None)
    ratio = _pixels(capture, _drawn(image, author, heat_map))
    _derivation(capture, image, draws_map=heat_map is not None)
    _lossy(capture, image.header, ratio)
    sign(capture, author, said_at)
    return capture


def _map_to_draw(image: ReadImage, policy: HeatMapPolicy) -> HeatMap | None:
    draws_map = policy == "always" or (policy == "positive" and image.reading.classification.is_positive)
    return image.reading.heat_map if draws_map else None


def caption(image: ReadImage, author: Author, heat_map: HeatMap | None = None) -> tuple[str, ...]:
    """What stands under the image: finding, probability, operating point, network, and what it is not for.

    Where a heat map is drawn that points nowhere, the caption says so: a reader would look for a place in vain.
    """
    said = image.reading.classification
    finding = "PNEUMONIA: PRESENT" if said.is_positive else "PNEUMONIA: ABSENT"
    warning = "Not for diagnosis"
    if author.outside_population_allowed:
        warning += " - population check switched off"
    said_of_map = () if heat_map is None or is_localised(heat_map) else ("Heat map: not localised",)
    return (
        f"{finding}   probability {said.probability:.1%}   operating point {said.threshold:.1%}",
        f"{author.model.name} {author.model.version} ({author.model.sha256[:8]})   {warning}",
        *said_of_map,
    )


def _drawn(image: ReadImage, author: Author, heat_map: HeatMap | None) -> NDArray[np.uint8]:
    film = drawing.plain(image.display) if heat_map is None else drawing.with_heat_map(image.display, heat_map)
    return drawing.with_caption(film, caption(image, author, heat_map))


def _series(capture: Dataset, source: Dataset, author: Author, when: datetime) -> None:
    study = text(source, "StudyInstanceUID")
    capture.SeriesInstanceUID = derive_uid("capture-series", study, *author.key)
    capture.Modality = "OT"
    capture.SeriesNumber = SERIES_NUMBER
    capture.SeriesDescription = "AI Grad-CAM (not for diagnosis)"
    capture.InstanceNumber = _instance_number(source)
    capture.BodyPartExamined = "CHEST"
    stamp(capture, when)
    capture.ConversionType = "WSD"
    capture.DateOfSecondaryCapture, capture.TimeOfSecondaryCapture = date_and_time(when)


def _instance_number(source: Dataset) -> int:
    stated = int(number(source, "InstanceNumber") or 1)
    return stated if 1 <= stated < 2**31 else 1  # IS holds no more (PS3.5 6.2)


def _image(capture: Dataset, image: ReadImage, when: datetime, *, draws_map: bool) -> None:
    source = image.header
    capture.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    capture.ContentDate, capture.ContentTime = date_and_time(when)
    capture.PatientOrientation = patient_orientation(source) or None
    # The caption names nobody (PS3.3 C.7.6.1), and the film below it is the source's.
    if (annotation := text(source, "BurnedInAnnotation")) in {"YES", "NO"}:
        capture.BurnedInAnnotation = annotation
    capture.RecognizableVisualFeatures = "NO"
    capture.ImageComments = "Grad-CAM overlay" if draws_map else "No heat map drawn"
    spacing = pixel_spacing(source, "PixelSpacing", "ImagerPixelSpacing")
    if spacing:
        shown_rows, shown_columns = image.display.shape
        scaled = [
            _short(spacing[0] * (number(source, "Rows") or shown_rows) / shown_rows, digits=6),
            _short(spacing[1] * (number(source, "Columns") or shown_columns) / shown_columns, digits=6),
        ]
        capture.NominalScannedPixelSpacing = scaled
        capture.PixelSpacing = scaled


def _pixels(capture: Dataset, rgb: NDArray[np.uint8]) -> float:
    """The pixels are in the capture (PS3.5 8.2.1); returns how many times smaller than they were."""
    frame = drawing.to_jpeg(rgb)
    capture.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    capture.SamplesPerPixel = 3
    capture.PhotometricInterpretation = "YBR_FULL_422"
    capture.PlanarConfiguration = 0
    capture.Rows, capture.Columns = rgb.shape[:2]
    capture.BitsAllocated = capture.BitsStored = 8
    capture.HighBit = 7
    capture.PixelRepresentation = 0
    capture.PixelData = encapsulate([frame])
    capture["PixelData"].VR = "OB"
    capture["PixelData"].is_undefined_length = True
    return rgb.nbytes / len(frame)


def uncompressed(path: Path) -> Dataset:
    """The capture of a kept file in Explicit VR Little Endian, RGB, for a node that takes no JPEG.

    It is the same instance: what JPEG took away is gone, and the lossy attributes still say so (PS3.3 C.7.6.1.1.5).
    """
    capture = dcmread(path)
    capture.decompress(as_rgb=True, generate_instance_uid=False, decoding_plugin="pillow")
    return capture


def _derivation(capture: Dataset, image: ReadImage, *, draws_map: bool) -> None:
    source = image.header
    drawn = "Grad-CAM of class pneumonia, inferno, over the film" if draws_map else "The film"
    capture.DerivationDescription = f"{drawn} as windowed for display, resized, with a caption"
    if draws_map:
        capture.DerivationCodeSequence = [code_item("130403", "DCM", "Gradient-weighted class activation")]
    item = Dataset()
    item.ReferencedSOPClassUID = text(source, "SOPClassUID")
    item.ReferencedSOPInstanceUID = text(source, "SOPInstanceUID")
    # The same film in other pixels: coordinates of the source are found on it only where it kept its size (PS3.3 10.3).
    is_as_large = image.display.shape == (number(source, "Rows"), number(source, "Columns"))
    item.SpatialLocationsPreserved = "YES" if is_as_large else "NO"
    item.PurposeOfReferenceCodeSequence = [code_item("121322", "DCM", "Source image for image processing operation")]
    capture.SourceImageSequence = [item]


def _lossy(capture: Dataset, source: Dataset, ratio: float) -> None:
    """Lossy as it was written here, after whatever was lost before (PS3.3 C.7.6.1.1.5)."""
    ratios, methods = numbers(source, "LossyImageCompressionRatio"), texts(source, "LossyImageCompressionMethod")
    was_lossy = is_lossy(source) and len(ratios) == len(methods) and all(map(_is_loss, ratios, methods))
    capture.LossyImageCompression = "01"
    capture.LossyImageCompressionRatio = [*(map(_short, ratios) if was_lossy else []), float(f"{ratio:.2f}")]
    capture.LossyImageCompressionMethod = [*(methods if was_lossy else []), "ISO_10918_1"]


def _is_loss(ratio: float, method: str) -> bool:
    """Whether this is a ratio and a method as CS has it (PS3.5 6.2)."""
    return ratio > 0 and re.fullmatch("[A-Z0-9_ ]{1,16}", method) is not None


def _short(found: float, *, digits: int = 10) -> DSfloat:
    """The number to so many digits, as it is written in the 16 characters of a DS (PS3.5 6.2)."""
    return DSfloat(float(f"{found:.{digits}g}"), auto_format=True)

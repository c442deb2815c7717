"""The radiographs shipped with the package: real films, drawn by lot, as DX and CR instances of invented patients."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from pacs_ai.results.equipment import code_item
from pacs_ai.results.uids import derive_uid

from .films import CLASSES

Encode = Callable[[NDArray[np.uint16] | NDArray[np.uint8], int], bytes | bytearray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How a film is wrapped: the kinds that real devices write."""

    modality: str = "DX"
    syntax: UID = JPEGBaseline8Bit
    bits: int = 8
    photometric: str = "MONOCHROME2"
    body_part: str = "CHEST"
    view: str = "PA"
    age: str = "003Y"


_FORMS = (
    Form(modality="DX", syntax=JPEGLosslessSV1, bits=12, age="003Y"),
    Form(modality="CR", syntax=JPEGLosslessSV1, photometric="MONOCHROME1", view="AP", age="002Y"),
    Form(modality="DX", syntax=JPEG2000Lossless, age="004Y"),
    Form(modality="CR", syntax=RLELossless, view="AP", age="001Y"),
    Form(modality="CR", syntax=JPEGBaseline8Bit, view="AP", age="018M"),
    Form(modality="DX", syntax=JPEGLSLossless, bits=12, photometric="MONOCHROME1", age="005Y"),
)
_LATERAL = Form(modality="DX", syntax=JPEGBaseline8Bit, view="LL", age="003Y")
_HAND = Form(modality="CR", syntax=JPEGBaseline8Bit, body_part="HAND", view="PA", age="004Y")

_ENCODERS: dict[UID, Encode] = {
    JPEGBaseline8Bit: lambda stored, _bits: imagecodecs.jpeg_encode(stored, level=92),
    JPEGLosslessSV1: lambda stored, bits: imagecodecs.jpeg_encode(
        stored, lossless=True, predictor=1, bitspersample=bits
    ),
    JPEG2000Lossless: lambda stored, bits: imagecodecs.jpeg2k_encode(
        stored, codecformat="J2K", reversible=True, level=0, bitspersample=bits
    ),
    JPEGLSLossless: lambda stored, _bits: imagecodecs.jpegls_encode(stored),
}


def write_samples(originals: Path, out: Path, *, seed: int = 20261123) -> list[Path]:
    """Twelve films, six of each class by lot and in mixed order, and two headers that the gate must refuse."""
    out.mkdir(parents=True, exist_ok=True)
    drawn = _draw(originals, seed)
    written = [
        _write(film, _FORMS[number % len(_FORMS)], number + 1, out, f"{number + 1:02d}-chest")
        for number, film in enumerate(drawn)
    ]
    smallest = min(drawn, key=lambda film: film.stat().st_size)
    return [
        *written,
        _write(smallest, _LATERAL, 13, out, "13-lateral"),
        _write(smallest, _HAND, 14, out, "14-hand"),
    ]


def _draw(originals: Path, seed: int) -> list[Path]:
    rng = np.random.default_rng(seed)
    drawn: list[Path] = []
    for name in CLASSES:
        films = sorted(originals.glob(f"{name}_*"))
        drawn += [films[place] for place in rng.permutation(len(films))[:6]]
    return [drawn[place] for place in rng.permutation(len(drawn))]


def _write(film: Path, form: Form, number: int, out: Path, name: str) -> Path:
    grey = cv2.imread(str(film), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        message = f"{film}: not a readable image"
        raise ValueError(message)
    sample = _header(form, number, (grey.shape[0], grey.shape[1]))
    _add_pixels(sample, np.asarray(grey, np.uint8), form, film)
    path = out / f"{name}-{form.modality.lower()}.dcm"
    sample.save_as(path, enforce_file_format=True)
    return path


def _header(form: Form, number: int, shape: tuple[int, int]) -> Dataset:
    is_dx = form.modality == "DX"
    sample = Dataset()
    sample.SpecificCharacterSet = "ISO_IR 192"
    sample.ImageType = ["ORIGINAL", "PRIMARY", ""] if is_dx else ["ORIGINAL", "PRIMARY"]
    sample.SOPClassUID = DigitalXRayImageStorageForPresentation if is_dx else ComputedRadiographyImageStorage
    sample.SOPInstanceUID = derive_uid("sample-instance", str(number))
    sample.StudyInstanceUID = derive_uid("sample-study", str(number))
    sample.SeriesInstanceUID = derive_uid("sample-series", str(number))
    sample.file_meta = FileMetaDataset()
    sample.file_meta.MediaStorageSOPClassUID = sample.SOPClassUID
    sample.file_meta.MediaStorageSOPInstanceUID = sample.SOPInstanceUID
    sample.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    day = f"202601{number:02d}"
    sample.StudyDate = sample.SeriesDate = sample.AcquisitionDate = sample.ContentDate = day
    sample.StudyTime = sample.SeriesTime = sample.AcquisitionTime = sample.ContentTime = f"10{number:02d}00"
    _patient(sample, form, number)
    _series(sample, form)
    _image(sample, form, shape)
    if is_dx:
        _digital_x_ray(sample, form)
    return sample


def _patient(sample: Dataset, form: Form, number: int) -> None:
    months = int(form.age[:3]) * (12 if form.age[3] == "Y" else 1)
    born = 2026 * 12 - months - 6
    sample.PatientName = f"Sample^{number:02d}"
    sample.PatientID = f"SAMPLE-{number:02d}"
    sample.PatientBirthDate = f"{born // 12:04d}{born % 12 + 1:02d}01"
    sample.PatientSex = "F" if number % 2 else "M"
    sample.PatientAge = form.age
    sample.AccessionNumber = f"ACC{number:04d}"
    sample.ReferringPhysicianName = ""
    sample.StudyID = str(number)


def _series(sample: Dataset, form: Form) -> None:
    part = form.body_part.capitalize()
    sample.Modality = form.modality
    sample.Manufacturer = "pacs-ai samples"
    sample.ManufacturerModelName = "Wrapped film"
    sample.DeviceSerialNumber = "1"
    sample.SoftwareVersions = "1"
    sample.StudyDescription = f"XR {part}"
    sample.SeriesDescription = f"{part} {form.view}"
    sample.BodyPartExamined = form.body_part
    sample.ViewPosition = form.view
    if form.body_part == "HAND":
        sample.Laterality = "L"  # Type 2C for a paired part (PS3.3 C.7.3.1)
    sample.SeriesNumber = 1
    sample.InstanceNumber = 1
    if form.modality == "CR":
        sample.PlateID = "1"


def _image(sample: Dataset, form: Form, shape: tuple[int, int]) -> None:
    sample.PatientOrientation = ["A", "F"] if form.view == "LL" else ["L", "F"]
    sample.SamplesPerPixel = 1
    sample.PhotometricInterpretation = form.photometric
    sample.Rows, sample.Columns = shape
    sample.BitsAllocated = 8 if form.bits == 8 else 16
    sample.BitsStored = form.bits
    sample.HighBit = form.bits - 1
    sample.PixelRepresentation = 0
    sample.BurnedInAnnotation = "NO"
    sample.ImagerPixelSpacing = [0.2, 0.2]
    top = 2**form.bits
    sample.WindowCenter, sample.WindowWidth = str(top // 2), str(top)
    # The films were published as JPEG; what follows cannot undo that.
    sample.LossyImageCompression = "01"
    sample.LossyImageCompressionRatio = "10"
    sample.LossyImageCompressionMethod = "ISO_10918_1"
    sample.ImageComments = "Kermany et al., doi:10.17632/rscbjbr9sj, CC BY 4.0; invented patient"


def _digital_x_ray(sample: Dataset, form: Form) -> None:
    sample.PresentationIntentType = "FOR PRESENTATION"
    sample.DetectorType = "DIRECT"
    sample.PositionerType = "COLUMN"
    sample.ImageLaterality = "U"
    sample.RescaleIntercept, sample.RescaleSlope, sample.RescaleType = "0", "1", "US"
    sample.PixelIntensityRelationship, sample.PixelIntensityRelationshipSign = "LOG", -1
    sample.PresentationLUTShape = "INVERSE" if form.photometric == "MONOCHROME1" else "IDENTITY"
    sample.AcquisitionContextSequence = []
    sample.AnatomicRegionSequence = [code_item("816094009", "SCT", "Chest")]
    view = (
        code_item("399173006", "SCT", "left lateral")
        if form.view == "LL"
        else code_item("272479007", "SCT", "postero-anterior")
    )
    view.ViewModifierCodeSequence = []
    sample.ViewCodeSequence = [view]


def _add_pixels(sample: Dataset, grey: NDArray[np.uint8], form: Form, film: Path) -> None:
    content = film.read_bytes()
    if form.syntax == JPEGBaseline8Bit and _is_grey_jpeg(content):
        _encapsulate(sample, content, form.syntax)
        return
    stored = _stored(grey, form)
    if form.syntax == RLELossless:
        sample.PixelData = stored.tobytes()
        sample["PixelData"].VR = "OB" if stored.dtype == np.uint8 else "OW"
        sample.compress(RLELossless, generate_instance_uid=False)
        return
    _encapsulate(sample, bytes(_ENCODERS[form.syntax](stored, form.bits)), form.syntax)


def _is_grey_jpeg(content: bytes) -> bool:
    return imagecodecs.jpeg_decode(content).ndim == 2


def _stored(grey: NDArray[np.uint8], form: Form) -> NDArray[np.uint16] | NDArray[np.uint8]:
    top = 2**form.bits - 1
    stored: NDArray[np.float64] = np.rint(grey.astype(np.float64) * top / 255)
    if form.photometric == "MONOCHROME1":
        stored = top - stored
    return stored.astype(np.uint8) if form.bits == 8 else stored.astype(np.uint16)


def _encapsulate(sample: Dataset, frame: bytes, syntax: UID) -> None:
    sample.file_meta.TransferSyntaxUID = syntax
    sample.PixelData = encapsulate([frame])
    sample["PixelData"].VR = "OB"
    sample["PixelData"].is_undefined_length = True

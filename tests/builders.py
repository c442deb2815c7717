"""DICOM instances for tests: one valid radiograph, changed as a test asks; drawn, or of the shipped samples."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import cv2
import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    ComputedRadiographyImageStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
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
    SecondaryCaptureImageStorage,
    generate_uid,
)

from pacs_ai.demonstration import sample_paths
from pacs_ai.imaging import decoders
from pacs_ai.imaging.film import open_film

from . import collection

Stored = NDArray[Any]

_ENCODERS: dict[UID, Callable[[Stored, int], bytes]] = {
    JPEGBaseline8Bit: lambda stored, _bits: imagecodecs.jpeg_encode(stored, level=95),
    JPEGExtended12Bit: lambda stored, _bits: imagecodecs.jpeg_encode(stored, level=95, bitspersample=12),
    JPEGLossless: lambda stored, bits: imagecodecs.jpeg_encode(stored, lossless=True, predictor=6, bitspersample=bits),
    JPEGLosslessSV1: lambda stored, bits: imagecodecs.jpeg_encode(
        stored, lossless=True, predictor=1, bitspersample=bits
    ),
    JPEGLSLossless: lambda stored, _bits: imagecodecs.jpegls_encode(stored),
    JPEGLSNearLossless: lambda stored, _bits: imagecodecs.jpegls_encode(stored, level=2),
    JPEG2000Lossless: lambda stored, bits: imagecodecs.jpeg2k_encode(
        stored, codecformat="J2K", reversible=True, level=0, bitspersample=bits
    ),
    JPEG2000: lambda stored, bits: imagecodecs.jpeg2k_encode(
        stored, codecformat="J2K", reversible=False, level=60, bitspersample=bits
    ),
    HTJ2KLossless: lambda stored, _bits: imagecodecs.htj2k_encode(stored),
    HTJ2KLosslessRPCL: lambda stored, _bits: imagecodecs.htj2k_encode(stored),
    HTJ2K: lambda stored, _bits: imagecodecs.htj2k_encode(stored, reversible=False, level=0.0005),
}
UNCOMPRESSED = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
LOSSLESS = (
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEG2000Lossless,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    RLELossless,
)


def code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def phantom(rows: int = 640, columns: int = 576, *, bits: int = 12, seed: int = 0) -> Stored:
    """Smooth shapes, fine structure and noise over the whole range of the bits."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    y, x = y / rows, x / columns
    lungs = sum(np.exp(-(((x - centre) / 0.13) ** 4 + ((y - 0.45) / 0.28) ** 4)) for centre in (0.3, 0.7))
    body = 0.75 + 0.1 * y - 0.5 * lungs + 0.05 * np.sin(80 * y + 9 * x) * lungs
    noisy = body + rng.normal(0, 0.01, body.shape)
    top = 2**bits - 1
    stored = np.clip(np.rint(noisy * top), 0, top)
    stored[0, 0], stored[-1, -1] = 0, top
    return stored.astype(np.uint8 if bits == 8 else np.uint16)


def sample_film(number: int, rows: int, columns: int, *, bits: int = 12) -> Stored:
    """A real film, of the twelve that are shipped, at any size; a phantom is refused by the embedded network."""
    decoders.register()
    paths = sample_paths()[:12]
    grey = open_film(paths[number % len(paths)], input_size=224).display
    shown = cv2.resize(grey, (columns, rows), interpolation=cv2.INTER_CUBIC)
    return shown if bits == 8 else shown.astype(np.uint16) << (bits - 8)


def make_instance(
    *,
    modality: str = "DX",
    stored: Stored | None = None,
    bits: int = 12,
    syntax: UID = ExplicitVRLittleEndian,
    **changes: Any,
) -> Dataset:
    """A valid frontal chest radiograph of a three-year-old; each change sets an attribute, None takes it out.

    Each call is another instance of another study unless the UIDs are among the changes.
    """
    pixels = phantom(bits=bits) if stored is None else stored
    instance = _common(modality)
    _image(instance, pixels, bits)
    if modality == "DX":
        _digital_x_ray(instance)
    _encode(instance, pixels, bits, syntax)
    for keyword, value in changes.items():
        if value is None:
            if keyword in instance:
                del instance[keyword]
        else:
            setattr(instance, keyword, value)
    instance.file_meta.MediaStorageSOPClassUID = instance.get("SOPClassUID", "")
    instance.file_meta.MediaStorageSOPInstanceUID = instance.get("SOPInstanceUID", "")
    return instance


def make_rsna_instance(**changes: Any) -> Dataset:
    """As the RSNA challenge exports NIH films: Secondary Capture of Modality CR, age without unit, JPEG, no window."""
    instance = make_instance(modality="CR", bits=8, syntax=JPEGBaseline8Bit)
    for keyword in ("WindowCenter", "WindowWidth", "PlateID", "ImageType", "PatientAge"):
        if keyword in instance:
            del instance[keyword]
    instance.SOPClassUID = SecondaryCaptureImageStorage
    instance.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    instance.ConversionType = "WSD"
    instance.StudyDate, instance.StudyTime = "19010101", "000000.00"
    instance.PatientBirthDate = instance.AccessionNumber = instance.StudyID = instance.PatientOrientation = ""
    instance.PatientName = instance.PatientID = "88c14312-3265-4a3f-b7bb-41818107d607"
    instance.SeriesDescription, instance.ViewPosition = "view: AP", "AP"
    instance.LossyImageCompression, instance.LossyImageCompressionMethod = "01", "ISO_10918_1"
    instance.add_new("PatientAge", "AS", "58")
    for keyword, value in changes.items():
        setattr(instance, keyword, value)
    return instance


def lookup_table(
    entries: NDArray[Any],
    bits: int,
    first: int = 0,
    *,
    vr: str = "US",
    is_packed: bool = False,
    is_big_endian: bool = False,
) -> Dataset:
    """An item of a Modality or VOI LUT Sequence; packed, two entries of 8 bits share a word (PS3.3 C.11.1.1.1)."""
    words = np.frombuffer(entries.astype("u1" if is_packed else "<u2").tobytes(), "<u2")
    item = Dataset()
    item.add_new("LUTDescriptor", vr, [len(entries) % 65536, first, bits])
    item.add_new("LUTData", "OW", words.astype(">u2" if is_big_endian else "<u2").tobytes())
    return item


def part10(instance: Dataset) -> bytes:
    """The instance as a file; one of ours is also put before the validators at the end of the session."""
    buffer = BytesIO()
    instance.save_as(buffer, enforce_file_format=True)
    collection.keep(buffer.getvalue())
    return buffer.getvalue()


def bare_data_set(instance: Dataset) -> bytes:
    """The data set alone, without preamble and file meta information, as old archives exported it."""
    content = part10(instance)
    return content[144 + int.from_bytes(content[140:144], "little") :]


def without_preamble(instance: Dataset) -> bytes:
    """File meta information and data set, without the 132 bytes that mark a file."""
    return part10(instance)[132:]


def without_file_meta(instance: Dataset) -> bytes:
    """Preamble and prefix, and then at once the data set."""
    return part10(instance)[:132] + bare_data_set(instance)


BARE_FORMS = (bare_data_set, without_preamble, without_file_meta)


def _common(modality: str) -> Dataset:
    sop_class = DigitalXRayImageStorageForPresentation if modality == "DX" else ComputedRadiographyImageStorage
    instance = Dataset()
    instance.file_meta = FileMetaDataset()
    instance.SpecificCharacterSet = "ISO_IR 192"
    instance.ImageType = ["ORIGINAL", "PRIMARY", ""] if modality == "DX" else ["ORIGINAL", "PRIMARY"]
    instance.SOPClassUID, instance.SOPInstanceUID = sop_class, generate_uid()
    instance.StudyInstanceUID, instance.SeriesInstanceUID = generate_uid(), generate_uid()
    for kind in ("Study", "Series", "Acquisition", "Content"):
        setattr(instance, f"{kind}Date", "20260105")
        setattr(instance, f"{kind}Time", "101500")
    instance.AccessionNumber, instance.StudyID, instance.Modality = "ACC0001", "1", modality
    instance.Manufacturer, instance.ManufacturerModelName = "Phantom", "P1"
    instance.DeviceSerialNumber, instance.SoftwareVersions = "1", "1"
    instance.ReferringPhysicianName = "Müller^Käthe"
    instance.StudyDescription, instance.SeriesDescription = "XR CHEST", "Chest PA"
    instance.PatientName, instance.PatientID, instance.IssuerOfPatientID = "Test^Päron", "PID-0001", "TESTHOSP"
    instance.PatientBirthDate, instance.PatientSex, instance.PatientAge = "20220203", "F", "003Y"
    instance.BodyPartExamined, instance.ViewPosition = "CHEST", "PA"
    instance.SeriesNumber = instance.InstanceNumber = 1
    instance.PatientOrientation = ["L", "F"]
    instance.ProcedureCodeSequence = [code("399208008", "SCT", "Chest X-ray")]
    if modality == "CR":
        instance.PlateID = "1"
    return instance


def _image(instance: Dataset, stored: Stored, bits: int) -> None:
    instance.SamplesPerPixel, instance.PhotometricInterpretation = 1, "MONOCHROME2"
    instance.Rows, instance.Columns = stored.shape
    instance.BitsAllocated = stored.dtype.itemsize * 8
    instance.BitsStored, instance.HighBit = bits, bits - 1
    instance.PixelRepresentation = int(stored.dtype.kind == "i")
    instance.BurnedInAnnotation, instance.LossyImageCompression = "NO", "00"
    instance.ImagerPixelSpacing = [0.168, 0.168]
    instance.WindowCenter, instance.WindowWidth = str(2 ** (bits - 1)), str(round(2**bits * 0.88))


def _digital_x_ray(instance: Dataset) -> None:
    instance.PresentationIntentType = "FOR PRESENTATION"
    instance.PixelSpacing = [0.168, 0.168]
    instance.DetectorType, instance.PositionerType, instance.ImageLaterality = "DIRECT", "COLUMN", "U"
    instance.RescaleIntercept, instance.RescaleSlope, instance.RescaleType = "0", "1", "US"
    instance.PixelIntensityRelationship, instance.PixelIntensityRelationshipSign = "LOG", -1
    instance.PresentationLUTShape = "IDENTITY"
    instance.AcquisitionContextSequence = []
    instance.AnatomicRegionSequence = [code("816094009", "SCT", "Chest")]
    view = code("272479007", "SCT", "postero-anterior")
    view.ViewModifierCodeSequence = []
    instance.ViewCodeSequence = [view]


def _encode(instance: Dataset, stored: Stored, bits: int, syntax: UID) -> None:
    instance.file_meta.TransferSyntaxUID = syntax
    if syntax in _ENCODERS:
        instance.PixelData = encapsulate([bytes(_ENCODERS[syntax](stored, bits))])
        instance["PixelData"].VR = "OB"
        instance["PixelData"].is_undefined_length = True
        return
    is_big_endian = syntax == ExplicitVRBigEndian
    words = stored.astype(stored.dtype.newbyteorder(">" if is_big_endian else "<"))
    content = words.tobytes()
    instance.PixelData = content + b"\0" * (len(content) % 2)
    instance["PixelData"].VR = "OB" if stored.dtype.itemsize == 1 else "OW"
    if syntax == RLELossless:
        instance.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        instance.compress(RLELossless, generate_instance_uid=False)

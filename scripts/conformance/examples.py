"""Results of images that were never taken, in which all that can differ from object to object does."""

from datetime import datetime

import numpy as np
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from pacs_ai.findings import Classification, HeatMap, ModelIdentity, Reading, Refusal, RefusalReason
from pacs_ai.results.capture import build_capture
from pacs_ai.results.facts import Author, Edition, ReadImage, RefusedImage
from pacs_ai.results.report import build_report
from pacs_ai.results.source import TAKEN_OVER


def results(number: int) -> tuple[Dataset, Dataset]:
    """Capture and report of a positive and of a refused image; what can differ, differs with the number."""
    author = Author(
        model=ModelIdentity(name=f"network-{number}", version=f"{number}.0", sha256=f"{number}" * 64),
        threshold=0.1 * number,
        software_version=f"0.0.{number}",
    )
    when = datetime(2026, number, number, number, number, number)  # noqa: DTZ001 - DICOM dates have no zone
    heat_map = HeatMap(values=np.ones((14, 14), np.float32))
    said = Classification(probability=0.9 + number / 100, threshold=author.threshold)
    shape = (700 + 50 * number, 700 + 20 * number)
    image = ReadImage(
        header=_source(number),
        reading=Reading(classification=said, heat_map=heat_map),
        display=np.full(shape, 90 * number, np.uint8),
    )
    refusal = Refusal(reason=RefusalReason.NOT_FRONTAL, detail="The view is LL.")
    refused = RefusedImage(header=_source(number + 10), refusal=refusal)
    capture = build_capture(image, author, "positive", when)
    return capture, build_report([(image, capture)], author, Edition(revision=number, when=when), refused=[refused])


def _source(number: int) -> Dataset:
    source = Dataset()
    source.file_meta = FileMetaDataset()
    source.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    source.SOPClassUID = DigitalXRayImageStorageForPresentation
    source.SOPInstanceUID, source.SeriesInstanceUID = f"1.2.{number}", f"1.2.3.{number}"
    source.Modality, source.InstanceNumber = "DX", number
    source.Rows, source.Columns = 1000 + number, 800 + number
    source.PatientOrientation = ["L", "F"] if number == 1 else ["R", "F"]
    source.PixelSpacing = source.ImagerPixelSpacing = [0.1 * number, 0.1 * number]
    for keyword in TAKEN_OVER:
        setattr(source, keyword, _example(dictionary_VR(keyword)))
    source.PatientIdentityRemoved, source.QualityControlSubject, source.SmokingStatus = "YES", "NO", "NO"
    source.PregnancyStatus, source.BurnedInAnnotation = 4, "YES" if number == 1 else "NO"
    source.PatientSex, source.TimezoneOffsetFromUTC = "O", "+0100"
    source.StudyInstanceUID = f"1.2.3.4.{number % 10}"
    source.SpecificCharacterSet = "ISO_IR 192"
    return source


def _example(vr: str) -> object:
    examples = {"DA": "20260101", "TM": "101500", "AS": "003Y", "DS": "1", "UI": "1.2", "CS": "TEXT"}
    if vr == "SQ":
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "399208008", "SCT", "Plain chest X-ray"
        item.PatientID, item.TypeOfPatientID, item.LocalNamespaceEntityID = "X", "TEXT", "X"
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2", "1.2"
        return [item]
    return examples.get(vr, "X")

"""The Structured Report: Comprehensive 3D SR, TID 1500, one measurement group for each radiograph, read or not."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

import numpy as np
from highdicom import sr
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import Comprehensive3DSRStorage

from pacs_ai.findings import Classification, Refusal
from pacs_ai.header import number, text

from .equipment import new_instance, sign, stamp
from .facts import MANUFACTURER, Author, Edition, ReadImage, RefusedImage, date_and_time, in_zone_of
from .procedure import procedure_code
from .refusal_codes import CODES, DESIGNATOR, REASON, scheme_identification
from .source import naming, patient_and_study, patient_orientation, pixel_spacing, take_over
from .uids import derive_uid

SERIES_NUMBER = 9001

PNEUMONIA = CodedConcept("233604007", "SCT", "Pneumonia")
PRESENT = CodedConcept("52101004", "SCT", "Present")
ABSENT = CodedConcept("272519000", "SCT", "Absent")
UNDETERMINED = CodedConcept("373068000", "SCT", "Undetermined")
COMMENT = CodedConcept("121106", "DCM", "Comment")
NOT_ANALYSED = CodedConcept(*REASON)
CERTAINTY = CodedConcept("111012", "DCM", "Certainty of Finding")
PERCENT = CodedConcept("%", "UCUM", "Percent")
LUNG = CodedConcept("39607008", "SCT", "Lung")
CHEST_RADIOGRAPH = CodedConcept("399208008", "SCT", "Plain chest X-ray")
SOURCE = CodedConcept("260753009", "SCT", "Source")
VISUAL_EXPLANATION = CodedConcept("130401", "DCM", "Visual explanation")
ENGLISH = CodedConcept("en-US", "RFC5646", "English (United States)")
PIXELS = CodedConcept("{pixels}", "UCUM", "Pixels")
MILLIMETRE = CodedConcept("mm", "UCUM", "millimeter")
MODALITY = CodedConcept("121139", "DCM", "Modality")
ROWS = CodedConcept("110910", "DCM", "Pixel Data Rows")
COLUMNS = CodedConcept("110911", "DCM", "Pixel Data Columns")
ORIENTATION_ROW = CodedConcept("111044", "DCM", "Patient Orientation Row")
ORIENTATION_COLUMN = CodedConcept("111043", "DCM", "Patient Orientation Column")
HORIZONTAL_SPACING = CodedConcept("111026", "DCM", "Horizontal Pixel Spacing")
VERTICAL_SPACING = CodedConcept("111066", "DCM", "Vertical Pixel Spacing")
IMAGE_LIBRARY = CodedConcept("111028", "DCM", "Image Library")
IMAGE_LIBRARY_GROUP = CodedConcept("126200", "DCM", "Image Library Group")
_IMAGING_MEASUREMENTS = "126010"
_MODALITIES = {
    "CR": CodedConcept("CR", "DCM", "Computed Radiography"),
    "DX": CodedConcept("DX", "DCM", "Digital Radiography"),
}


def build_report(
    images: Sequence[tuple[ReadImage, Dataset]],
    author: Author,
    edition: Edition,
    *,
    refused: Sequence[RefusedImage] = (),
) -> Dataset:
    """The report of a study: `images` pairs each read image with its capture, `refused` are those not analysed.

    There is at least one of either. The same arguments give the same bytes. Finding is written only for a positive
    image: a reader that shows it and not the evaluation must never show "Pneumonia" for a normal film. A refused image
    is Undetermined, with the reason in code and in words, and has no probability. A later report names the one before.
    """
    headers = [image.header for image, _ in images] + [image.header for image in refused]
    first = naming(headers)
    study = text(first, "StudyInstanceUID")
    key = (
        study,
        *author.key,
        *edition.key,
        *(part for image, capture in images for part in (text(image.header, "SOPInstanceUID"), capture.SOPInstanceUID)),
        *(part for image in refused for part in (text(image.header, "SOPInstanceUID"), *_said(image.refusal))),
    )
    report = new_instance(Comprehensive3DSRStorage, derive_uid("report", *key))
    carried = patient_and_study(first)
    take_over(carried, report)
    when = in_zone_of(carried, edition.when)
    _series(report, study, author, is_read=bool(images))
    _document(report, edition, when)
    evidence = [part for image, capture in images for part in (image.header, capture)]
    report.CurrentRequestedProcedureEvidenceSequence = [
        _evidence(study, [*evidence, *(image.header for image in refused)])
    ]
    procedure = _procedure(carried, [header for header in headers if header is not first])
    groups = [_group(image, capture, author, key) for image, capture in images]
    groups += [_refused_group(image, author, key) for image in refused]
    for element in _content(groups, headers, author, procedure)[0]:
        report.add(element)
    if refused:
        report.CodingSchemeIdentificationSequence = [scheme_identification()]
    stamp(report, when)
    sign(report, author, when)
    return report


def _series(report: Dataset, study: str, author: Author, *, is_read: bool) -> None:
    """SR Document Series module (PS3.3 C.17.1): where nothing was read, the list of series already says so."""
    kind, said = ("report-series", "AI pneumonia report") if is_read else ("refusal-series", "AI: not analysed")
    report.Modality = "SR"
    report.SeriesInstanceUID = derive_uid(kind, study, *author.key)
    report.SeriesNumber = SERIES_NUMBER
    report.SeriesDescription = f"{said} (not for diagnosis)"
    report.ReferencedPerformedProcedureStepSequence = []


def _document(report: Dataset, edition: Edition, when: datetime) -> None:
    """SR Document General module (PS3.3 C.17.2): final, verified by nobody, in place of the one before.

    It is partial where it cannot answer for an image that an earlier report had.
    """
    report.InstanceNumber = edition.revision
    report.CompletionFlag, report.VerificationFlag, report.PreliminaryFlag = "COMPLETE", "UNVERIFIED", "FINAL"
    if edition.not_kept is not None:
        report.CompletionFlag, report.CompletionFlagDescription = "PARTIAL", edition.not_kept
    report.ContentDate, report.ContentTime = date_and_time(when)
    report.PerformedProcedureCodeSequence = []
    if edition.predecessor is not None:
        study = text(edition.predecessor, "StudyInstanceUID")
        report.PredecessorDocumentsSequence = [_evidence(study, [edition.predecessor])]


def _said(refusal: Refusal) -> tuple[str, str]:
    return refusal.reason, refusal.detail


def _evidence(study: str, instances: Sequence[Dataset]) -> Dataset:
    """Every instance that the content refers to, by series (PS3.3 C.17.2.1)."""
    series: dict[str, list[Dataset]] = {}
    for instance in instances:
        item = Dataset()
        item.ReferencedSOPClassUID = text(instance, "SOPClassUID")
        item.ReferencedSOPInstanceUID = text(instance, "SOPInstanceUID")
        series.setdefault(text(instance, "SeriesInstanceUID"), []).append(item)
    evidence = Dataset()
    evidence.ReferencedSeriesSequence = [_referenced_series(uid, found) for uid, found in series.items()]
    evidence.StudyInstanceUID = study
    return evidence


def _referenced_series(series_instance_uid: str, found: list[Dataset]) -> Dataset:
    item = Dataset()
    item.ReferencedSOPSequence = found
    item.SeriesInstanceUID = series_instance_uid
    return item


def _content(
    groups: Sequence[sr.MeasurementsAndQualitativeEvaluations],
    headers: Sequence[Dataset],
    author: Author,
    procedure: CodedConcept,
) -> sr.MeasurementReport:
    report = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=_device(author)),
        procedure_reported=procedure,
        title=codes.DCM.ImagingMeasurementReport,
        imaging_measurements=list(groups),
        language_of_content_item_and_descendants=sr.LanguageOfContentItemAndDescendants(language=ENGLISH),
    )
    # The order of TID 1500 is significant: the Image Library comes before Imaging Measurements.
    sequence = report[0].ContentSequence
    place = next(
        at for at, item in enumerate(sequence) if item.ConceptNameCodeSequence[0].CodeValue == _IMAGING_MEASUREMENTS
    )
    sequence.insert(place, _image_library(headers))
    return report


# What does not change from image to image is built once: highdicom takes most of the time of a report.
@lru_cache(maxsize=4)
def _device(author: Author) -> sr.ObserverContext:
    """TID 1002 and 1004: the observer is a device, and another one for other weights."""
    return sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=author.device_uid,
            name=author.model.name,
            manufacturer_name=MANUFACTURER,
            model_name=author.model.name,
            serial_number=author.model.sha256[:16],
        ),
    )


def _procedure(carried: Dataset, others: Sequence[Dataset]) -> CodedConcept:
    found = procedure_code(carried, others)
    return CHEST_RADIOGRAPH if found is None else CodedConcept.from_dataset(found, copy=False)


def _group(
    image: ReadImage, capture: Dataset, author: Author, key: tuple[str, ...]
) -> sr.MeasurementsAndQualitativeEvaluations:
    """TID 1501: what is said of one image, by which algorithm, and the picture that explains it."""
    said, source = image.reading.classification, image.header
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=derive_uid("tracking", text(source, "SOPInstanceUID"), *key),
            identifier="Pneumonia classification",
        ),
        finding_type=PNEUMONIA if said.is_positive else None,
        finding_sites=[sr.FindingSite(anatomic_location=LUNG)],
        algorithm_id=_algorithm(author),
        measurements=[_certainty(said, source)],
        qualitative_evaluations=[sr.QualitativeEvaluation(PNEUMONIA, PRESENT if said.is_positive else ABSENT)],
        source_images=[sr.SourceImageForMeasurementGroup(text(source, "SOPClassUID"), text(source, "SOPInstanceUID"))],
    )
    # Row 9d of TID 1501, for which highdicom has no class.
    group[0].ContentSequence.append(
        sr.ImageContentItem(
            name=VISUAL_EXPLANATION,
            referenced_sop_class_uid=capture.SOPClassUID,
            referenced_sop_instance_uid=capture.SOPInstanceUID,
            relationship_type=sr.RelationshipTypeValues.CONTAINS,
        )
    )
    return group


def _refused_group(
    image: RefusedImage, author: Author, key: tuple[str, ...]
) -> sr.MeasurementsAndQualitativeEvaluations:
    """TID 1501 of an image that was not analysed: silence would look like a normal film."""
    source = image.header
    code, meaning = CODES[image.refusal.reason]
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=derive_uid("tracking", text(source, "SOPInstanceUID"), *key),
            identifier="Pneumonia classification",
        ),
        algorithm_id=_algorithm(author),
        qualitative_evaluations=[
            sr.QualitativeEvaluation(PNEUMONIA, UNDETERMINED),
            sr.QualitativeEvaluation(NOT_ANALYSED, CodedConcept(code, DESIGNATOR, meaning)),
        ],
        source_images=[sr.SourceImageForMeasurementGroup(text(source, "SOPClassUID"), text(source, "SOPInstanceUID"))],
    )
    group[0].ContentSequence.append(_region(source))
    group[0].ContentSequence.append(
        sr.TextContentItem(COMMENT, _printable(image.refusal.detail), sr.RelationshipTypeValues.CONTAINS)
    )
    return group


def _printable(words: str) -> str:
    """The words in what every character set holds: a detail quotes what a header says."""
    return "".join(letter if " " <= letter <= "~" else "?" for letter in words)


@lru_cache(maxsize=4)
def _algorithm(author: Author) -> sr.AlgorithmIdentification:
    """TID 4019 with all that changes the answer: operating point, weights, and whom it was let read."""
    parameters = [f"operating_point={author.threshold:.6f}", f"weights_sha256={author.model.sha256}"]
    if author.outside_population_allowed:
        parameters.append("allow_outside_population=true")
    return sr.AlgorithmIdentification(
        name=author.model.name,
        version=author.model.version,
        family=codes.DCM.ArtificialIntelligence,
        parameters=parameters,
    )


def _percent(said: Classification) -> float:
    """Two decimals, or as many as it takes to be on the side of the operating point on which the finding is."""
    rounded = (round(said.probability * 100, places) for places in (2, 4, 6, 8))
    on_its_side = (found for found in rounded if (found >= said.threshold * 100) == said.is_positive)
    return next(on_its_side, said.probability * 100)


def _certainty(said: Classification, source: Dataset) -> sr.Measurement:
    """0 to 100 %, inferred from a region that is the whole image: viewers show a black square for a bare image."""
    return sr.Measurement(
        name=CERTAINTY,
        value=_percent(said),
        unit=PERCENT,
        referenced_coordinates=[
            sr.CoordinatesForMeasurement(
                graphic_type="POLYLINE",
                graphic_data=_border(source),
                source_image=sr.SourceImageForRegion(text(source, "SOPClassUID"), text(source, "SOPInstanceUID")),
            )
        ],
    )


def _region(source: Dataset) -> sr.ScoordContentItem:
    """The whole image as a region: OHIF stops at a group without one, and shows nothing of the other groups either.

    TID 1501 is extensible; Image Region (111030, DCM) would make it the group of a contour (TID 1410), which it is not.
    """
    region = sr.ScoordContentItem(
        SOURCE, "POLYLINE", _border(source), relationship_type=sr.RelationshipTypeValues.CONTAINS
    )
    image = sr.SourceImageForRegion(text(source, "SOPClassUID"), text(source, "SOPInstanceUID"))
    region.ContentSequence = sr.ContentSequence([image])
    return region


def _border(source: Dataset) -> NDArray[np.float64]:
    """The closed border of the image, (6, 2), columns and rows from its upper left corner.

    It begins with a short edge at the lower left, beside which OHIF writes the value: beside another edge the words
    would stand to the right of the film, where there may be no room.
    """
    columns, rows = float(number(source, "Columns") or 1), float(number(source, "Rows") or 1)
    return np.array([[0, rows], [0, 0.75 * rows], [0, 0], [columns, 0], [columns, rows], [0, rows]], float)


def _image_library(headers: Sequence[Dataset]) -> sr.ContainerContentItem:
    """TID 1600 to 1603 from what each source says of itself; nothing is required of it."""
    group = sr.ContainerContentItem(IMAGE_LIBRARY_GROUP, relationship_type=sr.RelationshipTypeValues.CONTAINS)
    group.ContentSequence = sr.ContentSequence([_library_entry(header) for header in headers])
    library = sr.ContainerContentItem(IMAGE_LIBRARY, relationship_type=sr.RelationshipTypeValues.CONTAINS)
    library.ContentSequence = sr.ContentSequence([group])
    return library


def _library_entry(header: Dataset) -> sr.ImageContentItem:
    entry = sr.ImageContentItem(
        SOURCE,
        text(header, "SOPClassUID"),
        text(header, "SOPInstanceUID"),
        relationship_type=sr.RelationshipTypeValues.CONTAINS,
    )
    entry.ContentSequence = sr.ContentSequence(_described(header))
    return entry


def _described(header: Dataset) -> list[sr.ContentItem]:
    context = sr.RelationshipTypeValues.HAS_ACQ_CONTEXT
    described: list[sr.ContentItem] = []
    modality = _MODALITIES.get(text(header, "Modality").upper())
    if modality is not None:
        described.append(sr.CodeContentItem(MODALITY, modality, context))
    for keyword, name in (("Rows", ROWS), ("Columns", COLUMNS)):
        pixels = int(number(header, keyword) or 0)
        if pixels > 0:
            described.append(sr.NumContentItem(name, pixels, PIXELS, relationship_type=context))
    orientation = patient_orientation(header)
    if orientation:
        described += [
            sr.TextContentItem(ORIENTATION_ROW, orientation[0], context),
            sr.TextContentItem(ORIENTATION_COLUMN, orientation[1], context),
        ]
    spacing = pixel_spacing(header, "ImagerPixelSpacing", "PixelSpacing")
    if spacing:
        described += [
            sr.NumContentItem(HORIZONTAL_SPACING, spacing[1], MILLIMETRE, relationship_type=context),
            sr.NumContentItem(VERTICAL_SPACING, spacing[0], MILLIMETRE, relationship_type=context),
        ]
    return described

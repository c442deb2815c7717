"""Which instances are frontal chest radiographs that the network may read; every other one gets a coded reason.

The order of the checks is the order of certainty: what an object is, how it is encoded, what it shows, of whom.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from math import floor

from pydicom.dataset import Dataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    SecondaryCaptureImageStorage,
)

from pacs_ai.findings import Population, Refusal, RefusalReason
from pacs_ai.header import age_in_years, code_values, number, text, texts

from .views import FRONTAL_CODES, OTHER_VIEW_CODES

MIN_SIDE = 512
_MODALITIES = {"CR", "DX"}
# SNOMED CT (old and new), SRT and their lungs, as devices write (0008,2218).
_CHEST_CODES = {"51185008", "816094009", "T-D3000", "39607008", "T-28000", "43799004", "302551006"}
_CHEST_PARTS = {"CHEST", "THORAX", "TORAX", "LUNG", "LUNGS"}
_FRONTAL_POSITIONS = {"PA", "AP"}
_FRONTAL_WORDS = re.compile(r"(?<![A-Z])(PA|AP|P\.A\.|A\.P\.|FRONTAL)(?![A-Z])")
# Also in German, Spanish, French, Italian and Dutch: the series of a study called "Thorax pa" may be "Thorax seitl.".
_OTHER_VIEW_WORDS = re.compile(
    r"(?<![A-Z])(LAT|LATER[AO][A-Z]*|LL|L-L|RL|[RL]L[DO]|[RL][AP]O|OBL|OBLI[CQ][A-Z]*|AXIAL|DE[CK]UB\w*|LORDOT[A-Z]*"
    r"|SEITL[A-Z]*|SEITEN[A-Z]*|SCHRAE?G[A-Z]*|PERFIL|PROFIL)(?![A-Z])"
)
_CHEST_WORDS = re.compile(r"CHEST|THORAX|TORAX|LUNG|CXR")
_OTHER_PART_WORDS = re.compile(
    r"ABDOMEN|(?<![A-Z])RIBS?(?![A-Z])|SPINE|SHOULDER|(?<![A-Z])HAND|KNEE|PELVIS|CLAVIC|STERNUM|(?<![A-Z])HIP(?![A-Z])|SKULL"
    r"|(?<![A-Z])NECK(?![A-Z])|BABYGRAM|RIPPE|COSTILLA|WIRBELSAE?UL|COLUMNA|COLONNE|SCHULTER|HOMBRO|SCHLUE?SSELBEIN"
)
# Image Type is of CS, which has underscores where a description has spaces or hyphens.
_PROCESSED_WORDS = re.compile(
    r"BONE[ _-]?SUPP|SUBTRA[CK]T|SOFT[ _-]?TISSUE|KNOCHENSUPP|WEICHTEIL|ENERGY|TOMO|LOCALIZER|(?<![A-Z])CAD(?![A-Z])"
)
_DESCRIPTIONS = ("SeriesDescription", "ProtocolName", "AcquisitionDeviceProcessingDescription", "StudyDescription")


@dataclass(frozen=True, slots=True, kw_only=True)
class GatePolicy:
    """Whom the network was made for, and how large an image may be."""

    population: Population
    allow_outside_population: bool = False
    max_pixels: int = 100_000_000


Check = Callable[[Dataset, GatePolicy], Refusal | None]


def is_radiograph(header: Dataset) -> bool:
    """Whether the instance is a projection radiograph, so that somebody may expect a reading of it."""
    sop_class = text(header, "SOPClassUID")
    if sop_class == SecondaryCaptureImageStorage:
        return text(header, "Modality").upper() in _MODALITIES
    return sop_class in {
        ComputedRadiographyImageStorage,
        DigitalXRayImageStorageForPresentation,
        DigitalXRayImageStorageForProcessing,
    }


def examine(header: Dataset, policy: GatePolicy) -> Refusal | None:
    """None when the instance may be read; otherwise the first reason why it may not."""
    for check in CHECKS:
        refusal = check(header, policy)
        if refusal is not None:
            return refusal
    return None


def words_of_descriptions(header: Dataset) -> tuple[str, ...]:
    """The words of the header's descriptions that a check knows; what else stands there is nobody's business."""
    described = " ".join(_described(header))
    known = (_CHEST_WORDS, _OTHER_PART_WORDS, _FRONTAL_WORDS, _OTHER_VIEW_WORDS, _PROCESSED_WORDS)
    return tuple(dict.fromkeys(found[0] for pattern in known for found in pattern.finditer(described)))


def _refuse(reason: RefusalReason, detail: str) -> Refusal:
    # A detail quotes the header, and goes to reports in any character set.
    return Refusal(reason=reason, detail=re.sub(r"[^ -~]", "?", detail))


def _sop_class(header: Dataset, _policy: GatePolicy) -> Refusal | None:
    sop_class = text(header, "SOPClassUID")
    if sop_class == DigitalXRayImageStorageForProcessing:
        return _refuse(RefusalReason.NOT_FOR_PRESENTATION, "The image is a Digital X-Ray Image for processing.")
    readable = {
        ComputedRadiographyImageStorage,
        DigitalXRayImageStorageForPresentation,
        SecondaryCaptureImageStorage,
    }
    if sop_class in readable:
        return None
    return _refuse(
        RefusalReason.UNSUPPORTED_SOP_CLASS, f"SOP class {sop_class or '(none)'} is no radiograph that is read here."
    )


def _modality(header: Dataset, _policy: GatePolicy) -> Refusal | None:
    modality = text(header, "Modality").upper()
    if modality in _MODALITIES:
        return None
    return _refuse(RefusalReason.WRONG_MODALITY, f"Modality is {modality or '(empty)'}, not CR or DX.")


def _presentation_intent(header: Dataset, _policy: GatePolicy) -> Refusal | None:
    intent = text(header, "PresentationIntentType").upper()
    if intent in {"", "FOR PRESENTATION"}:
        return None
    return _refuse(RefusalReason.NOT_FOR_PRESENTATION, f"Presentation Intent Type is {intent}.")


def _image_type(header: Dataset, _policy: GatePolicy) -> Refusal | None:
    image_type = [part.upper() for part in texts(header, "ImageType")]
    is_capture = text(header, "SOPClassUID") == SecondaryCaptureImageStorage
    if not is_capture and len(image_type) > 1 and image_type[1] == "SECONDARY":
        return _refuse(RefusalReason.DERIVED_IMAGE, "Image Type says SECONDARY: a film made from another.")
    processed = _PROCESSED_WORDS.search(" ".join(image_type + _described(header)))
    if processed:
        return _refuse(RefusalReason.DERIVED_IMAGE, f"The header speaks of a processed image ({processed[0]}).")
    return None


def _photometric(header: Dataset, _policy: GatePolicy) -> Refusal | None:
    photometric = text(header, "PhotometricInterpretation").upper()
    samples = number(header, "SamplesPerPixel")
    if photometric in {"MONOCHROME1", "MONOCHROME2"} and samples in {1, None}:
        return None
    if not photometric:
        return _refuse(RefusalReason.UNDECODABLE, "There is no Photometric Interpretation, so no image to read.")
    return _refuse(
        RefusalReason.UNSUPPORTED_PHOTOMETRIC,
        f"Photometric Interpretation is {photometric}; only grey images are read.",
    )


def _frames(header: Dataset, _policy: GatePolicy) -> Refusal | None:
    frames = number(header, "NumberOfFrames")
    if frames in {None, 0, 1}:
        return None
    return _refuse(RefusalReason.MULTI_FRAME, f"The instance has {frames:.0f} frames; a radiograph has one.")


def _size(header: Dataset, policy: GatePolicy) -> Refusal | None:
    rows, columns = int(number(header, "Rows") or 0), int(number(header, "Columns") or 0)
    if rows <= 0 or columns <= 0:
        return _refuse(RefusalReason.UNDECODABLE, "Rows or Columns is missing.")
    if rows * columns > policy.max_pixels:
        return _refuse(
            RefusalReason.LIMIT_EXCEEDED,
            f"{rows} x {columns} pixels are more than ingest.max_megapixels ({policy.max_pixels // 1_000_000}) allows.",
        )
    if min(rows, columns) < MIN_SIDE:
        return _refuse(RefusalReason.TOO_SMALL, f"{rows} x {columns} pixels; the shorter side must have {MIN_SIDE}.")
    return None


def _body_part(header: Dataset, _policy: GatePolicy) -> Refusal | None:
    regions = code_values(header, "AnatomicRegionSequence")
    stated = _without_accents(text(header, "BodyPartExamined").upper())
    if regions:
        return None if regions & _CHEST_CODES else _not_chest(f"Anatomic Region is {', '.join(sorted(regions))}.")
    if stated:
        words = set(re.split(r"[^A-Z]+", stated))
        is_chest = bool(words & _CHEST_PARTS) and not _OTHER_PART_WORDS.search(stated)
        return None if is_chest else _not_chest(f"Body Part Examined is {stated}.")
    described = " ".join(_described(header))
    if _CHEST_WORDS.search(described) and not _OTHER_PART_WORDS.search(described):
        return None
    return _not_chest("Neither a code, Body Part Examined nor a description says that this is a chest.")


def _not_chest(detail: str) -> Refusal:
    return _refuse(RefusalReason.NOT_CHEST, detail)


def _view(header: Dataset, _policy: GatePolicy) -> Refusal | None:
    codes = code_values(header, "ViewCodeSequence")
    if codes & (FRONTAL_CODES | OTHER_VIEW_CODES):
        return None if codes & FRONTAL_CODES else _not_frontal(f"View Code is {', '.join(sorted(codes))}.")
    position = text(header, "ViewPosition").upper()
    if position:
        return None if position in _FRONTAL_POSITIONS else _not_frontal(f"View Position is {position}.")
    described = " ".join(_described(header))
    says_frontal, says_other = _FRONTAL_WORDS.search(described), _OTHER_VIEW_WORDS.search(described)
    if says_frontal and not says_other:
        return None
    if says_other and not says_frontal:
        return _not_frontal(f"The description says {says_other[0]}.")
    return _refuse(
        RefusalReason.VIEW_UNKNOWN, "Neither a code, View Position nor a description says that the view is frontal."
    )


def _not_frontal(detail: str) -> Refusal:
    return _refuse(RefusalReason.NOT_FRONTAL, detail)


def _age(header: Dataset, policy: GatePolicy) -> Refusal | None:
    age = age_in_years(header)
    if age is None or policy.allow_outside_population:
        return None
    youngest, oldest = policy.population.min_age_years, policy.population.max_age_years
    if (youngest is None or age >= youngest) and (oldest is None or floor(age) <= oldest):
        return None
    # The age itself stays out of the sentence: it goes to logs.
    side = "younger" if youngest is not None and age < youngest else "older"
    return _refuse(
        RefusalReason.AGE_OUT_OF_RANGE,
        f"The patient is {side} than the network's population ({youngest} to {oldest} years).",
    )


def _described(header: Dataset) -> list[str]:
    return [_without_accents(text(header, keyword).upper()) for keyword in _DESCRIPTIONS]


def _without_accents(words: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFKD", words) if not unicodedata.combining(letter))


CHECKS: tuple[Check, ...] = (
    _sop_class,
    _modality,
    _presentation_intent,
    _image_type,
    _photometric,
    _frames,
    _size,
    _body_part,
    _view,
    _age,
)

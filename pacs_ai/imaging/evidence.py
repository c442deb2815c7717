"""What the gate goes by, in words that name nobody: kept with each reading, so that it can be seen why it was made."""

from dataclasses import dataclass
from math import floor

from pydicom.dataset import Dataset

from pacs_ai.header import age_in_years, code_values, number, text, texts

from .gate import words_of_descriptions


@dataclass(frozen=True, slots=True, kw_only=True)
class GateEvidence:
    """The attributes that the gate looks at; of descriptions, which may hold anything, only the words it knows."""

    sop_class_uid: str
    modality: str
    presentation_intent_type: str
    image_type: tuple[str, ...]
    photometric_interpretation: str
    rows: float | None
    columns: float | None
    number_of_frames: float | None
    anatomic_regions: tuple[str, ...]
    body_part_examined: str
    view_codes: tuple[str, ...]
    view_position: str
    words_of_descriptions: tuple[str, ...]
    age_years: int | None


def evidence_of(header: Dataset) -> GateEvidence:
    """What the gate finds in this header; the age in completed years, and no birth date."""
    age = age_in_years(header)
    return GateEvidence(
        sop_class_uid=text(header, "SOPClassUID"),
        modality=text(header, "Modality"),
        presentation_intent_type=text(header, "PresentationIntentType"),
        image_type=tuple(texts(header, "ImageType")),
        photometric_interpretation=text(header, "PhotometricInterpretation"),
        rows=number(header, "Rows"),
        columns=number(header, "Columns"),
        number_of_frames=number(header, "NumberOfFrames"),
        anatomic_regions=tuple(sorted(code_values(header, "AnatomicRegionSequence"))),
        body_part_examined=text(header, "BodyPartExamined"),
        view_codes=tuple(sorted(code_values(header, "ViewCodeSequence"))),
        view_position=text(header, "ViewPosition"),
        words_of_descriptions=words_of_descriptions(header),
        age_years=None if age is None else floor(age),
    )

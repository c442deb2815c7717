"""Which films are read, and the code of the reason for each that is not."""

from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sr._cid_dict import cid_concepts
from pydicom.sr._concepts_dict import concepts
from pydicom.sr._snomed_dict import mapping as snomed
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForProcessing,
    SecondaryCaptureImageStorage,
)

from pacs_ai.findings import Population, RefusalReason
from pacs_ai.imaging.gate import CHECKS, GatePolicy, examine
from tests.builders import code, make_instance, make_rsna_instance

from .making import CHILDREN

R = RefusalReason
_BLANK = np.zeros((512, 512), np.uint16)
_SILENT_PART = {"AnatomicRegionSequence": None, "BodyPartExamined": None}
_SILENT_VIEW = {"ViewCodeSequence": None, "ViewPosition": None}
_SILENT_AGE = {"PatientAge": None, "PatientBirthDate": None}
_NO_WORDS = {"SeriesDescription": None, "StudyDescription": None}

REFUSED: dict[str, tuple[RefusalReason, dict[str, Any]]] = {
    "another SOP class": (R.UNSUPPORTED_SOP_CLASS, {"SOPClassUID": CTImageStorage}),
    "no SOP class": (R.UNSUPPORTED_SOP_CLASS, {"SOPClassUID": None}),
    "DX for processing by its SOP class": (
        R.NOT_FOR_PRESENTATION,
        {"SOPClassUID": DigitalXRayImageStorageForProcessing},
    ),
    "DX for processing by its intent": (R.NOT_FOR_PRESENTATION, {"PresentationIntentType": "FOR PROCESSING"}),
    "another modality": (R.WRONG_MODALITY, {"Modality": "RF"}),
    "no modality": (R.WRONG_MODALITY, {"Modality": None}),
    "a scan of paper": (R.WRONG_MODALITY, {"SOPClassUID": SecondaryCaptureImageStorage, "Modality": "OT"}),
    "a secondary image": (R.DERIVED_IMAGE, {"ImageType": ["DERIVED", "SECONDARY"]}),
    "a bone suppressed image": (R.DERIVED_IMAGE, {"SeriesDescription": "Chest PA Bone Suppressed"}),
    "a bone suppressed image by its type": (
        R.DERIVED_IMAGE,
        {"ImageType": ["DERIVED", "PRIMARY", "", "BONE_SUPPRESSED"]},
    ),
    "a soft tissue image by its type": (R.DERIVED_IMAGE, {"ImageType": ["DERIVED", "PRIMARY", "", "SOFT_TISSUE"]}),
    "a bone suppressed image, hyphenated": (R.DERIVED_IMAGE, {"SeriesDescription": "Chest PA bone-suppressed"}),
    "a bone suppressed image in German": (R.DERIVED_IMAGE, {"SeriesDescription": "Thorax pa Knochensuppression"}),
    "a soft tissue image in German": (R.DERIVED_IMAGE, {"SeriesDescription": "Thorax pa Weichteilbild"}),
    "a subtraction in German": (R.DERIVED_IMAGE, {"SeriesDescription": "Thorax pa Subtraktion"}),
    "a tomogram": (R.DERIVED_IMAGE, {"ImageType": ["DERIVED", "PRIMARY", "TOMOSYNTHESIS"]}),
    "a colour image": (R.UNSUPPORTED_PHOTOMETRIC, {"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}),
    "a palette image": (R.UNSUPPORTED_PHOTOMETRIC, {"PhotometricInterpretation": "PALETTE COLOR"}),
    "three samples called grey": (R.UNSUPPORTED_PHOTOMETRIC, {"SamplesPerPixel": 3}),
    "no photometric interpretation": (R.UNDECODABLE, {"PhotometricInterpretation": None}),
    "two frames": (R.MULTI_FRAME, {"NumberOfFrames": 2}),
    "no rows": (R.UNDECODABLE, {"Rows": None}),
    "no columns": (R.UNDECODABLE, {"Columns": 0}),
    "a thumbnail": (R.TOO_SMALL, {"Columns": 511}),
    "a huge image": (R.LIMIT_EXCEEDED, {"Rows": 20000, "Columns": 20000}),
    "another region by code": (R.NOT_CHEST, {"AnatomicRegionSequence": [code("818981001", "SCT", "Abdomen")]}),
    "another region by code, old scheme": (R.NOT_CHEST, {"AnatomicRegionSequence": [code("T-D8700", "SRT", "Hand")]}),
    "another body part": (R.NOT_CHEST, {"AnatomicRegionSequence": None, "BodyPartExamined": "HAND"}),
    "two body parts": (R.NOT_CHEST, {"AnatomicRegionSequence": None, "BodyPartExamined": "CHEST ABDOMEN"}),
    "another body part by description": (R.NOT_CHEST, {**_SILENT_PART, **_NO_WORDS, "StudyDescription": "XR KNEE"}),
    "ribs by description": (R.NOT_CHEST, {**_SILENT_PART, **_NO_WORDS, "StudyDescription": "CHEST RIBS"}),
    "ribs by description in German": (
        R.NOT_CHEST,
        {**_SILENT_PART, **_NO_WORDS, "StudyDescription": "Rippenthorax ap"},
    ),
    "ribs by description in Spanish": (
        R.NOT_CHEST,
        {**_SILENT_PART, **_NO_WORDS, "StudyDescription": "Tórax costillas"},
    ),
    "a shoulder by description in German": (
        R.NOT_CHEST,
        {**_SILENT_PART, **_NO_WORDS, "StudyDescription": "Thorax, Schulter"},
    ),
    "a spine beside a chest": (
        R.NOT_CHEST,
        {"AnatomicRegionSequence": None, "BodyPartExamined": "THORAX WIRBELSAEULE"},
    ),
    "a chest with the neck": (R.NOT_CHEST, {"AnatomicRegionSequence": None, "BodyPartExamined": "CHEST/NECK"}),
    "a whole infant": (R.NOT_CHEST, {**_SILENT_PART, **_NO_WORDS, "StudyDescription": "Babygram chest AP"}),
    "no body part at all": (R.NOT_CHEST, {**_SILENT_PART, **_NO_WORDS}),
    "lateral by code": (R.NOT_FRONTAL, {"ViewCodeSequence": [code("399067008", "SCT", "lateral")]}),
    "left lateral by code": (R.NOT_FRONTAL, {"ViewCodeSequence": [code("399173006", "SCT", "left lateral")]}),
    "right lateral by old code": (R.NOT_FRONTAL, {"ViewCodeSequence": [code("R-10232", "SRT", "right lateral")]}),
    "lateral by position": (R.NOT_FRONTAL, {"ViewCodeSequence": None, "ViewPosition": "LL"}),
    "lateral by description": (R.NOT_FRONTAL, {**_SILENT_VIEW, "SeriesDescription": "Chest Lat"}),
    "oblique by description": (R.NOT_FRONTAL, {**_SILENT_VIEW, "SeriesDescription": "Chest oblique"}),
    "two views by description": (R.VIEW_UNKNOWN, {**_SILENT_VIEW, "SeriesDescription": "Chest PA and Lat"}),
    "no view at all": (R.VIEW_UNKNOWN, {**_SILENT_VIEW, "SeriesDescription": "Chest"}),
    "PA only inside another word": (R.VIEW_UNKNOWN, {**_SILENT_VIEW, "SeriesDescription": "Chest pacemaker"}),
    "an infant": (R.AGE_OUT_OF_RANGE, {"PatientAge": "011M"}),
    "an adult": (R.AGE_OUT_OF_RANGE, {"PatientAge": "045Y"}),
}


def _film(**changes: Any) -> Dataset:
    return make_instance(stored=_BLANK, **changes)


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_for_the_network_is_refused_with_its_reason(what: str) -> None:
    reason, changes = REFUSED[what]

    refusal = examine(_film(**changes), CHILDREN)

    assert refusal is not None
    assert refusal.reason == reason
    assert refusal.detail.endswith(".")


@pytest.mark.parametrize("what", REFUSED)
def test_no_refusal_names_a_person(what: str) -> None:
    _, changes = REFUSED[what]
    header = _film(**changes)

    refusal = examine(header, CHILDREN)

    assert refusal is not None
    told = [str(header.PatientID), str(header.PatientBirthDate), *str(header.PatientName).split("^")]
    assert not [part for part in told if part in refusal.detail]


@pytest.mark.parametrize("keyword", ["BodyPartExamined", "ViewPosition", "Modality", "PhotometricInterpretation"])
def test_what_a_refusal_quotes_of_the_header_is_printable_ascii(keyword: str) -> None:
    header = _film(**_SILENT_PART, ViewCodeSequence=None)
    header.BodyPartExamined = "CHEST"
    header.add_new(keyword, "LO", "H\u00c4ND\x07\x1b\u9aa8")

    refusal = examine(header, CHILDREN)

    assert refusal is not None
    assert "?" in refusal.detail
    assert refusal.detail.isascii()
    assert refusal.detail.isprintable()


def test_the_table_holds_every_reason_of_the_gate() -> None:
    # What is no DICOM never comes to the gate; what the film shows, and what other films say, is not in its header.
    beyond_the_header = {R.NOT_DICOM, R.OUT_OF_DISTRIBUTION, R.OTHER_PATIENT}

    assert {reason for reason, _ in REFUSED.values()} == set(R) - beyond_the_header


@pytest.mark.parametrize("modality", ["DX", "CR"])
def test_a_frontal_chest_radiograph_of_a_child_is_read(modality: str) -> None:
    assert examine(_film(modality=modality), CHILDREN) is None


@pytest.mark.filterwarnings("ignore:Invalid value for VR AS")
def test_a_film_as_the_rsna_exports_it_is_read() -> None:
    assert examine(make_rsna_instance(), CHILDREN) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"AnatomicRegionSequence": [code("51185008", "SCT", "Chest")], "BodyPartExamined": "HAND"},
        {"AnatomicRegionSequence": [code("T-D3000", "SRT", "Chest")], "BodyPartExamined": None},
        {"AnatomicRegionSequence": [code("39607008", "SCT", "Lung")]},
        {"AnatomicRegionSequence": None, "BodyPartExamined": "THORAX"},
        {"AnatomicRegionSequence": None, "BodyPartExamined": "PORT CHEST"},
        {**_SILENT_PART, "StudyDescription": "Torax AP"},
        {**_SILENT_PART, "StudyDescription": None, "SeriesDescription": None, "ProtocolName": "CXR frontal"},
        {**_SILENT_PART, **_NO_WORDS, "SpecificCharacterSet": "ISO_IR 100", "StudyDescription": "RX TÓRAX PA"},
        {**_SILENT_PART, **_NO_WORDS, "SpecificCharacterSet": "ISO_IR 192", "StudyDescription": "RX Tórax PA"},
    ],
)
def test_a_chest_is_known_by_code_then_body_part_then_description(changes: dict[str, Any]) -> None:
    assert examine(_film(**changes), CHILDREN) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"ViewCodeSequence": [code("399348003", "SCT", "antero-posterior")], "ViewPosition": "LL"},
        {"ViewCodeSequence": [code("399033003", "SCT", "frontal")], "ViewPosition": None},
        {"ViewCodeSequence": [code("R-10206", "SRT", "antero-posterior")], "ViewPosition": None},
        {"ViewCodeSequence": None, "ViewPosition": "AP", "SeriesDescription": "Chest lateral"},
        {**_SILENT_VIEW, "SeriesDescription": "Chest p.a."},
        {**_SILENT_VIEW, "SeriesDescription": "view: AP"},
        {**_SILENT_VIEW, "SeriesDescription": "CHEST_AP_PORTABLE"},
        {**_SILENT_VIEW, "SeriesDescription": None, "ProtocolName": "Thorax frontal"},
    ],
)
def test_a_frontal_view_is_known_by_code_then_position_then_description(changes: dict[str, Any]) -> None:
    assert examine(_film(**changes), CHILDREN) is None


@pytest.mark.parametrize(
    "series",
    [
        # The terms of View Position that are not frontal (PS3.3 C.8.1.1), and the obliques of DX.
        *("Chest LL", "Chest RL", "Chest RLD", "Chest LLD", "Chest RLO", "Chest LLO"),
        *("Chest LAO", "Chest RAO", "Chest LPO", "Chest RPO", "Chest axial"),
        *("Chest laterals", "Thorax seitl.", "Thorax seitlich", "Thorax Seitenlage", "Thorax L-L", "Thorax schräg"),
        *("Tórax perfil", "Tórax oblícua", "Tórax decúbito", "Tórax lordótica"),
        *("Torace laterale", "Torace obliqua", "Thorax de profil", "Thorax lateraal", "Thorax dekubitus"),
    ],
)
def test_a_view_that_is_not_frontal_is_known_in_several_languages(series: str) -> None:
    alone = examine(_film(**_SILENT_VIEW, StudyDescription=None, SeriesDescription=series), CHILDREN)
    beside_pa = examine(_film(**_SILENT_VIEW, StudyDescription="Thorax pa", SeriesDescription=series), CHILDREN)

    assert [refusal and refusal.reason for refusal in (alone, beside_pa)] == [R.NOT_FRONTAL, R.VIEW_UNKNOWN]


@pytest.mark.parametrize("series", ["Chest PA bilateral", "Thorax pa, Husten seit 3 Tagen", "Chest PA profile 2"])
def test_a_word_that_only_looks_like_a_view_is_none(series: str) -> None:
    assert examine(_film(**_SILENT_VIEW, SeriesDescription=series), CHILDREN) is None


@pytest.mark.parametrize("keyword", cid_concepts[4010]["SCT"])
def test_each_view_of_the_context_group_is_frontal_or_not_in_either_scheme(keyword: str) -> None:
    for value, (meaning, _) in concepts["SCT"][keyword].items():
        coded = [code(value, "SCT", meaning), code(snomed["SCT"][value], "SRT", meaning)]
        refusals = [examine(_film(ViewCodeSequence=[item], ViewPosition="PA"), CHILDREN) for item in coded]

        is_read = meaning in {"frontal", "postero-anterior", "antero-posterior", "tissue specimen"}
        assert [refusal and refusal.reason for refusal in refusals] == [None if is_read else R.NOT_FRONTAL] * 2


@pytest.mark.parametrize(
    ("age", "is_read"),
    [
        ("011M", False),
        ("012M", True),
        ("001Y", True),
        ("018M", True),
        ("053W", True),
        ("051W", False),
        ("030D", False),
        ("071M", True),
        ("005Y", True),
        ("006Y", False),
        ("072M", False),
    ],
)
def test_the_stated_age_is_compared_in_completed_years(age: str, is_read: bool) -> None:
    refusal = examine(_film(PatientAge=age), CHILDREN)

    assert (refusal is None) == is_read


@pytest.mark.parametrize(
    ("born", "is_read"),
    [("20250106", False), ("20250105", True), ("20200106", True), ("20200105", False)],
)
def test_the_dates_are_compared_in_completed_years(born: str, is_read: bool) -> None:
    header = _film(PatientAge=None, PatientBirthDate=born, StudyDate="20260105")

    assert (examine(header, CHILDREN) is None) == is_read


def _with_age_of_58(**changes: Any) -> Dataset:
    header = _film(**changes)
    header.add_new("PatientAge", "AS", "58")
    return header


@pytest.mark.filterwarnings("ignore:Invalid value for VR AS")
def test_an_age_without_unit_says_nothing() -> None:
    assert examine(_with_age_of_58(PatientBirthDate=None), CHILDREN) is None
    refusal = examine(_with_age_of_58(PatientBirthDate="19680101"), CHILDREN)

    assert refusal is not None
    assert refusal.reason == R.AGE_OUT_OF_RANGE


def test_a_header_that_is_silent_of_the_age_is_read() -> None:
    assert examine(_film(**_SILENT_AGE), CHILDREN) is None


def test_any_age_is_read_when_the_operator_allows_it() -> None:
    permissive = GatePolicy(population=CHILDREN.population, allow_outside_population=True)

    assert examine(_film(PatientAge="090Y"), permissive) is None


@pytest.mark.parametrize(("age", "is_read"), [("000D", True), ("017Y", True), ("018Y", False)])
def test_a_population_without_a_lower_bound_has_none(age: str, is_read: bool) -> None:
    policy = GatePolicy(population=Population(max_age_years=17))

    assert (examine(_film(PatientAge=age), policy) is None) == is_read


def test_the_sentence_on_the_age_holds_no_age() -> None:
    refusal = examine(_film(PatientAge="087Y"), CHILDREN)

    assert refusal is not None
    assert "87" not in refusal.detail
    assert "older" in refusal.detail


def test_the_first_reason_is_what_the_object_is() -> None:
    everything_wrong = _film(
        SOPClassUID=CTImageStorage, Modality="CT", NumberOfFrames=9, BodyPartExamined="HAND", PatientAge="090Y"
    )

    refusal = examine(everything_wrong, CHILDREN)

    assert refusal is not None
    assert refusal.reason == R.UNSUPPORTED_SOP_CLASS


def test_an_empty_header_is_refused_and_no_check_raises() -> None:
    empty = Dataset()

    assert examine(empty, CHILDREN) is not None
    assert all(check(empty, CHILDREN) is None or check(empty, CHILDREN).reason in R for check in CHECKS)

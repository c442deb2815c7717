"""Films of the kinds that results are built of."""

import warnings
from collections.abc import Callable

from pydicom.dataset import Dataset

from tests.builders import make_rsna_instance

from .making import make_film, make_header

_OPTIONAL = (
    "SpecificCharacterSet",
    "PatientAge",
    "IssuerOfPatientID",
    "StudyDescription",
    "SeriesDescription",
    "ProcedureCodeSequence",
    "ImagerPixelSpacing",
    "WindowCenter",
    "WindowWidth",
    "AcquisitionDate",
    "AcquisitionTime",
    "SoftwareVersions",
)
_REQUIRED_BUT_OFTEN_MISSING = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PatientOrientation",
    "InstanceNumber",
    "SeriesNumber",
    "Manufacturer",
)
SOURCES: dict[str, Callable[[], Dataset]] = {
    "DX": make_film,
    "CR": lambda: make_film(modality="CR"),
    "RSNA": make_rsna_instance,
    "MONOCHROME1": lambda: make_film(PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE"),
    "lossy": lambda: make_film(
        LossyImageCompression="01", LossyImageCompressionRatio="9.5", LossyImageCompressionMethod="ISO_10918_1"
    ),
    "no optional attribute": lambda: make_film(modality="CR", **dict.fromkeys(_OPTIONAL)),
    "hardly any attribute": lambda: make_film(
        modality="CR", **dict.fromkeys((*_OPTIONAL, *_REQUIRED_BUT_OFTEN_MISSING))
    ),
    "Cyrillic": lambda: make_film(
        SpecificCharacterSet="ISO_IR 144", PatientName="Люксембург^Роза", ReferringPhysicianName=""
    ),
    "kanji": lambda: make_film(
        SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName="Yamada^Tarou=山田^太郎", ReferringPhysicianName=""
    ),
}


def make_source(name: str) -> Dataset:
    """The header of such a film; an age without unit is part of what an RSNA film is."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Invalid value for VR AS")
        return make_header(SOURCES[name]())

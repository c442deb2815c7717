"""The images of a study are of one patient: one report cannot be about two (PS3.3 A.1.2, a study has one patient)."""

from collections.abc import Sequence
from dataclasses import replace

from pydicom.dataset import Dataset

from .findings import Refusal, RefusalReason
from .header import text
from .imaging.gate import is_radiograph
from .opening import OpenedInstance

_DETAIL = "Patient ID or its issuer differs from that of the first radiograph of the study."


def of_one_patient(opened: Sequence[OpenedInstance]) -> list[OpenedInstance]:
    """The same instances; a radiograph of another patient than the first one that names one is refused for that.

    A header without a Patient ID contradicts nobody.
    """
    patients = [_patient(item.header) for item in opened if item.header is not None and is_radiograph(item.header)]
    first = next((patient for patient in patients if patient[0]), None)
    return [_refused(item) if first is not None and _is_other(item, first) else item for item in opened]


def _is_other(item: OpenedInstance, first: tuple[str, str]) -> bool:
    if item.header is None or not is_radiograph(item.header):
        return False
    return any(ours and theirs and ours != theirs for ours, theirs in zip(_patient(item.header), first, strict=True))


def _patient(header: Dataset) -> tuple[str, str]:
    return text(header, "PatientID"), text(header, "IssuerOfPatientID")


def _refused(item: OpenedInstance) -> OpenedInstance:
    return replace(item, found=Refusal(reason=RefusalReason.OTHER_PATIENT, detail=_DETAIL))

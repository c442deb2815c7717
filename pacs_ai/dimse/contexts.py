"""What is accepted in an association: SOP classes and transfer syntaxes (PS3.4 B, PS3.5 10)."""

from dataclasses import dataclass
from typing import Any

from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    SecondaryCaptureImageStorage,
)
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, _config
from pynetdicom.presentation import PresentationContext

from pacs_ai.imaging.decoders import DECODABLE

VERIFICATION = UID("1.2.840.10008.1.1")
COMMITMENT = UID("1.2.840.10008.1.20.1")
RADIOGRAPHS = (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    SecondaryCaptureImageStorage,
)
# Out of the standard since PS3.4-2004 or before, and still pushed by old archives (PS3.6 A, "Retired").
_RETIRED_STORAGE = (
    "1.2.840.10008.5.1.4.1.1.3",
    "1.2.840.10008.5.1.4.1.1.5",
    "1.2.840.10008.5.1.4.1.1.6",
    "1.2.840.10008.5.1.4.1.1.8",
    "1.2.840.10008.5.1.4.1.1.9",
    "1.2.840.10008.5.1.4.1.1.10",
    "1.2.840.10008.5.1.4.1.1.11",
    "1.2.840.10008.5.1.4.1.1.12.3",
    "1.2.840.10008.5.1.4.1.1.20",
)


class SharedContexts(list[PresentationContext]):
    """Negotiation reads them and changes nothing; a copy for each connection would take 50 ms of the processor."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "SharedContexts":
        return self


def storage_contexts() -> dict[str, list[str]]:
    """SOP class to the transfer syntaxes accepted for it.

    Radiographs in every syntax that can be decoded; what is only kept and noted, in every syntax there is, so that a
    router that sends whole studies never sees an association fall short.
    """
    everything = [str(context.abstract_syntax) for context in AllStoragePresentationContexts]
    contexts = {sop_class: list(ALL_TRANSFER_SYNTAXES) for sop_class in (*everything, *_RETIRED_STORAGE)}
    contexts.update({str(sop_class): [str(syntax) for syntax in DECODABLE] for sop_class in RADIOGRAPHS})
    return contexts


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeLimits:
    """Seconds to connect, to associate, and for an answer or a sign of life."""

    connect: float = 5
    associate: float = 5
    answer: float = 300


def new_ae(ae_title: str, limits: TimeLimits | None = None) -> AE:
    """An application entity with these time limits, or ours."""
    limits = limits or TimeLimits()
    # The standard handlers format every command and identifier: slow, and they print patients.
    _config.LOG_HANDLER_LEVEL = "none"
    ae = AE(ae_title=ae_title)
    ae.connection_timeout = limits.connect
    ae.acse_timeout = limits.associate
    ae.dimse_timeout = ae.network_timeout = limits.answer
    return ae


def accept_commitment(ae: AE) -> None:
    """The AE takes requests for storage commitment, and reports of nodes that propose to be the SCP (PS3.4 J)."""
    ae.add_supported_context(COMMITMENT, scu_role=True, scp_role=True)


def accept_everything_stored(ae: AE) -> None:
    """The AE accepts Verification and every storage context as SCP."""
    ae.add_supported_context(VERIFICATION)
    for sop_class, syntaxes in storage_contexts().items():
        ae.add_supported_context(sop_class, syntaxes)

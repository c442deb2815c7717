"""Why an image was not analysed, in a coding scheme of our own: no standard code says it (PS3.16 8.2)."""

from pydicom.dataset import Dataset

from pacs_ai.findings import RefusalReason

DESIGNATOR = "99PACSAI"
REASON = ("NA", DESIGNATOR, "Reason not analysed")

# A code, once used, means the same for ever. Code Value holds 16 characters, so that the reasons have numbers.
CODES: dict[RefusalReason, tuple[str, str]] = {
    RefusalReason.NOT_DICOM: ("NA01", "Not a DICOM instance"),
    RefusalReason.UNDECODABLE: ("NA02", "Pixel data cannot be decoded"),
    RefusalReason.UNSUPPORTED_SOP_CLASS: ("NA03", "SOP class not supported"),
    RefusalReason.WRONG_MODALITY: ("NA04", "Modality not supported"),
    RefusalReason.NOT_FOR_PRESENTATION: ("NA05", "Image not for presentation"),
    RefusalReason.DERIVED_IMAGE: ("NA06", "Derived or processed image"),
    RefusalReason.UNSUPPORTED_PHOTOMETRIC: ("NA07", "Photometric interpretation not supported"),
    RefusalReason.MULTI_FRAME: ("NA08", "More than one frame"),
    RefusalReason.TOO_SMALL: ("NA09", "Image too small"),
    RefusalReason.NOT_CHEST: ("NA10", "Not a chest radiograph"),
    RefusalReason.NOT_FRONTAL: ("NA11", "Not a frontal view"),
    RefusalReason.VIEW_UNKNOWN: ("NA12", "View not known"),
    RefusalReason.AGE_OUT_OF_RANGE: ("NA13", "Age outside of the population of the network"),
    RefusalReason.OUT_OF_DISTRIBUTION: ("NA14", "Image unlike those that the network has learned"),
    RefusalReason.LIMIT_EXCEEDED: ("NA15", "A limit of the service was exceeded"),
    RefusalReason.OTHER_PATIENT: ("NA16", "Patient differs from that of the study"),
}


def scheme_identification() -> Dataset:
    """What Coding Scheme Identification Sequence says of the scheme (PS3.3 C.12.1)."""
    item = Dataset()
    item.CodingSchemeDesignator = DESIGNATOR
    item.CodingSchemeName = "pacs-ai reasons"
    item.CodingSchemeResponsibleOrganization = "pacs-ai"
    return item

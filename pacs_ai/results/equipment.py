"""Who made an object: the General Equipment attributes and the item of Contributing Equipment Sequence."""

from datetime import datetime

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from .facts import MANUFACTURER, Author, date_and_time


def code_item(value: str, scheme: str, meaning: str) -> Dataset:
    """An item of a code sequence (PS3.3 8.8)."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def new_instance(sop_class_uid: UID, sop_instance_uid: UID) -> Dataset:
    """An empty instance that will be written in Explicit VR Little Endian."""
    instance = Dataset()
    instance.file_meta = FileMetaDataset()
    instance.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    instance.file_meta.MediaStorageSOPClassUID = instance.SOPClassUID = sop_class_uid
    instance.file_meta.MediaStorageSOPInstanceUID = instance.SOPInstanceUID = sop_instance_uid
    return instance


def stamp(target: Dataset, when: datetime) -> None:
    """The object says when it was made (PS3.3 C.12.1)."""
    target.InstanceCreationDate, target.InstanceCreationTime = date_and_time(when)


def sign(target: Dataset, author: Author, when: datetime) -> None:
    """The object says which device made it, also in Contributing Equipment with the Device UID of the network.

    IHE AI Results 6.5.3.1 asks for an item of Contributing Equipment for each algorithm.
    """
    target.Manufacturer = MANUFACTURER
    target.ManufacturerModelName = author.model.name
    target.DeviceSerialNumber = author.model.sha256[:16]
    target.SoftwareVersions = [author.software_version, author.model.version]
    item = Dataset()
    item.Manufacturer = MANUFACTURER
    item.ManufacturerModelName = author.model.name
    item.DeviceSerialNumber = author.model.sha256[:16]
    item.SoftwareVersions = [author.software_version, author.model.version]
    item.DeviceUID = author.device_uid
    item.ContributionDateTime = "".join(date_and_time(when))
    item.ContributionDescription = "Classification by an artificial neural network"
    item.PurposeOfReferenceCodeSequence = [code_item("109102", "DCM", "Processing Equipment")]
    target.ContributingEquipmentSequence = [item]

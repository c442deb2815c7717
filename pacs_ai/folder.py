"""Files to result objects without network or database: the same reading as the service, study by study."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydicom.dataset import Dataset

from .errors import LimitExceeded, NotDicom
from .findings import Refusal, RefusalReason
from .header import text
from .imaging.film import read_header
from .imaging.front import read_front
from .imaging.gate import is_radiograph
from .lines.instances import instance_line
from .opening import InstanceFile
from .process import BuiltObject, InstanceReading, Reader, encode, outcome_of, read_study
from .results.facts import Edition

_DATE_LENGTH = 8
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - DICOM dates have no zone


@dataclass(frozen=True, slots=True)
class FolderLine:
    """What became of one file, as it is printed."""

    document: dict[str, object]


@dataclass(frozen=True, slots=True)
class _Entry:
    path: Path
    header: Dataset | None
    refusal: Refusal | None

    @property
    def study(self) -> str | None:
        return None if self.header is None else text(self.header, "StudyInstanceUID")

    @property
    def sop_instance_uid(self) -> str:
        return "" if self.header is None else text(self.header, "SOPInstanceUID")


def process_folder(paths: Sequence[Path], reader: Reader, out: Path) -> Iterator[FolderLine]:
    """One line for each file, studies in the order in which they are met; objects are written under `out`."""
    out.mkdir(parents=True, exist_ok=True)
    entries = [_enter(path, reader) for path in paths]
    for study in dict.fromkeys(entry.study for entry in entries):
        members = [entry for entry in entries if entry.study == study]
        yield from _process_study(study, members, reader, out)


def _enter(path: Path, reader: Reader) -> _Entry:
    try:
        return _Entry(path, read_header(path, max_bytes=reader.opening.max_bytes), None)
    except NotDicom as error:
        return _Entry(path, read_front(path), Refusal(reason=RefusalReason.NOT_DICOM, detail=str(error)))
    except LimitExceeded as error:
        return _Entry(path, read_front(path), Refusal(reason=RefusalReason.LIMIT_EXCEEDED, detail=str(error)))
    except OSError as error:
        detail = f"The file cannot be read ({error.strerror})."
        return _Entry(path, None, Refusal(reason=RefusalReason.NOT_DICOM, detail=detail))


def _process_study(study: str | None, members: Sequence[_Entry], reader: Reader, out: Path) -> Iterator[FolderLine]:
    # One instance may lie in several files; it is read once.
    distinct = {entry.sop_instance_uid: entry for entry in members if entry.header is not None}
    files = [InstanceFile(path=e.path, sop_instance_uid=uid, when=_when([e])) for uid, e in distinct.items()]
    reading = read_study(files, reader, Edition(revision=1, when=_when(list(distinct.values()))))
    written = [(item, _write(item, out)) for item in reading.objects]
    found = {item.file.sop_instance_uid: item for item in reading.readings}
    for entry in members:
        instance = found.get(entry.sop_instance_uid) or InstanceReading(
            file=InstanceFile(path=entry.path, sop_instance_uid="", when=_EPOCH), refusal=entry.refusal
        )
        objects = [_object(item, path) for item, path in written if _speaks(item, entry)]
        yield FolderLine(
            instance_line(
                outcome_of(instance, reader.author), path=str(entry.path), study_instance_uid=study, objects=objects
            )
        )


def _speaks(item: BuiltObject, entry: _Entry) -> bool:
    if item.kind == "report":
        return entry.header is not None and is_radiograph(entry.header)
    return item.source_sop_instance_uid == entry.sop_instance_uid


def _object(item: BuiltObject, path: Path) -> dict[str, object]:
    return {
        "kind": item.kind,
        "path": str(path),
        "sop_class_uid": str(item.dataset.SOPClassUID),
        "sop_instance_uid": str(item.dataset.SOPInstanceUID),
    }


def _write(item: BuiltObject, out: Path) -> Path:
    path = out / f"{item.kind}-{item.dataset.SOPInstanceUID}.dcm"
    path.write_bytes(encode(item.dataset))
    return path


def _when(entries: Sequence[_Entry]) -> datetime:
    """The newest time in the headers: without a ledger it is what makes the same input give the same bytes."""
    return max((_header_time(entry.header) for entry in entries if entry.header is not None), default=_EPOCH)


def _header_time(header: Dataset) -> datetime:
    for kind in ("Acquisition", "Content", "Series", "Study"):
        day, time = text(header, f"{kind}Date"), text(header, f"{kind}Time")[:6].ljust(6, "0")
        # 00010101 is what programs write that know no date.
        stamp = day + time if len(day) == _DATE_LENGTH and not day.startswith("0") else ""
        try:
            return datetime.strptime(stamp, "%Y%m%d%H%M%S")  # noqa: DTZ007 - DICOM dates have no zone
        except ValueError:
            continue
    return _EPOCH

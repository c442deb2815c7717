"""An instance on disk, examined and opened: its film, or the reason why it is not read."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydicom.dataset import Dataset

from .errors import LimitExceeded, NotDicom, UndecodablePixels
from .findings import Refusal, RefusalReason
from .header import held_to
from .imaging.film import Film, read_header
from .imaging.front import read_front
from .imaging.gate import GatePolicy, examine
from .imaging.opener import FilmOpener

# All headers of a study are in memory together: of films there are few, of what is refused a study may have thousands.
_FILM_HEADER, _REFUSED_HEADER = 1 << 20, 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceFile:
    """One instance to read; `when` dates its capture."""

    path: Path
    sop_instance_uid: str
    when: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OpeningTerms:
    """Which instances are opened, how, and for a network of which input."""

    gate: GatePolicy
    films: FilmOpener
    input_size: int
    max_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedInstance:
    """An instance with its header, None where none can be read, and its pixels or the reason why they are not read."""

    file: InstanceFile
    header: Dataset | None
    found: Film | Refusal


def open_instance(file: InstanceFile, terms: OpeningTerms) -> OpenedInstance:
    """The instance is a film or refused; raises DecoderUnavailable, which says nothing of the instance.

    Of one that cannot be opened, what can be read of its header goes on, so that its study's report can answer for it.
    """
    header: Dataset | None = None
    found: Film | Refusal
    try:
        header = held_to(_FILM_HEADER, read_header(file.path, max_bytes=terms.max_bytes))
        found = examine(header, terms.gate) or terms.films.open(file.path, header, input_size=terms.input_size)
    except NotDicom as error:
        found = Refusal(reason=RefusalReason.NOT_DICOM, detail=str(error))
    except UndecodablePixels as error:
        found = Refusal(reason=RefusalReason.UNDECODABLE, detail=str(error))
    except LimitExceeded as error:
        found = Refusal(reason=RefusalReason.LIMIT_EXCEEDED, detail=str(error))
    header = header or read_front(file.path)
    if header is not None and isinstance(found, Refusal):
        header = held_to(_REFUSED_HEADER, header)
    return OpenedInstance(file=file, header=header, found=found)

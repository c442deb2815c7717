"""The main job on the sample radiographs, on loopback: service, stand-in PACS, a push, and the answers."""

import shutil
import tempfile
import time
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Self

from pacs_ai_storage.records import StudyState
from pacs_ai_storage.views import StudyView, show_study

from .dimse.archive import StandInArchive
from .dimse.sender import Sender
from .errors import PacsAiError
from .imaging.film import read_header
from .imaging.gate import is_radiograph
from .lines.instances import instance_line, speaking_of
from .parcels import Parcel
from .samples import sample_paths
from .service import Service
from .settings import IngestSettings, Node, Settings

_HOST = "127.0.0.1"
_PATIENCE_SECONDS = 180
_ENDED = {StudyState.DELIVERED, StudyState.DECLINED, StudyState.FAILED}


class Demonstration:
    """A service and a stand-in PACS that end with the `with` block; a temporary data folder stays for looking at."""

    def __init__(self, settings: Settings, *, data: Path | None, port: int, http_port: int | None = None) -> None:
        """With an HTTP port, 0 for any free one, there are pages to look at, on loopback and without a token."""
        self.data = data or Path(tempfile.mkdtemp(prefix="pacs-ai-demo-"))
        self.ae_title = settings.dicom.ae_title
        self._archive = StandInArchive()
        node = Node(name="stand-in", ae_title=self._archive.ae_title, host=_HOST, port=self._archive.start(_HOST))
        self._settings = settings.model_copy(
            update={
                "data": self.data,
                "nodes": (node,),
                "dicom": settings.dicom.model_copy(update={"host": _HOST, "allowed_calling_ae_titles": ()}),
                "ingest": _quick(settings.ingest),
                "audit": settings.audit.model_copy(update={"url": ""}),
                "http": settings.http.model_copy(update={"enabled": False, "host": _HOST, "token_env": ""}),
            }
        )
        self._service = Service(self._settings, port=port, http_port=http_port)
        self.port = 0

    def __enter__(self) -> Self:
        self.port = self._service.start().port
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._service.stop()
        self._archive.stop()
        if kind is not None:
            shutil.rmtree(self.data, ignore_errors=True)

    @property
    def address(self) -> str | None:
        """Where the pages are; None where there are none."""
        port = self._service.http_port
        return None if port is None else f"http://{_HOST}:{port}/"

    def wait_for_interrupt(self) -> None:
        """Returns on Ctrl-C."""
        try:
            Event().wait()
        except KeyboardInterrupt:
            return

    def run(self) -> list[dict[str, object]]:
        """One line for each sample, after every study has come to its end; PacsAiError when one does not."""
        self._service.wait_until_ready()
        pushed = self._push(sample_paths())
        ended = self._wait_for({study for study, _ in pushed.values()})
        return [self._line(path, *pushed[path], ended) for path in pushed]

    def _push(self, paths: list[Path]) -> dict[Path, tuple[str, float]]:
        parcels = {path: _parcel(path) for path in paths}
        target = Node(name="pacs-ai", ae_title=self.ae_title, host=_HOST, port=self.port)
        pushed = {}
        started = time.monotonic()
        for outcome in Sender("DEMO").send(target, [parcel for parcel, _ in parcels.values()]):
            if not outcome.is_accepted:
                message = f"{outcome.parcel.path.name} was not accepted: {outcome.detail}"
                raise PacsAiError(message)
            pushed[outcome.parcel.path] = (parcels[outcome.parcel.path][1], started)
        return pushed

    def _wait_for(self, studies: set[str]) -> dict[str, tuple[StudyView, float]]:
        ended: dict[str, tuple[StudyView, float]] = {}
        patience = time.monotonic() + _PATIENCE_SECONDS
        while studies - ended.keys():
            if self._service.has_failed or time.monotonic() > patience:
                message = f"{len(studies - ended.keys())} studies did not come to an end"
                raise PacsAiError(message)
            with self._service.stores.database.read() as connection:
                for uid in studies - ended.keys():
                    view = show_study(connection, uid)
                    if view is not None and view.study.state in _ENDED:
                        ended[uid] = (view, time.monotonic())
            time.sleep(0.05)
        return ended

    def _line(
        self, path: Path, study: str, started: float, ended: dict[str, tuple[StudyView, float]]
    ) -> dict[str, object]:
        view, at = ended[study]
        header = read_header(path, max_bytes=1 << 30)
        instance = str(header.SOPInstanceUID)
        outcome = next(item for item in view.outcomes if item.sop_instance_uid == instance)
        objects = [
            {
                "kind": item.kind,
                "path": str(self._service.stores.instances.locate(item.file)),
                "sop_class_uid": item.sop_class_uid,
                "sop_instance_uid": item.sop_instance_uid,
                "accepted": item.sop_instance_uid in self._archive.accepted,
            }
            for item in speaking_of(view.objects, outcome, is_radiograph=is_radiograph(header))
        ]
        line = instance_line(outcome, path=str(path), study_instance_uid=study, objects=objects)
        return {**line, "seconds": round(at - started, 2)}


def _quick(ingest: IngestSettings) -> IngestSettings:
    # A laptop with a nearly full disk should still be able to try it.
    return ingest.model_copy(update={"stable_after": 1.0, "disk_reserve_gb": 0.5})


def _parcel(path: Path) -> tuple[Parcel, str]:
    header = read_header(path, max_bytes=1 << 30)
    parcel = Parcel(
        path=path,
        sop_class_uid=str(header.SOPClassUID),
        sop_instance_uid=str(header.SOPInstanceUID),
        transfer_syntax_uid=str(header.file_meta.TransferSyntaxUID),
    )
    return parcel, str(header.StudyInstanceUID)

"""A running service with a tiny classifier, and what to ask it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from pacs_ai_storage.records import KeptFile, StudyState
from pacs_ai_storage.views import StudyView

from pacs_ai.findings import ModelInput, Reading
from pacs_ai.service import Service
from pacs_ai.settings import Settings
from tests.builders import make_instance
from tests.fakes import TinyClassifier

from .peers import file_of
from .studies import actions, seen
from .waiting import wait_until


@dataclass
class Gated(TinyClassifier):
    """It reads when the gate is open, and fails as often as it is told to."""

    gate: Event = field(default_factory=Event)
    failures: int = 0

    def read(self, inputs: Sequence[ModelInput]) -> list[Reading]:
        self.gate.wait()
        if self.failures:
            self.failures -= 1
            message = "the network is out of order"
            raise ArithmeticError(message)
        return super().read(inputs)


@dataclass
class Running:
    service: Service
    port: int

    def view(self, study: str) -> StudyView:
        return seen(self.service.stores.database, study)

    def wait_for(self, study: str, *states: StudyState) -> StudyView:
        return wait_until(lambda: view if (view := self.view(study)).study.state in states else None)

    def locate(self, file: KeptFile) -> Path:
        return self.service.stores.instances.locate(file)

    def trail(self, study: str) -> list[tuple[str, str | None]]:
        return actions(self.service.stores.database, study)


@contextmanager
def running(settings: Settings, classifier: TinyClassifier | None = None) -> Iterator[Running]:
    service = Service(settings, load=lambda _settings, _card: classifier or TinyClassifier(), port=0)
    listener = service.start()
    try:
        yield Running(service=service, port=listener.port)
    finally:
        service.stop()
    assert not service.has_failed


def radiograph(folder: Path, **changes: object) -> tuple[str, Path]:
    instance = make_instance(**changes)
    return instance.StudyInstanceUID, file_of(folder, instance)

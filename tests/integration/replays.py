"""A data folder of studies that were read, and readers to read them again with."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from pacs_ai_storage.audit import AuditFilter, query
from pacs_ai_storage.claims import ClaimTerms
from pacs_ai_storage.readings import setup_changes
from pacs_ai_storage.records import AuditEvent, StoredInstance
from pacs_ai_storage.views import StudyView
from pydicom.dataset import Dataset

from pacs_ai.inference.card import read_card
from pacs_ai.inference.classifier import CardClassifier
from pacs_ai.process import Reader, read_claimed
from pacs_ai.provenance import in_words
from pacs_ai.reading import build_reader, film_opener
from pacs_ai.replay import Replayed, replay_study
from pacs_ai.settings import IngestSettings, ModelSettings, Settings
from pacs_ai.stores import Stores, open_stores
from tests.builders import make_instance, part10
from tests.unit.networks import SIDE, mean_network, model_folder

from .studies import seen

READ_AT = datetime(2026, 1, 5, 10, 30, tzinfo=UTC)
TERMS = ClaimTerms(owner="here", stable_after=timedelta(0), lease=timedelta(minutes=1))


def network(folder: Path, **card: object) -> Path:
    """A folder with a network that says the mean of the image, under a card with these changes."""
    folder.mkdir()
    return model_folder(mean_network(folder / "net.onnx", ["n", SIDE, SIDE, 1]), **card)


def film(level: int, **changes: object) -> Dataset:
    return make_instance(stored=np.full((512, 512), level, np.uint16), **changes)


@contextmanager
def reading_with(settings: Settings) -> Iterator[Reader]:
    card = read_card(settings.model.path)
    with film_opener(settings) as films:
        yield build_reader(settings, card, CardClassifier(card, settings.model.threshold or None), films)


@dataclass(frozen=True)
class Folder:
    """`settings` are those that its studies were read with."""

    settings: Settings
    stores: Stores

    def changed(self, **model: object) -> Settings:
        return self.settings.model_copy(update={"model": self.settings.model.model_copy(update=model)})

    def begin(self, settings: Settings, at: datetime) -> None:
        """As a service that starts with these settings."""
        with reading_with(settings) as reader:
            self.stores.ledger.read_with(reader.setup, at, detail=in_words(reader.setup))

    def read(self, *films: Dataset, at: datetime = READ_AT) -> list[str]:
        """The films, each in the study that it names, were received and read; the studies in their order."""
        self.receive(*films, at=at)
        with reading_with(self.settings) as reader:
            while claimed := self.stores.ledger.claim_stable(at, TERMS):
                result = read_claimed(claimed, reader, self.stores.instances)
                self.stores.ledger.keep_results(claimed, result, ["pacs"], at)
        return list(dict.fromkeys(str(instance.StudyInstanceUID) for instance in films))

    def receive(self, *films: Dataset, at: datetime) -> None:
        for instance in films:
            self.stores.ledger.record(self._received(instance, at))

    def _received(self, instance: Dataset, at: datetime) -> StoredInstance:
        return StoredInstance(
            sop_instance_uid=str(instance.SOPInstanceUID),
            sop_class_uid=str(instance.SOPClassUID),
            study_instance_uid=str(instance.StudyInstanceUID),
            series_instance_uid=str(instance.SeriesInstanceUID),
            transfer_syntax_uid=str(instance.file_meta.TransferSyntaxUID),
            accession_number="ACC0001",
            calling_ae_title="MODALITY",
            received_at=at,
            file=self.stores.instances.keep([part10(instance)]),
        )

    def view(self, study: str) -> StudyView:
        return seen(self.stores.database, study)

    def kept_file(self, study: str) -> Path:
        return self.stores.instances.locate(self.view(study).instances[0].file)

    def replay(self, settings: Settings, *studies: str) -> list[Replayed]:
        with self.stores.database.read() as connection:
            changes = setup_changes(connection)
        with reading_with(settings) as reader:
            found = [replay_study(self.view(study), reader, self.stores.instances, changes) for study in studies]
        return [item for replayed in found for item in replayed]

    def events(self, action: str) -> list[AuditEvent]:
        with self.stores.database.read() as connection:
            return query(connection, AuditFilter(action=action))


def new_folder(path: Path, **card: object) -> Folder:
    """Empty, with a network of its own, whose service has begun to read."""
    path.mkdir(exist_ok=True)
    settings = Settings(
        data=path / "data",
        model=ModelSettings(path=str(network(path / "model", **card))),
        ingest=IngestSettings(disk_reserve_gb=0),
    )
    folder = Folder(settings=settings, stores=open_stores(settings))
    folder.begin(settings, READ_AT - timedelta(hours=1))
    return folder

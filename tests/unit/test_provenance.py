"""What a reading was made with and what it went by, in text that names nobody."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from pacs_ai import __version__
from pacs_ai.findings import RefusalReason
from pacs_ai.imaging.evidence import evidence_of
from pacs_ai.inference.card import read_card
from pacs_ai.inference.classifier import CardClassifier
from pacs_ai.process import InstanceReading, outcome_of, read_study
from pacs_ai.provenance import flattened, in_words, setup_of
from pacs_ai.settings import (
    DicomSettings,
    IngestSettings,
    ModelSettings,
    ResultSettings,
    Settings,
    WorklistSettings,
)
from tests.builders import make_instance

from .making import AUTHOR, FIRST, SETUP, bright, dark, lay, make_header, make_reader
from .networks import OFFSET, SIDE, WEIGHT, mean_network, model_folder

CARD = read_card("")


def _evidence(item: InstanceReading) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(item.evidence or "")
    return found


def _ticking() -> Iterator[float]:
    return (float(second) for second in count())


def _named_patient(**changes: Any) -> Dataset:
    return make_instance(
        PatientName="Quixote^Alonso",
        PatientID="LM-1605",
        PatientBirthDate="20220203",
        PatientAge=None,
        StudyDate="20260105",
        SeriesDescription="CHEST PA QUIXOTE 20220203",
        StudyDescription="THORAX OF LM-1605",
        AccessionNumber="ACC-77",
        **changes,
    )


def test_the_evidence_of_the_gate_has_its_words_and_the_age_and_nobody_s_name() -> None:
    evidence = evidence_of(make_header(_named_patient()))

    assert (evidence.age_years, evidence.modality, evidence.view_position) == (3, "DX", "PA")
    assert evidence.words_of_descriptions == ("CHEST", "THORAX", "PA")
    assert not re.search("quixote|alonso|1605|0203|ACC|2026", repr(evidence), re.IGNORECASE)


def test_a_film_that_is_read_and_one_that_is_refused_both_keep_their_evidence(tmp_path: Path) -> None:
    read, refused = bright(StudyInstanceUID="1.2.3"), dark(StudyInstanceUID="1.2.3", Modality="MR")

    readings = read_study(lay(tmp_path, read, refused), make_reader(), FIRST).readings

    first, second = map(_evidence, readings)
    assert (first["gate"]["modality"], second["gate"]["modality"]) == ("DX", "MR")
    assert all(re.fullmatch("[0-9a-f]{64}", first[name]) for name in ("pixel_data_sha256", "model_input_sha256"))
    assert (second["pixel_data_sha256"], second["model_input_sha256"]) == (None, None)
    outcomes = [outcome_of(item, AUTHOR) for item in readings]
    assert {(item.setup_sha256, item.evidence is None) for item in outcomes} == {(SETUP.sha256, False)}


def test_what_cannot_be_opened_has_no_evidence_of_a_gate(tmp_path: Path) -> None:
    files = lay(tmp_path, dark())
    files[0].path.write_bytes(b"no film" * 100)

    (item,) = read_study(files, make_reader(), FIRST).readings

    assert item.refusal is not None
    assert (item.refusal.reason, _evidence(item)["gate"]) == (RefusalReason.NOT_DICOM, None)


def test_each_step_is_timed(tmp_path: Path) -> None:
    films = lay(tmp_path, bright(StudyInstanceUID="1.2.3"), dark(StudyInstanceUID="1.2.3", Modality="MR"))
    ticks = _ticking()

    readings = read_study(films, make_reader(stopwatch=lambda: next(ticks)), FIRST).readings

    assert [_evidence(item)["seconds"] for item in readings] == [
        {"opening": 1.0, "network": 1.0, "results": 1.0},
        {"opening": 1.0, "results": 1.0},
    ]


def test_the_probability_is_kept_as_the_network_said_it_and_as_it_was_calibrated(tmp_path: Path) -> None:
    path = mean_network(tmp_path / "net.onnx", ["n", SIDE, SIDE, 1])
    classifier = CardClassifier(read_card(model_folder(path, calibration={"temperature": 2.0, "bias": 0.25})))
    reader = make_reader(classifier=classifier)
    reader = replace(reader, opening=replace(reader.opening, input_size=SIDE))
    film = make_instance(stored=np.full((512, 512), 2500, np.uint16))

    (item,) = read_study(lay(tmp_path / "films", film), reader, FIRST).readings

    evidence = _evidence(item)
    assert item.classification is not None
    assert OFFSET < evidence["logit"] < OFFSET + WEIGHT
    plain, calibrated = (1 / (1 + np.exp(-at)) for at in (evidence["logit"], evidence["logit"] / 2 + 0.25))
    assert evidence["probability_before_calibration"] == pytest.approx(plain)
    assert item.classification.probability == pytest.approx(calibrated)


@pytest.mark.parametrize(
    "changed",
    [
        Settings(model=ModelSettings(threshold=0.9)),
        Settings(model=ModelSettings(allow_outside_population=True)),
        Settings(ingest=IngestSettings(max_megapixels=5)),
        Settings(ingest=IngestSettings(decoder_seconds=5)),
        Settings(results=ResultSettings(heat_map="never")),
    ],
    ids=lambda settings: str(sorted(settings.model_fields_set)),
)
def test_a_setting_that_changes_what_is_said_makes_another_setup(changed: Settings) -> None:
    before, after = (flattened(setup_of(settings, CARD)) for settings in (Settings(), changed))

    names = {name for name in before if before[name] != after[name]}
    assert len(names) == 2
    assert "settings_sha256" in names


def test_other_settings_make_the_same_setup() -> None:
    changed = Settings(
        data=Path("elsewhere"),
        dicom=DicomSettings(port=104),
        worklist=WorklistSettings(stat_minutes=1),
        ingest=IngestSettings(readers=1, stable_after=60),
        model=ModelSettings(threshold=CARD.threshold),
    )

    assert setup_of(changed, CARD) == setup_of(Settings(), CARD)


def test_another_calibration_of_the_same_weights_is_another_setup(tmp_path: Path) -> None:
    path = mean_network(tmp_path / "net.onnx", ["n", SIDE, SIDE, 1])
    cards = [read_card(model_folder(path, calibration={"temperature": at})) for at in (1.0, 1.5)]

    first, second = (flattened(setup_of(Settings(), card)) for card in cards)

    assert {name for name in first if first[name] != second[name]} == {"model.card_sha256"}
    assert {"software.onnxruntime"} == {name for name in first if "onnx" in name or "tensor" in name}


def test_the_software_that_computes_stands_in_the_setup_with_its_versions() -> None:
    found = flattened(setup_of(Settings(), CARD))

    versions = {name.removeprefix("software."): value for name, value in found.items() if name.startswith("software.")}
    assert versions.keys() == {
        "pacs-ai",
        "python",
        "numpy",
        "pydicom",
        "opencv-python-headless",
        "imagecodecs",
        "tensorflow",
        "keras",
    }
    assert versions["pacs-ai"] == __version__
    assert versions["numpy"] == np.__version__
    assert "unknown" not in versions.values()
    assert f"model={CARD.identity.name} {CARD.identity.version}" in in_words(setup_of(Settings(), CARD))

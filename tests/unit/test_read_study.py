"""From the files of a study to readings, a priority and result objects."""

import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, SecondaryCaptureImageStorage

from pacs_ai import judging, metered
from pacs_ai.findings import ModelInput, Outcome, PriorityLevel, Reading, Refusal, RefusalReason
from pacs_ai.imaging.gate import GatePolicy
from pacs_ai.opening import InstanceFile, open_instance
from pacs_ai.process import StudyReading, encode, outcome_of, read_study
from pacs_ai.results.facts import Edition
from tests.builders import make_rsna_instance, part10
from tests.fakes import TinyClassifier

from .dirty import make_dirty_film
from .making import AUTHOR, CHILDREN, FIRST, WHEN, bright, content_items, dark, lay, make_reader, read_back
from .peers import validation_errors

STUDY = "1.2.3.4"


def _read(folder: Path, *instances: Dataset, revision: int = 1, **changes: object) -> StudyReading:
    return read_study(lay(folder, *instances), make_reader(**changes), Edition(revision=revision, when=WHEN))


def _kinds(reading: StudyReading) -> list[str]:
    return [item.kind for item in reading.objects]


def test_each_film_that_is_read_has_a_capture_and_the_study_one_report(tmp_path: Path) -> None:
    films = [bright(StudyInstanceUID=STUDY), dark(StudyInstanceUID=STUDY)]

    reading = _read(tmp_path, *films)

    assert _kinds(reading) == ["capture", "capture", "report"]
    assert [item.source_sop_instance_uid for item in reading.objects] == [
        *(film.SOPInstanceUID for film in films),
        None,
    ]
    assert {item.dataset.StudyInstanceUID for item in reading.objects} == {STUDY}


def test_a_bright_film_is_positive_and_a_dark_one_negative(tmp_path: Path) -> None:
    reading = _read(tmp_path, bright(StudyInstanceUID=STUDY), dark(StudyInstanceUID=STUDY))

    said = [item.classification.outcome for item in reading.readings if item.classification]
    assert said == [Outcome.POSITIVE, Outcome.NEGATIVE]
    assert reading.outcome.outcome is Outcome.POSITIVE
    assert reading.priority.level is PriorityLevel.STAT


class _Unsure(TinyClassifier):
    """Has not learned dark films."""

    def read(self, inputs: Sequence[ModelInput]) -> list[Reading]:
        stranger = Refusal(reason=RefusalReason.OUT_OF_DISTRIBUTION, detail="By its pixels the image is no film.")
        return [
            reading if reading.classification.is_positive else replace(reading, refusal=stranger)
            for reading in super().read(inputs)
        ]


def test_a_film_that_the_network_has_not_learned_gets_no_probability_and_no_capture(tmp_path: Path) -> None:
    known, strange = bright(StudyInstanceUID=STUDY), dark(StudyInstanceUID=STUDY)

    reading = _read(tmp_path, known, strange, classifier=_Unsure())

    outcomes = {item.file.sop_instance_uid: outcome_of(item, AUTHOR) for item in reading.readings}
    refused = outcomes[strange.SOPInstanceUID]
    assert (refused.outcome, refused.reason, refused.probability) == ("not_analysed", "OUT_OF_DISTRIBUTION", None)
    assert outcomes[known.SOPInstanceUID].outcome == "positive"
    assert [item.source_sop_instance_uid for item in reading.objects] == [known.SOPInstanceUID, None]
    groups = content_items(reading.objects[-1].dataset, "125007")
    assert [len(content_items(group, "111012")) for group in groups] == [1, 0]
    assert strange.SOPInstanceUID in str(groups[1])


def test_a_film_that_the_gate_refuses_is_answered_in_the_report_of_the_others(tmp_path: Path) -> None:
    frontal, lateral = (
        dark(StudyInstanceUID=STUDY),
        dark(StudyInstanceUID=STUDY, ViewCodeSequence=None, ViewPosition="LL"),
    )

    reading = _read(tmp_path, lateral, frontal)

    refused = {item.file.sop_instance_uid: item.refusal.reason for item in reading.readings if item.refusal}
    assert refused == {lateral.SOPInstanceUID: RefusalReason.NOT_FRONTAL}
    assert _kinds(reading) == ["capture", "report"]
    assert len(content_items(reading.objects[-1].dataset, "125007")) == 2
    assert "not analysed: NOT_FRONTAL" in reading.priority.reasons


@pytest.mark.parametrize("keyword", ["PatientID", "IssuerOfPatientID"])
def test_a_film_of_another_patient_in_the_study_is_not_read_and_the_report_says_so(
    keyword: str, tmp_path: Path
) -> None:
    film, other = bright(StudyInstanceUID=STUDY, **{keyword: "ONE"}), bright(StudyInstanceUID=STUDY, **{keyword: "TWO"})

    reading = _read(tmp_path, film, other)

    assert _kinds(reading) == ["capture", "report"]
    assert [item.refusal.reason for item in reading.readings if item.refusal] == [RefusalReason.OTHER_PATIENT]
    report = reading.objects[1].dataset
    assert report[keyword].value == "ONE"
    assert validation_errors(report, tmp_path) == []
    assert [item.ConceptCodeSequence[0].CodeValue for item in content_items(report, "NA")] == ["NA16"]


def test_of_more_films_than_fit_into_memory_the_first_are_read_and_the_report_answers_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "MOST_FILMS", 2)

    reading = _read(tmp_path, *(bright(StudyInstanceUID=STUDY) for _ in range(4)))

    assert _kinds(reading) == ["capture", "capture", "report"]
    assert [item.refusal.reason if item.refusal else None for item in reading.readings] == [
        None,
        None,
        RefusalReason.LIMIT_EXCEEDED,
        RefusalReason.LIMIT_EXCEEDED,
    ]
    assert len(content_items(reading.objects[-1].dataset, "125007")) == 4


def test_large_values_of_a_header_do_not_stay_in_memory(tmp_path: Path) -> None:
    nested = Dataset()
    nested.add_new(0x00091002, "OB", bytes(2 << 20))
    film = bright(StudyInstanceUID=STUDY, SeriesDescription="Kept")
    film.add_new(0x00090010, "LO", "MAKER")
    film.add_new(0x00091001, "OB", bytes(2 << 20))
    film.add_new(0x00091003, "OB", bytes(1000))
    film.add_new(0x00091004, "SQ", [nested])
    (file,) = lay(tmp_path, film)

    header = open_instance(file, make_reader().opening).header

    assert header is not None
    assert header.SeriesDescription == "Kept"
    assert [tag for tag in header.keys() if tag.group == 9] == [0x00090010, 0x00091003]  # noqa: SIM118 - its own iterator gives elements


@pytest.mark.parametrize(("view", "most"), [("PA", 1 << 20), ("LL", 1 << 18)], ids=["film", "refused"])
def test_many_values_of_a_header_do_not_stay_in_memory_either(view: str, most: int, tmp_path: Path) -> None:
    film = bright(StudyInstanceUID=STUDY, SeriesDescription="Kept", ViewCodeSequence=None, ViewPosition=view)
    film.add_new(0x00090010, "LO", "MAKER")
    for number in range(40):
        film.add_new(0x00091001 + number, "OB", bytes(100_000 - number))
    (file,) = lay(tmp_path, film)

    header = open_instance(file, make_reader().opening).header

    assert header is not None
    assert (header.SeriesDescription, header.ViewPosition) == ("Kept", view)
    private = sum(len(element.value) for element in header.values() if element.tag.group == 9)
    assert most - 200_000 < private < most


@pytest.mark.parametrize("view", ["PA", "LL"])
def test_whose_image_it_is_stays_known_however_many_elements_a_header_has(view: str, tmp_path: Path) -> None:
    film = bright(StudyInstanceUID=STUDY, PatientID="ONE", ViewCodeSequence=None, ViewPosition=view)
    film.add_new(0x00090010, "LO", "MAKER")
    for number in range(0xF00):
        film.add_new(0x00091000 + number, "US", number)
        film.add_new(0x00111000 + number, "LO", "A")

    reading = _read(tmp_path, film)

    assert len(reading.objects) == (2 if view == "PA" else 1)  # of a film that is read there is a capture too
    assert {item.dataset.PatientID for item in reading.objects} == {"ONE"}


def test_little_is_kept_of_a_header_without_end_that_cannot_be_read(tmp_path: Path) -> None:
    film = bright(StudyInstanceUID=STUDY, PatientID="ONE")
    (file,) = lay(tmp_path, film)
    content = file.path.read_bytes()
    at = content.index(struct.pack("<HH", 0x0028, 0x0002))
    empty = b"".join(struct.pack("<HH2sH", 0x0027, number % 0xFFFF, b"US", 0) for number in range(300_000))
    file.path.write_bytes(content[:at] + empty + content[at:])

    opened = open_instance(file, make_reader().opening)

    assert isinstance(opened.found, Refusal)
    assert opened.found.reason is RefusalReason.LIMIT_EXCEEDED
    assert opened.header is not None
    assert opened.header.PatientID == "ONE"
    assert len(opened.header) < 1100


def test_the_report_names_the_patient_whom_any_of_its_images_names(tmp_path: Path) -> None:
    reading = _read(
        tmp_path, bright(StudyInstanceUID=STUDY, PatientID=""), bright(StudyInstanceUID=STUDY, PatientID="ONE")
    )

    assert [item.dataset.PatientID or "" for item in reading.objects] == ["", "ONE", "ONE"]


def test_a_refused_radiograph_of_another_patient_is_refused_for_that(tmp_path: Path) -> None:
    film = bright(StudyInstanceUID=STUDY, PatientID="ONE")
    lateral = dark(StudyInstanceUID=STUDY, PatientID="TWO", ViewCodeSequence=None, ViewPosition="LL")

    reading = _read(tmp_path, film, lateral)

    assert [item.refusal.reason for item in reading.readings if item.refusal] == [RefusalReason.OTHER_PATIENT]
    assert reading.objects[-1].dataset.PatientID == "ONE"


@pytest.mark.parametrize(
    ("vr", "written"),
    [("LO", "NOBODY^KNOWN"), ("UT", "Doe^John"), ("UI", "1.2.3"), ("PN", "Doe^John"), ("FL", [float("nan")])],
)
def test_a_table_that_is_none_costs_its_film_and_is_not_quoted(vr: str, written: object, tmp_path: Path) -> None:
    table = Dataset()
    table.LUTDescriptor, table.LUTExplanation = [4, 0, 16], ""
    table.add_new(0x00283006, vr, written)
    sound, film = bright(StudyInstanceUID=STUDY), bright(StudyInstanceUID=STUDY)
    for keyword in ("WindowCenter", "WindowWidth"):
        if keyword in film:
            delattr(film, keyword)
    film.VOILUTSequence = [table]

    said = {item.file.sop_instance_uid: item for item in _read(tmp_path, sound, film).readings}

    assert said[sound.SOPInstanceUID].classification is not None
    refusal = said[film.SOPInstanceUID].refusal
    assert refusal is None or refusal.reason is RefusalReason.UNDECODABLE
    assert "Doe" not in str(refusal)


def test_a_header_of_endless_items_is_not_parsed_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metered, "MOST_READS", 2000)
    film, sound = bright(StudyInstanceUID=STUDY), bright(StudyInstanceUID=STUDY)
    film.RequestAttributesSequence = [Dataset() for _ in range(2000)]
    film["RequestAttributesSequence"].is_undefined_length = True

    reading = _read(tmp_path, film, sound)

    said = {item.file.sop_instance_uid: item.refusal.reason if item.refusal else None for item in reading.readings}
    assert said == {film.SOPInstanceUID: RefusalReason.LIMIT_EXCEEDED, sound.SOPInstanceUID: None}


def test_a_film_without_a_patient_id_contradicts_nobody(tmp_path: Path) -> None:
    films = [bright(StudyInstanceUID=STUDY, PatientID=patient) for patient in ("", "ONE", "")]

    assert [item.refusal for item in _read(tmp_path, *films).readings] == [None] * 3


def test_a_study_of_refused_radiographs_has_a_report_and_nothing_else(tmp_path: Path) -> None:
    reading = _read(
        tmp_path, dark(StudyInstanceUID=STUDY, Modality="MR"), dark(StudyInstanceUID=STUDY, PatientAge="060Y")
    )

    assert _kinds(reading) == ["report"]
    assert validation_errors(reading.objects[0].dataset, tmp_path) == []
    assert reading.outcome.outcome is Outcome.NOT_ANALYSED
    assert reading.priority.level is PriorityLevel.ROUTINE
    assert {item.refusal.reason for item in reading.readings if item.refusal} == {
        RefusalReason.WRONG_MODALITY,
        RefusalReason.AGE_OUT_OF_RANGE,
    }


def test_a_site_may_want_no_report_of_a_study_of_which_nothing_was_read(tmp_path: Path) -> None:
    assert _read(tmp_path, dark(PatientAge="060Y"), reports_refusals=False).objects == ()


def test_objects_that_are_no_radiographs_are_in_no_report(tmp_path: Path) -> None:
    slice_of_ct = dark(StudyInstanceUID=STUDY, SOPClassUID=CTImageStorage, Modality="CT")
    photograph = dark(StudyInstanceUID=STUDY, SOPClassUID=SecondaryCaptureImageStorage, Modality="OT")

    alone = _read(tmp_path / "alone", slice_of_ct, photograph)
    beside = _read(tmp_path / "beside", slice_of_ct, photograph, bright(StudyInstanceUID=STUDY))

    assert alone.objects == ()
    assert len(content_items(beside.objects[-1].dataset, "125007")) == 1
    assert slice_of_ct.SOPInstanceUID not in str(beside.objects[-1].dataset)


def test_a_study_without_files_is_not_analysed() -> None:
    reading = read_study([], make_reader(), FIRST)

    assert (reading.readings, reading.objects) == ((), ())
    assert reading.outcome.outcome is Outcome.NOT_ANALYSED


def test_every_file_gets_exactly_one_reading(tmp_path: Path) -> None:
    films = [bright(), dark(), dark(Modality="CT"), bright(PixelData=None)]
    for film in films:
        film.StudyInstanceUID = STUDY

    reading = _read(tmp_path, *films)

    assert sorted(item.file.sop_instance_uid for item in reading.readings) == sorted(
        film.SOPInstanceUID for film in films
    )
    assert all((item.classification is None) != (item.refusal is None) for item in reading.readings)


def test_a_damaged_film_is_refused_and_the_rest_of_the_study_is_read(tmp_path: Path) -> None:
    whole, damaged = dark(StudyInstanceUID=STUDY), dark(StudyInstanceUID=STUDY)
    files = lay(tmp_path, whole, damaged)
    files[1].path.write_bytes(part10(damaged)[:-5000])

    reading = read_study(files, make_reader(), FIRST)

    assert [item.refusal.reason for item in reading.readings if item.refusal] == [RefusalReason.UNDECODABLE]
    assert _kinds(reading) == ["capture", "report"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"not a film" * 100, RefusalReason.NOT_DICOM), (bytes(2000), RefusalReason.NOT_DICOM)],
)
def test_a_file_that_is_no_dicom_is_refused(tmp_path: Path, content: bytes, reason: RefusalReason) -> None:
    files = lay(tmp_path, dark())
    files[0].path.write_bytes(content)

    (item,) = read_study(files, make_reader(), FIRST).readings

    assert item.refusal is not None
    assert item.refusal.reason == reason


def test_a_file_above_the_limit_is_refused(tmp_path: Path) -> None:
    (item,) = _read(tmp_path, dark(), max_bytes=1000).readings

    assert item.refusal is not None
    assert item.refusal.reason == RefusalReason.LIMIT_EXCEEDED


def test_reading_a_study_again_gives_the_same_bytes(tmp_path: Path) -> None:
    films = [bright(StudyInstanceUID=STUDY), dark(StudyInstanceUID=STUDY)]

    first, second = (_read(tmp_path, *films) for _ in range(2))

    assert [encode(item.dataset) for item in first.objects] == [encode(item.dataset) for item in second.objects]


def test_a_later_revision_has_another_report_and_the_same_captures(tmp_path: Path) -> None:
    film = bright()

    first, second = (_read(tmp_path, film, revision=revision) for revision in (1, 2))

    uids = [[item.dataset.SOPInstanceUID for item in reading.objects] for reading in (first, second)]
    assert uids[0][0] == uids[1][0]
    assert uids[0][1] != uids[1][1]


def test_the_objects_of_a_study_are_valid(tmp_path: Path) -> None:
    reading = _read(tmp_path, bright(StudyInstanceUID=STUDY), dark(StudyInstanceUID=STUDY))

    assert [validation_errors(item.dataset, tmp_path) for item in reading.objects] == [[], [], []]


@pytest.mark.filterwarnings("ignore:Invalid value for VR AS")
def test_a_film_as_the_rsna_exports_it_is_read_to_the_end(tmp_path: Path) -> None:
    reading = _read(tmp_path, make_rsna_instance())

    assert _kinds(reading) == ["capture", "report"]
    assert read_back(reading.objects[0].dataset).SOPClassUID == SecondaryCaptureImageStorage


def test_an_adult_is_read_when_the_operator_allows_it_and_the_results_say_so(tmp_path: Path) -> None:
    permissive = GatePolicy(population=CHILDREN.population, allow_outside_population=True)
    author = replace(make_reader().author, outside_population_allowed=True)

    reading = _read(tmp_path, dark(PatientAge="060Y"), gate=permissive, author=author)

    report = reading.objects[-1].dataset
    assert "allow_outside_population=true" in [item.TextValue for item in content_items(report, "111002")]


def test_a_reading_becomes_an_outcome_with_the_network_that_spoke(tmp_path: Path) -> None:
    (item,) = _read(tmp_path, bright()).readings

    outcome = outcome_of(item, AUTHOR)

    assert (outcome.outcome, outcome.reason, outcome.threshold) == ("positive", None, 0.5)
    assert outcome.probability == pytest.approx(0.98, abs=0.05)
    assert (outcome.model_name, outcome.model_version) == ("tiny", "0.0.1")
    assert outcome.model_sha256 == AUTHOR.model.sha256


def test_a_refusal_becomes_an_outcome_without_a_probability(tmp_path: Path) -> None:
    (item,) = _read(tmp_path, dark(Modality="MR")).readings

    outcome = outcome_of(item, AUTHOR)

    assert (outcome.outcome, outcome.reason) == ("not_analysed", "WRONG_MODALITY")
    assert (outcome.probability, outcome.threshold, outcome.model_sha256) == (None, None, None)


def test_what_was_repaired_of_a_film_is_in_its_reading_and_its_outcome(tmp_path: Path) -> None:
    path = tmp_path / "film.dcm"
    path.write_bytes(make_dirty_film("sex in words"))
    file = InstanceFile(path=path, sop_instance_uid="1.2.3", when=WHEN)

    (item,) = read_study([file], make_reader(), FIRST).readings

    assert outcome_of(item, AUTHOR).repairs == ("PatientSex emptied: not one of M, F, O",)


def test_repairs_are_those_of_headers_that_results_take_over(tmp_path: Path) -> None:
    dirty = {"StudyInstanceUID": STUDY, "StudyID": None}
    read, refused, first, second = bright(**dirty), dark(Modality="MR", **dirty), dark(Modality="MR", **dirty), dark()

    beside = _read(tmp_path / "beside", read, refused)
    alone = _read(tmp_path / "alone", first, dark(Modality="MR", **dirty))
    unsent = _read(tmp_path / "unsent", refused, reports_refusals=False)
    clean = _read(tmp_path / "clean", second)

    found = [[len(item.repairs) for item in reading.readings] for reading in (beside, alone, unsent, clean)]
    assert found == [[1, 0], [1, 0], [0], [0]]

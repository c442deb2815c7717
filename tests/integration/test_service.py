"""The whole way of a study through a running service, with an archive as its node."""

from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import pytest
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.records import DeliveryState, StudyState
from pydicom import dcmread
from pydicom.uid import Comprehensive3DSRStorage, CTImageStorage, SecondaryCaptureImageStorage

from pacs_ai.errors import ModelError
from pacs_ai.results.verification import check_report
from pacs_ai.service import Service
from pacs_ai.settings import Settings
from tests.fakes import TinyClassifier
from tests.unit.dirty import make_dirty_film

from .peers import Archive, data_set_of, push
from .services import Gated, Running, radiograph, running
from .waiting import wait_until

pytestmark = pytest.mark.timeout(180)


def test_a_pushed_instance_comes_back_as_report_and_capture_exactly_once(
    settings_with: Callable[..., Settings], archive: Archive, tmp_path: Path, database_url: str
) -> None:
    study, path = radiograph(tmp_path)

    with running(settings_with(archive.node, url=database_url)) as started:
        statuses = push(started.port, path)
        view = started.wait_for(study, StudyState.DELIVERED)

    stored = {item.sop_instance_uid: started.locate(item.file) for item in view.objects}
    assert statuses == [0x0000]
    assert [found for found, _, _ in archive.received] == [SecondaryCaptureImageStorage, Comprehensive3DSRStorage]
    assert {instance: content for _, instance, content in archive.received} == {
        instance: data_set_of(path) for instance, path in stored.items()
    }
    assert {item.state for item in view.deliveries} == {DeliveryState.ACCEPTED}
    assert (view.study.outcome, view.outcomes[0].model_name) == ("positive", "tiny")


def test_what_comes_back_belongs_to_the_study_and_the_patient(
    settings_with: Callable[..., Settings], archive: Archive, tmp_path: Path
) -> None:
    study, path = radiograph(tmp_path)

    with running(settings_with(archive.node)) as started:
        push(started.port, path)
        view = started.wait_for(study, StudyState.DELIVERED)

    sent = dcmread(path)
    results = [dcmread(started.locate(item.file)) for item in view.objects]
    assert len(results) == 2
    assert {(item.StudyInstanceUID, item.PatientID, str(item.PatientName)) for item in results} == {
        (sent.StudyInstanceUID, sent.PatientID, str(sent.PatientName))
    }


def test_what_was_repaired_of_a_header_is_in_the_audit_log_without_its_value(
    settings_with: Callable[..., Settings], archive: Archive, tmp_path: Path
) -> None:
    path = tmp_path / "film.dcm"
    path.write_bytes(make_dirty_film("birth date with dashes"))
    study = dcmread(path).StudyInstanceUID

    with running(settings_with(archive.node)) as started:
        push(started.port, path)
        view = started.wait_for(study, StudyState.DELIVERED)
        trail = started.trail(study)

    assert ("repair", "revision 1") in trail
    assert [event.detail for event in view.repairs] == ["PatientBirthDate emptied: no valid DA"]
    assert len(archive.received) == 2


def test_without_a_node_results_are_kept_and_the_study_stays_ready(
    settings_with: Callable[..., Settings], tmp_path: Path
) -> None:
    study, path = radiograph(tmp_path)

    with running(settings_with()) as started:
        push(started.port, path)
        view = started.wait_for(study, StudyState.READY, StudyState.DELIVERED)

    kept = [dcmread(started.locate(item.file)).SOPClassUID for item in view.objects]
    assert view.study.state is StudyState.READY
    assert sorted(kept) == sorted([SecondaryCaptureImageStorage, Comprehensive3DSRStorage])
    assert view.deliveries == ()


def test_a_study_with_nothing_for_the_network_is_declined_and_sends_nothing(
    settings_with: Callable[..., Settings], archive: Archive, tmp_path: Path
) -> None:
    study, path = radiograph(tmp_path, SOPClassUID=CTImageStorage, Modality="CT")
    other, read = radiograph(tmp_path)

    with running(settings_with(archive.node)) as started:
        push(started.port, path)
        view = started.wait_for(study, StudyState.DECLINED)
        push(started.port, read)
        delivered = started.wait_for(other, StudyState.DELIVERED)

    assert (view.study.outcome, view.outcomes[0].reason) == ("not_analysed", "UNSUPPORTED_SOP_CLASS")
    assert sorted(archive.instances) == sorted(item.sop_instance_uid for item in delivered.objects)


def test_a_radiograph_that_is_refused_is_answered_by_a_report_in_the_archive(
    settings_with: Callable[..., Settings], archive: Archive, tmp_path: Path
) -> None:
    study, path = radiograph(tmp_path, BodyPartExamined="HAND", AnatomicRegionSequence=None)

    with running(settings_with(archive.node)) as started:
        push(started.port, path)
        view = started.wait_for(study, StudyState.DELIVERED)

    assert (view.study.outcome, view.outcomes[0].reason) == ("not_analysed", "NOT_CHEST")
    assert [item.kind for item in view.objects] == ["report"]
    assert sorted(archive.instances) == [view.objects[0].sop_instance_uid]


def test_instances_are_accepted_before_the_network_is_loaded(
    settings_with: Callable[..., Settings], archive: Archive, tmp_path: Path
) -> None:
    study, path = radiograph(tmp_path)
    loaded = Event()

    def load(_settings: object, _card: object) -> TinyClassifier:
        loaded.wait()
        return TinyClassifier()

    service = Service(settings_with(archive.node), load=load, port=0)
    started = Running(service=service, port=service.start().port)
    statuses = push(started.port, path)
    before = started.view(study).study.state
    loaded.set()
    started.wait_for(study, StudyState.DELIVERED)
    service.stop()

    assert (statuses, before) == ([0x0000], StudyState.RECEIVING)
    assert len(archive.received) == 2


def test_a_network_that_cannot_be_loaded_ends_the_service_with_its_error(
    settings_with: Callable[..., Settings],
) -> None:
    def load(_settings: object, _card: object) -> TinyClassifier:
        message = "no such network"
        raise ModelError(message)

    service = Service(settings_with(), load=load, port=0)
    service.start()

    with pytest.raises(ModelError, match="no such network"):
        service.wait()
    service.stop()
    assert service.has_failed


def test_a_study_that_the_network_fails_on_is_failed_and_the_next_is_read(
    settings_with: Callable[..., Settings], archive: Archive, tmp_path: Path
) -> None:
    classifier = Gated(failures=1)
    classifier.gate.set()
    (failing, first), (reading, second) = radiograph(tmp_path), radiograph(tmp_path)

    with running(settings_with(archive.node), classifier) as started:
        push(started.port, first)
        failed = started.wait_for(failing, StudyState.FAILED)
        push(started.port, second)
        started.wait_for(reading, StudyState.DELIVERED)
        requeued = Ledger(started.service.stores.database).requeue(failing, failed.study.touched_at)
        started.wait_for(failing, StudyState.DELIVERED)

    assert failed.study.reason == "ArithmeticError"
    assert requeued
    assert len(archive.received) == 4


def test_an_identical_second_push_sends_nothing_more(
    settings_with: Callable[..., Settings], archive: Archive, tmp_path: Path
) -> None:
    (study, path), (other, later) = radiograph(tmp_path), radiograph(tmp_path)

    with running(settings_with(archive.node)) as started:
        push(started.port, path)
        first = started.wait_for(study, StudyState.DELIVERED)
        again = push(started.port, path)
        push(started.port, later)
        second = started.wait_for(other, StudyState.DELIVERED)
        unchanged = started.view(study)

    assert again == [0x0000]
    assert unchanged == first
    assert started.trail(study)[-1] == ("resend", "resent")
    assert sorted(archive.instances) == sorted(
        item.sop_instance_uid for view in (first, second) for item in view.objects
    )


def test_a_late_instance_makes_a_new_report_and_only_its_own_capture(
    settings_with: Callable[..., Settings], archive: Archive, tmp_path: Path
) -> None:
    study, path = radiograph(tmp_path)
    _, late = radiograph(tmp_path, StudyInstanceUID=study)

    with running(settings_with(archive.node)) as started:
        push(started.port, path)
        started.wait_for(study, StudyState.DELIVERED)
        push(started.port, late)
        wait_until(lambda: len(archive.received) == 4)
        view = started.wait_for(study, StudyState.DELIVERED)

    reports, captures = (archive.of_class(found) for found in (Comprehensive3DSRStorage, SecondaryCaptureImageStorage))
    assert view.study.revision == 2
    assert (len(set(reports)), len(set(captures)), len(archive.received)) == (2, 2, 4)
    first, second = (dcmread(started.locate(item.file)) for item in view.objects if item.kind == "report")
    (series,) = second.PredecessorDocumentsSequence[0].ReferencedSeriesSequence
    assert "PredecessorDocumentsSequence" not in first
    assert second.PredecessorDocumentsSequence[0].StudyInstanceUID == study
    assert series.SeriesInstanceUID == first.SeriesInstanceUID
    assert [item.ReferencedSOPInstanceUID for item in series.ReferencedSOPSequence] == [first.SOPInstanceUID]
    assert check_report(second) == []
    assert {item.source_sop_instance_uid for item in view.objects if item.kind == "capture"} == {
        dcmread(found).SOPInstanceUID for found in (path, late)
    }


def test_a_study_read_again_on_demand_has_objects_of_its_own(
    settings_with: Callable[..., Settings], archive: Archive, tmp_path: Path
) -> None:
    study, path = radiograph(tmp_path)

    with running(settings_with(archive.node)) as started:
        push(started.port, path)
        first = started.wait_for(study, StudyState.DELIVERED)
        again = Ledger(started.service.stores.database).read_again(study, first.study.touched_at)
        wait_until(lambda: len(archive.received) == 4)
        second = started.wait_for(study, StudyState.DELIVERED)
        reports = [dcmread(started.locate(item.file)) for item in second.objects if item.kind == "report"]

    assert again
    assert (second.study.revision, len(set(archive.instances))) == (2, 4)
    predecessor = reports[1].PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert predecessor.ReferencedSOPInstanceUID == reports[0].SOPInstanceUID
    assert ("read-again", "revision 2") in started.trail(study)


def test_asking_to_stop_takes_no_lock_that_the_interrupted_thread_may_hold(
    settings_with: Callable[..., Settings],
) -> None:
    service = Service(settings_with())

    def interrupted() -> None:
        with service._stop._cond:  # type: ignore[attr-defined]  # where a signal may find the main thread
            service.ask_to_stop()

    thread = Thread(target=interrupted, daemon=True)
    thread.start()
    thread.join(60)

    assert not thread.is_alive()
    service.wait()
    service.close()

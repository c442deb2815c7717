"""What comes in is durable and in the ledger before it is answered with success."""

import logging
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pacs_ai_storage.records import StudyState
from pacs_ai_storage.views import StudyView
from pydicom import dcmread
from pydicom.uid import (
    BasicTextSRStorage,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EncapsulatedPDFStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    KeyObjectSelectionDocumentStorage,
    MRImageStorage,
    RLELossless,
)
from pynetdicom import AllStoragePresentationContexts
from pynetdicom.presentation import build_context

from pacs_ai.dimse.contexts import RADIOGRAPHS
from pacs_ai.dimse.transport import Limits
from pacs_ai.imaging.decoders import DECODABLE
from tests.builders import make_instance, phantom

from .conftest import Inbox
from .peers import HOST, associated, contexts_for, data_set_of, file_of, push
from .studies import seen

DCMTK = Path("/usr/bin")
SMALL = phantom(64, 48)
SYNTAXES = (
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEG2000Lossless,
)
OTHERS = (
    CTImageStorage,
    MRImageStorage,
    BasicTextSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    EncapsulatedPDFStorage,
)


def dcmtk(command: str, port: int, *arguments: str | Path, called: str = "PACS_AI") -> int:
    line = [DCMTK / command, "-aet", "MODALITY", "-aec", called, *arguments[:-1], HOST, str(port), *arguments[-1:]]
    return subprocess.run(line, capture_output=True, check=False, timeout=60).returncode


def view_of(inbox: Inbox, path: Path) -> StudyView:
    return seen(inbox.database, dcmread(path, stop_before_pixels=True).StudyInstanceUID)


def test_with_the_answer_the_instance_is_on_disk_and_in_the_ledger(inbox: Inbox, tmp_path: Path) -> None:
    path = file_of(tmp_path, make_instance(AccessionNumber="A-17", PatientID="PAT-17"))

    assert push(inbox.port, path) == [0x0000]

    view = view_of(inbox, path)
    (instance,) = view.instances
    sent = dcmread(path)
    assert data_set_of(inbox.store.locate(instance.file)) == data_set_of(path)
    assert dcmread(inbox.store.locate(instance.file)) == sent
    assert (instance.sop_instance_uid, instance.sop_class_uid) == (sent.SOPInstanceUID, sent.SOPClassUID)
    assert (instance.series_instance_uid, instance.transfer_syntax_uid) == (
        sent.SeriesInstanceUID,
        ExplicitVRLittleEndian,
    )
    assert (instance.accession_number, instance.calling_ae_title) == ("A-17", "MODALITY")
    assert instance.patient_id == "PAT-17"
    assert (view.study.state, view.study.revision) == (StudyState.RECEIVING, 1)
    assert [(event.action, event.actor) for event in inbox.events] == [("receive", "MODALITY")]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_instances_are_kept_in_the_transfer_syntax_they_came_in(inbox: Inbox, tmp_path: Path) -> None:
    paths = {syntax: file_of(tmp_path, make_instance(stored=SMALL, syntax=syntax)) for syntax in SYNTAXES}

    assert push(inbox.port, *paths.values()) == [0x0000] * len(SYNTAXES)

    kept = {syntax: view_of(inbox, path).instances[0] for syntax, path in paths.items()}
    assert {syntax: instance.transfer_syntax_uid for syntax, instance in kept.items()} == {
        syntax: syntax for syntax in SYNTAXES
    }
    assert all(dcmread(inbox.store.locate(kept[syntax].file)) == dcmread(path) for syntax, path in paths.items())


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_every_radiograph_is_accepted_in_every_syntax_that_can_be_decoded(inbox: Inbox) -> None:
    proposed = [build_context(sop_class, syntax) for sop_class in RADIOGRAPHS for syntax in DECODABLE]

    with associated(inbox.port, proposed) as association:
        accepted = {(found.abstract_syntax, found.transfer_syntax[0]) for found in association.accepted_contexts}

    assert accepted == {(sop_class, syntax) for sop_class in RADIOGRAPHS for syntax in DECODABLE}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_every_other_storage_class_is_accepted_too(inbox: Inbox) -> None:
    classes = [context.abstract_syntax for context in AllStoragePresentationContexts]
    refused = set()

    for start in range(0, len(classes), 128):
        proposed = [
            build_context(found, [ExplicitVRLittleEndian, JPEGBaseline8Bit]) for found in classes[start : start + 128]
        ]
        with associated(inbox.port, proposed) as association:
            refused |= {found.abstract_syntax for found in association.rejected_contexts}

    assert refused == set()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_instances_of_other_classes_are_kept_like_radiographs(inbox: Inbox, tmp_path: Path) -> None:
    paths = [file_of(tmp_path, make_instance(stored=SMALL, SOPClassUID=found)) for found in OTHERS]

    assert push(inbox.port, *paths) == [0x0000] * len(OTHERS)

    assert [view_of(inbox, path).instances[0].sop_class_uid for path in paths] == list(OTHERS)


def test_the_file_of_an_instance_depends_on_the_instance_alone(inbox: Inbox, tmp_path: Path) -> None:
    push(inbox.port, file_of(tmp_path, make_instance()))

    (path,) = inbox.files
    meta = dcmread(path, stop_before_pixels=True).file_meta
    assert (meta.ImplementationClassUID, meta.ImplementationVersionName) == (
        "1.2.826.0.1.3680043.9.3811.3.0.4",
        "PYNETDICOM_304",
    )


def test_a_resent_instance_is_answered_with_success_and_kept_once(inbox: Inbox, tmp_path: Path) -> None:
    path = file_of(tmp_path, make_instance(stored=SMALL))

    assert [*push(inbox.port, path), *push(inbox.port, path, path)] == [0x0000] * 3

    assert len(inbox.files) == 1
    assert [event.action for event in inbox.events] == ["receive", "resend", "resend"]


def test_associations_at_the_same_time_fill_one_study(inbox: Inbox, tmp_path: Path) -> None:
    study = make_instance().StudyInstanceUID
    paths = [file_of(tmp_path, make_instance(stored=SMALL, StudyInstanceUID=study)) for _ in range(12)]

    with ThreadPoolExecutor(4) as pool:
        statuses = pool.map(lambda start: push(inbox.port, *paths[start::4]), range(4))

    assert list(statuses) == [[0x0000] * 3] * 4
    assert len(seen(inbox.database, study).instances) == 12


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_dcmtk_storescu_stores(inbox: Inbox, tmp_path: Path) -> None:
    options = {ExplicitVRLittleEndian: "-xe", JPEGLosslessSV1: "-xs", ImplicitVRLittleEndian: "-xi"}
    paths = {syntax: file_of(tmp_path, make_instance(syntax=syntax)) for syntax in options}

    ended = [dcmtk("storescu", inbox.port, options[syntax], path) for syntax, path in paths.items()]

    kept = [view_of(inbox, path).instances[0] for path in paths.values()]
    assert ended == [0, 0, 0]
    assert [instance.transfer_syntax_uid for instance in kept] == list(options)
    assert {dcmread(inbox.store.locate(instance.file)).pixel_array.shape for instance in kept} == {(640, 576)}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_dcmtk_echoscu_is_answered_and_rejected_when_it_calls_another(inbox: Inbox) -> None:
    assert dcmtk("echoscu", inbox.port) == 0
    assert dcmtk("echoscu", inbox.port, called="SOMEBODY") != 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_wrong_called_title_is_rejected(inbox: Inbox, tmp_path: Path) -> None:
    contexts = contexts_for([file_of(tmp_path, make_instance(stored=SMALL))])

    with associated(inbox.port, contexts, called="SOMEBODY") as association:
        assert association.is_rejected
        assert association.acceptor.primitive.diagnostic == 0x07  # called AE title not recognised


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_only_the_calling_titles_of_the_list_are_let_in(open_inbox: Callable[..., Inbox], tmp_path: Path) -> None:
    inbox = open_inbox(allowed_calling_ae_titles=("MODALITY", "ROUTER"))
    contexts = contexts_for([file_of(tmp_path, make_instance(stored=SMALL))])
    established = {}

    for calling in ("MODALITY", "ROUTER", "STRANGER"):
        with associated(inbox.port, contexts, calling=calling) as association:
            established[calling] = association.is_established

    assert established == {"MODALITY": True, "ROUTER": True, "STRANGER": False}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_one_association_more_than_allowed_is_rejected_for_the_moment(
    open_inbox: Callable[..., Inbox], tmp_path: Path
) -> None:
    # Nobody is idle, or without an association, however slow we are.
    inbox = open_inbox(max_associations=1, limits=Limits(quiet_seconds=60, request_seconds=60))
    contexts = contexts_for([file_of(tmp_path, make_instance(stored=SMALL))])

    with associated(inbox.port, contexts) as first, associated(inbox.port, contexts) as second:
        assert (first.is_established, second.is_established) == (True, False)
        assert second.acceptor.primitive.result == 0x02  # rejected-transient


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_log_lines_hold_no_patient(
    inbox: Inbox, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG, logger="pacs_ai")
    person = {"PatientName": "Secret^Person", "PatientID": "SECRET-4711", "PatientBirthDate": "20191231"}
    paths = [
        file_of(tmp_path, make_instance(stored=SMALL, **person)),
        file_of(tmp_path, make_instance(stored=SMALL, StudyInstanceUID=None, **person)),
    ]

    statuses = push(inbox.port, *paths)

    printed = "".join((caplog.text, *capfd.readouterr(), *(str(event) for event in inbox.events)))
    assert statuses == [0x0000, 0xC000]
    assert "MODALITY" in printed
    assert [value for value in ("Secret", "SECRET-4711", "20191231") if value in printed] == []

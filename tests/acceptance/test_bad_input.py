"""What a network and broken devices throw at the port: each is answered, each leaves a trace, nothing stops."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless
from pynetdicom import AE

from tests.builders import make_instance, part10, sample_film

from .peers import Serve, storescu, wait_until

STORED = sample_film(0, 576, 512)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    service = Serve(tmp_path_factory.mktemp("bad-input"), stable_after=0.2)
    service.start()
    service.wait_for_log("reading with")
    yield service
    service.kill()


def _store(service: Serve, instance: Dataset) -> int:
    """The status of a C-STORE of a data set that DCMTK would not send."""
    ae = AE("BROKEN")
    ae.add_requested_context(instance.file_meta.MediaStorageSOPClassUID, instance.file_meta.TransferSyntaxUID)
    association = ae.associate("127.0.0.1", service.port, ae_title="PACS_AI")
    assert association.is_established
    status = association.send_c_store(instance)
    association.release()
    return int(status.Status)


def _refusal(service: Serve, instance: Dataset) -> str:
    """The reason in the audit log, once the instance has come to its end."""
    uid = instance.SOPInstanceUID
    found: list[str] = []

    def is_refused() -> bool:
        events = service.ask("audit", "query", "--instance", uid)
        found[:] = [event["outcome"] for event in events if event["action"] in {"refuse", "read"}]
        return bool(found)

    wait_until(is_refused, seconds=180)
    return found[0]


def _truncated(syntax: str) -> Dataset:
    instance = (
        make_instance(stored=STORED, syntax=syntax)
        if syntax != JPEGBaseline8Bit
        else make_instance(stored=sample_film(0, 576, 512, bits=8), bits=8, syntax=JPEGBaseline8Bit)
    )
    content = bytes(instance.PixelData)
    instance.PixelData = content[: len(content) // 3 // 2 * 2]
    return instance


BROKEN: dict[str, tuple[Callable[[], Dataset], str]] = {
    "no pixel data": (lambda: make_instance(stored=STORED, PixelData=None), "UNDECODABLE"),
    "half of the pixels": (lambda: make_instance(stored=STORED, PixelData=STORED.tobytes()[:300_000]), "UNDECODABLE"),
    "rows that lie": (lambda: make_instance(stored=STORED, Rows=4000, Columns=4000), "UNDECODABLE"),
    "rows beyond any limit": (lambda: make_instance(stored=STORED, Rows=65535, Columns=65535), "LIMIT_EXCEEDED"),
    "rows that the codestream denies": (
        lambda: make_instance(stored=STORED, syntax=JPEG2000Lossless, Rows=4000, Columns=4000),
        "UNDECODABLE",
    ),
    "no rows": (lambda: make_instance(stored=STORED, Rows=None), "UNDECODABLE"),
    "no photometric": (lambda: make_instance(stored=STORED, PhotometricInterpretation=None), "UNDECODABLE"),
    "a damaged JPEG 2000": (lambda: _truncated(JPEG2000Lossless), "UNDECODABLE"),
    "a damaged JPEG-LS": (lambda: _truncated(JPEGLSLossless), "UNDECODABLE"),
    "colour": (
        lambda: make_instance(stored=STORED, PhotometricInterpretation="RGB", SamplesPerPixel=3),
        "UNSUPPORTED_PHOTOMETRIC",
    ),
    "bits that make no sense": (lambda: make_instance(stored=STORED, BitsAllocated=17), "UNDECODABLE"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_image_that_cannot_be_read_is_kept_and_refused_with_its_reason(kind: str, running: Serve) -> None:
    make, reason = BROKEN[kind]
    instance = make()

    status = _store(running, instance)

    assert status == 0x0000
    assert _refusal(running, instance) == reason


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_unknown_character_set_is_no_reason_to_refuse(running: Serve, tmp_path: Path) -> None:
    instance = make_instance(stored=STORED, PatientName="Test^One", ReferringPhysicianName="")
    path = tmp_path / "unknown.dcm"
    path.write_bytes(part10(instance).replace(b"ISO_IR 192", b"ISO_IR 999"))

    storescu(running.port, path)

    assert _refusal(running, instance) in {"positive", "negative"}


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_an_instance_without_its_place_is_not_understood_and_the_log_says_so(keyword: str, running: Serve) -> None:
    instance = make_instance(stored=STORED, **{keyword: None})

    status = _store(running, instance)

    assert status == 0xC000
    refused = running.ask("audit", "query", "--instance", instance.SOPInstanceUID)
    assert [(event["action"], event["outcome"]) for event in refused] == [("refuse-receive", "0xC000")]
    assert keyword in refused[0]["detail"]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_uid_that_climbs_out_of_the_folder_touches_nothing(running: Serve) -> None:
    before = {path for path in running.folder.rglob("*") if "data" not in path.parts}
    instance = make_instance(stored=STORED)
    instance.StudyInstanceUID = "../../../../escaped"

    status = _store(running, instance)

    assert status == 0xC000
    assert {path for path in running.folder.rglob("*") if "data" not in path.parts} == before
    assert not list(running.folder.rglob("*escaped*"))


def test_garbage_on_the_port_does_not_stop_the_next_association(running: Serve, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    for size in (1, 10, 1000, 100_000):
        with socket.create_connection(("127.0.0.1", running.port)) as connection:
            connection.sendall(rng.bytes(size))
    path = tmp_path / "after.dcm"
    path.write_bytes(part10(make_instance(stored=STORED)))

    done = storescu(running.port, path)

    assert done.returncode == 0, done.stderr


def test_a_sender_that_disappears_in_the_middle_leaves_nothing_half_written(running: Serve, tmp_path: Path) -> None:
    # An association request and the first piece of a data set, cut off by closing the socket.
    instance = make_instance(stored=STORED)
    ae = AE("GONE")
    ae.add_requested_context(instance.SOPClassUID, instance.file_meta.TransferSyntaxUID)
    association = ae.associate("127.0.0.1", running.port, ae_title="PACS_AI")
    association.dul.socket.send(b"\x04\x00\x00\x01\x00\x00")
    association.dul.socket.close()
    association.kill()
    path = tmp_path / "after.dcm"
    path.write_bytes(part10(make_instance(stored=STORED)))

    done = storescu(running.port, path)

    assert done.returncode == 0, done.stderr
    # What is being read just now may have one too, for as long as it takes.
    wait_until(lambda: not list((running.folder / "data").rglob("*.part")), seconds=60)


def test_no_name_of_a_patient_is_in_the_log_of_the_service(running: Serve) -> None:
    written = (running.folder / "serve.log").read_text()

    assert "instance" in written
    assert not any(secret in written for secret in ("Päron", "Test^", "PID-0001", "20220203"))

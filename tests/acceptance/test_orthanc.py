"""The service between DCMTK and Orthanc."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO

from pacs_ai.doctor.check import Verdict
from pacs_ai.doctor.nodes import check_nodes
from pacs_ai.settings import Node, Settings
from tests.builders import make_instance, part10, sample_film

from .peers import CAPTURE, REPORT, Orthanc, Serve, run_command, storescu, wait_until

pytestmark = pytest.mark.timeout(600)


def _write(folder: Path, count: int) -> list[Path]:
    folder.mkdir()
    stored = sample_film(0, 576, 512)
    paths = []
    for number in range(count):
        path = folder / f"{number:03d}.dcm"
        path.write_bytes(part10(make_instance(stored=stored, PatientID=f"PID-{number:04d}")))
        paths.append(path)
    return paths


def _push(port: int, paths: list[Path], associations: int) -> None:
    shares = [paths[start::associations] for start in range(associations)]
    with ThreadPoolExecutor(associations) as pool:
        for done in pool.map(lambda share: storescu(port, *share), shares):
            assert done.returncode == 0, done.stderr


def test_a_hundred_radiographs_over_four_associations_come_back_once_also_when_pushed_again(
    orthanc: Orthanc, serve: Serve, tmp_path: Path
) -> None:
    paths = _write(tmp_path / "push", 100)
    serve.start()

    _push(serve.port, paths, 4)
    wait_until(lambda: orthanc.count() >= 200)
    _push(serve.port, paths, 4)
    wait_until(lambda: len(serve.ask("audit", "query", "--action", "resend", "--limit", "1000")) == 100)
    wait_until(lambda: all(item["state"] == "ACCEPTED" for item in serve.ask("deliveries", "list", "--limit", "1000")))

    assert len(orthanc.of_class(REPORT)) == 100
    assert len(orthanc.of_class(CAPTURE)) == 100
    assert len(serve.ask("deliveries", "list", "--limit", "1000")) == 200
    assert {item["outcome"] for item in serve.ask("audit", "query", "--action", "receive")} == {"kept"}


def test_what_orthanc_holds_is_byte_for_byte_what_was_built_and_is_found_by_c_find(
    orthanc: Orthanc, serve: Serve, tmp_path: Path
) -> None:
    instance = make_instance(stored=sample_film(1, 640, 576), PatientName="Müller^Jürgen", AccessionNumber="ACC-77")
    path = tmp_path / "one.dcm"
    path.write_bytes(part10(instance))
    serve.start()

    storescu(serve.port, path)
    wait_until(lambda: orthanc.count() >= 2)

    kept = {
        item["sop_instance_uid"]: item for item in serve.ask("studies", "show", instance.StudyInstanceUID)[0]["objects"]
    }
    for held in orthanc.instances():
        ours = dcmread(kept[held["SOPInstanceUID"]]["path"])
        theirs = dcmread(DicomBytesIO(orthanc.get_bytes(f"/instances/{held['id']}/file")))
        assert theirs == ours
        assert theirs.PatientName == instance.PatientName
    found = subprocess.run(
        [
            "/usr/bin/findscu", "-S", "-aec", "ORTHANC", "127.0.0.1", str(orthanc.dicom_port),
            "-k", "QueryRetrieveLevel=SERIES", "-k", f"StudyInstanceUID={instance.StudyInstanceUID}", "-k", "Modality",
        ],
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    assert {"SR", "OT"} == {line.split("[")[1][:2] for line in found.stderr.splitlines() if "(0008,0060) CS [" in line}


def test_echo_and_send_talk_to_a_running_service(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "one.dcm"
    path.write_bytes(part10(make_instance(stored=sample_film(2, 640, 576))))
    serve.start()

    echoed = run_command("echo", "127.0.0.1", str(serve.port), "-aec", "PACS_AI", "-ta", "60")
    sent = run_command("send", "127.0.0.1", str(serve.port), str(path), "-aec", "PACS_AI", "-ta", "60")

    assert "0x0000" in echoed.stdout
    assert sent.stdout.strip() == "1 of 1 accepted"


def test_sigterm_ends_the_service_in_order(serve: Serve) -> None:
    serve.start()

    status = serve.stop()

    assert status == 0


def test_doctor_finds_out_what_orthanc_takes_and_stores_nothing_there(orthanc: Orthanc) -> None:
    node = Node(name="orthanc", ae_title="ORTHANC", host="127.0.0.1", port=orthanc.dicom_port)

    said = {check.name: (check.verdict, check.detail) for check in check_nodes(Settings(nodes=(node,)), ())}

    assert {verdict for verdict, _ in said.values()} == {Verdict.OK}
    assert "Comprehensive 3D SR Storage" in said["node orthanc: report"][1]
    assert "JPEG Baseline" in said["node orthanc: capture"][1]
    assert orthanc.count() == 0

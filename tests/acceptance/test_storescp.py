"""DCMTK's storescp as the archive: by default it takes uncompressed objects only."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian

from pacs_ai.demonstration import sample_paths
from tests.ports import free_port
from tests.unit.peers import validation_errors

from .peers import CAPTURE, REPORT, Serve, run_command, wait_until


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    port, folder = free_port(), tmp_path / "archive"
    folder.mkdir()
    process = subprocess.Popen(["/usr/bin/storescp", "-aet", "ARCHIVE", "-od", str(folder), str(port)])
    yield port, folder
    process.terminate()
    process.wait()


def test_an_archive_that_takes_no_jpeg_gets_the_capture_uncompressed(archive: tuple[int, Path], tmp_path: Path) -> None:
    port, folder = archive
    serve = Serve(tmp_path, nodes=(("ARCHIVE", port),))
    serve.start()
    run_command("send", "127.0.0.1", str(serve.port), str(sample_paths()[5]), "-aec", "PACS_AI", "-ta", "60")
    wait_until(lambda: {item["state"] for item in serve.ask("deliveries", "list")} == {"ACCEPTED"})
    said = {item["kind"]: item["detail"] for item in serve.ask("deliveries", "list")}
    serve.stop()

    kept = {dcmread(path).SOPClassUID: dcmread(path) for path in folder.iterdir()}
    assert kept.keys() == {CAPTURE, REPORT}
    assert kept[CAPTURE].file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert (kept[CAPTURE].PhotometricInterpretation, kept[CAPTURE].LossyImageCompression) == ("RGB", "01")
    assert said == {"capture": "0x0000 uncompressed", "report": "0x0000"}
    assert [validation_errors(instance, tmp_path) for instance in kept.values()] == [[], []]

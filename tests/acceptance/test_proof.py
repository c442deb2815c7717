"""Proof of delivery and storage commitment, both ways, with Orthanc."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.builders import make_instance, part10, sample_film
from tests.ports import free_port

from .peers import Orthanc, Serve, storescu, wait_until

PACS_AI = "pacs_ai"


@pytest.fixture(params=["commitment", "c-find"])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Orthanc, Serve]]:
    """Orthanc and the service, which know each other."""
    port = free_port()
    orthanc = Orthanc(tmp_path / "orthanc", modalities={PACS_AI: ("PACS_AI", "127.0.0.1", port)})
    orthanc.start()
    serve = Serve(tmp_path, nodes=(("ORTHANC", orthanc.dicom_port),), port=port, proof=request.param)
    serve.start()
    yield orthanc, serve
    serve.kill()
    orthanc.stop()


def _report_of(orthanc: Orthanc, instances: list[dict[str, str]]) -> dict[str, Any]:
    """What Orthanc hears when it asks the service for storage commitment."""
    asked = orthanc.post(f"/modalities/{PACS_AI}/storage-commitment", {"DicomInstances": instances})
    heard = f"/storage-commitment/{asked['ID']}"
    wait_until(lambda: orthanc.get(heard)["Status"] != "Pending", seconds=120)
    return dict(orthanc.get(heard))


def test_orthanc_proves_what_it_was_sent_and_hears_what_we_keep(both: tuple[Orthanc, Serve], tmp_path: Path) -> None:
    orthanc, serve = both
    film = make_instance(stored=sample_film(3, 640, 576))
    path = tmp_path / "one.dcm"
    path.write_bytes(part10(film))

    storescu(serve.port, path)
    wait_until(lambda: {item["state"] for item in serve.ask("deliveries", "list")} == {"ACCEPTED"})
    proofs = serve.ask("audit", "query", "--action", "prove", "--outcome", "proved")
    known = {"SOPClassUID": film.SOPClassUID, "SOPInstanceUID": film.SOPInstanceUID}
    kept = _report_of(orthanc, [known])
    half = _report_of(orthanc, [known, known | {"SOPInstanceUID": "1.2.3"}])

    assert len(proofs) == orthanc.count() == 2
    words = "storage commitment, transaction" if serve.proof == "commitment" else "C-FIND"
    assert all(event["detail"].startswith(words) for event in proofs)
    assert serve.ask("studies", "show", film.StudyInstanceUID)[0]["state"] == "DELIVERED"
    assert kept["Status"] == "Success"
    assert half["Status"] == "Failure"
    assert [item["SOPInstanceUID"] for item in half["Success"]] == [film.SOPInstanceUID]
    assert [(item["SOPInstanceUID"], item["FailureReason"]) for item in half["Failures"]] == [("1.2.3", 0x0112)]

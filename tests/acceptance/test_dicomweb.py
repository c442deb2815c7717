"""Results over DICOMweb, with Orthanc and its plugin."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pacs_ai_storage.records import StudyState
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO

from pacs_ai.delivery import parcel_of
from pacs_ai.dicomweb.search import echo
from pacs_ai.dicomweb.sender import WebSender
from pacs_ai.doctor.check import Verdict
from pacs_ai.doctor.nodes import check_nodes
from pacs_ai.settings import DeliverySettings, DicomSettings, IngestSettings, Settings, WebNode
from tests.integration.peers import push
from tests.integration.services import radiograph, running

from .peers import DICOMWEB, Orthanc


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    started = Orthanc(tmp_path / "orthanc", plugins=(DICOMWEB,))
    started.start()
    yield started
    started.stop()


@pytest.fixture
def settings(orthanc: Orthanc, tmp_path: Path) -> Settings:
    node = WebNode(name="orthanc", url=f"http://127.0.0.1:{orthanc.http_port}/dicom-web", proof="qido")
    return Settings(
        data=tmp_path / "data",
        dicom=DicomSettings(host="127.0.0.1"),
        ingest=IngestSettings(stable_after=0.3, disk_reserve_gb=0),
        delivery=DeliverySettings(first_retry_seconds=0.2, max_retry_seconds=0.4),
        nodes=(node,),
    )


def test_orthanc_takes_results_over_dicomweb_once_and_is_found_to_have_them(
    orthanc: Orthanc, settings: Settings, tmp_path: Path
) -> None:
    (node,) = settings.nodes
    assert isinstance(node, WebNode)
    study, path = radiograph(tmp_path)

    with running(settings) as service:
        push(service.port, path)
        view = service.wait_for(study, StudyState.DELIVERED)
        trail = service.trail(study)
        kept = {item.sop_instance_uid: dcmread(service.locate(item.file)) for item in view.objects}
        parcels = [parcel_of(delivery, service.service.stores.instances) for delivery in view.deliveries]
        again = [outcome.detail for outcome in WebSender().send(node, parcels) if outcome.is_accepted]
        said = [(check.verdict, check.detail) for check in check_nodes(settings, ()) if check.name == "node orthanc"]

    assert orthanc.count() == len(kept) == 2
    for held in orthanc.instances():
        theirs = dcmread(DicomBytesIO(orthanc.get_bytes(f"/instances/{held['id']}/file")))
        assert theirs == kept[held["SOPInstanceUID"]]
    assert [event for event in trail if event[0] == "prove"] == [("prove", "proved")] * 2
    ((verdict, detail),) = said
    assert verdict is Verdict.OK
    assert "answers QIDO-RS with 200" in detail
    assert again == ["200", "200"]
    assert echo(node) == "200"

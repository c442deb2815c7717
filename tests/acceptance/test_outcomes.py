"""A study of everything that a PACS may push, and what comes back: one report that answers for each radiograph."""

from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.uid import (
    CTImageStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    JPEG2000Lossless,
    generate_uid,
)

from tests.builders import make_instance, part10, sample_film

from .peers import CAPTURE, REPORT, Orthanc, Serve, run_command, wait_until

STUDY = "1.2.826.0.1.3680043.8.498.45"


def _presentation_state() -> Dataset:
    state = make_instance(PixelData=None, SOPClassUID=GrayscaleSoftcopyPresentationStateStorage, Modality="PR")
    for keyword in ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PhotometricInterpretation"):
        del state[keyword]
    return state


def _study(folder: Path) -> dict[str, Path]:
    film = sample_film(0, 640, 576)
    frontal = {"stored": film, "SeriesInstanceUID": generate_uid()}
    members = {
        "pa": make_instance(**frontal),
        "ap": make_instance(**frontal, ViewPosition="AP"),
        "lateral": make_instance(**frontal, ViewPosition="LL", ViewCodeSequence=None, SeriesDescription="Chest LAT"),
        "hand": make_instance(**frontal, BodyPartExamined="HAND", AnatomicRegionSequence=None),
        "ct": make_instance(**frontal, SOPClassUID=CTImageStorage, Modality="CT"),
        "damaged": make_instance(**frontal, syntax=JPEG2000Lossless),
        "state": _presentation_state(),
    }
    folder.mkdir()
    paths = {}
    for name, instance in members.items():
        instance.StudyInstanceUID = STUDY
        if name == "damaged":
            instance.PixelData = instance.PixelData[: len(instance.PixelData) // 3 // 2 * 2]
        paths[name] = folder / f"{name}.dcm"
        paths[name].write_bytes(part10(instance))
    return paths


def test_a_study_of_eight_instances_comes_back_as_one_report_and_two_captures(
    orthanc: Orthanc, serve: Serve, tmp_path: Path
) -> None:
    serve.stable_after = 10.0  # longer than any pause between two instances
    paths = _study(tmp_path / "study")
    serve.start()
    serve.wait_for_log("reading with")

    send = ("send", "127.0.0.1", str(serve.port), "-aec", "PACS_AI", "-ta", "60")
    run_command(*send, *map(str, paths.values()))
    run_command(*send, str(paths["pa"]))
    wait_until(lambda: serve.ask("studies", "show", STUDY)[0]["state"] == "DELIVERED")

    (report,) = orthanc.of_class(REPORT)
    assert len(orthanc.of_class(CAPTURE)) == 2
    content = dcmread(DicomBytesIO(orthanc.get_bytes(f"/instances/{report['id']}/file")))
    said = _said(content)
    uids = {name: dcmread(path, stop_before_pixels=True).SOPInstanceUID for name, path in paths.items()}
    assert {tuple(said.pop(uids[name])) for name in ("pa", "ap")} <= {("52101004",), ("272519000",)}
    assert said == {
        uids["lateral"]: ["373068000", "NA11"],
        uids["hand"]: ["373068000", "NA10"],
        uids["damaged"]: ["373068000", "NA02"],
    }
    kept = serve.ask("audit", "query", "--action", "receive", "--limit", "100")
    assert {event["sop_instance_uid"] for event in kept} == set(uids.values())
    assert len(serve.ask("audit", "query", "--action", "resend")) == 1
    assert orthanc.count() == 3


def _said(report: Dataset) -> dict[str, list[str]]:
    """What the qualitative evaluations of each measurement group say of its source image."""
    said: dict[str, list[str]] = {}
    (measurements,) = [item for item in report.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == "126010"]
    for group in measurements.ContentSequence:
        source, evaluations = "", []
        for item in group.ContentSequence:
            name = item.ConceptNameCodeSequence[0].CodeValue if item.get("ConceptNameCodeSequence") else ""
            if item.ValueType == "IMAGE" and name == "121112":
                source = item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
            if item.ValueType == "CODE" and name in {"233604007", "NA"}:
                evaluations.append(item.ConceptCodeSequence[0].CodeValue)
        said[source] = evaluations
    return said

"""The two verbs that a newcomer tries: `demo` on the samples, `process` on files."""

import json
from pathlib import Path

import pytest
from pydicom import dcmread

from pacs_ai.demonstration import sample_paths
from pacs_ai.results.verification import check_file
from tests.builders import make_instance, part10
from tests.validators import dsrdump, errors_of_iod

from .peers import CAPTURE, REPORT, run_command

pytestmark = pytest.mark.timeout(900)  # minutes of processor time, on a machine that may have others to serve

SAMPLES = sample_paths()[0].parent


@pytest.fixture(scope="module")
def demo_lines() -> list[dict]:
    return [json.loads(line) for line in run_command("demo", "--once", "--json").stdout.splitlines()]


@pytest.fixture(scope="module")
def processed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict]]:
    folder = tmp_path_factory.mktemp("process")
    (folder / "in").mkdir()
    for sample in SAMPLES.glob("*.dcm"):
        (folder / "in" / sample.name).write_bytes(sample.read_bytes())
    (folder / "in" / "notes.txt").write_text("no DICOM")
    (folder / "in" / "truncated.dcm").write_bytes(part10(make_instance())[:100_000])
    (folder / "in" / "unreadable.dcm").symlink_to("/proc/self/mem")
    out = folder / "out"
    done = run_command("process", str(folder / "in"), "--out", str(out), "--json")
    return out, [json.loads(line) for line in done.stdout.splitlines()]


def test_demo_reads_twelve_samples_and_refuses_two(demo_lines: list[dict]) -> None:
    read = [line for line in demo_lines if line["reason"] is None]
    refused = {Path(line["path"]).name: line["reason"] for line in demo_lines if line["reason"]}

    assert len(read) == 12
    assert refused == {"13-lateral-dx.dcm": "NOT_FRONTAL", "14-hand-cr.dcm": "NOT_CHEST"}
    assert all(line["outcome"] in {"positive", "negative"} and 0 <= line["probability"] <= 1 for line in read)


def test_demo_has_a_report_of_each_sample_and_a_capture_of_each_read_one_accepted(demo_lines: list[dict]) -> None:
    for line in demo_lines:
        kinds = {item["kind"]: item["accepted"] for item in line["objects"]}
        assert kinds == ({"report": True} if line["reason"] else {"report": True, "capture": True})
        assert line["seconds"] > 0


def test_process_prints_a_line_for_each_file(processed: tuple[Path, list[dict]]) -> None:
    _, lines = processed

    keys = ["path", "study_instance_uid", "sop_instance_uid", "outcome", "reason", "detail", "probability", "threshold"]
    assert all(list(line) == [*keys, "model", "objects"] for line in lines)
    reasons = {Path(line["path"]).name: line["reason"] for line in lines if line["reason"]}
    assert reasons == {
        "13-lateral-dx.dcm": "NOT_FRONTAL",
        "14-hand-cr.dcm": "NOT_CHEST",
        "notes.txt": "NOT_DICOM",
        "truncated.dcm": "UNDECODABLE",
        "unreadable.dcm": "NOT_DICOM",
    }
    refused = {line["reason"]: line for line in lines if line["reason"]}
    assert all(line["probability"] is None for line in refused.values())
    assert {reason: [item["kind"] for item in line["objects"]] for reason, line in refused.items()} == {
        "NOT_FRONTAL": ["report"],
        "NOT_CHEST": ["report"],
        "NOT_DICOM": [],
        "UNDECODABLE": ["report"],
    }


def test_every_object_of_process_is_valid(processed: tuple[Path, list[dict]]) -> None:
    out, lines = processed

    written = sorted(out.glob("*.dcm"))
    named = {Path(item["path"]) for line in lines for item in line["objects"]}

    assert set(written) == named
    assert len(written) == 12 + 15
    for path in written:
        assert errors_of_iod(path) == []
        if path.name.startswith("report"):
            assert dsrdump(path) == []
            assert check_file(str(path)) == []


def test_the_objects_are_what_the_lines_say(processed: tuple[Path, list[dict]]) -> None:
    _, lines = processed

    for line in lines:
        for item in line["objects"]:
            header = dcmread(item["path"], stop_before_pixels=True)
            assert header.SOPClassUID == item["sop_class_uid"] == {"report": REPORT, "capture": CAPTURE}[item["kind"]]
            assert header.SOPInstanceUID == item["sop_instance_uid"]
            assert header.StudyInstanceUID == line["study_instance_uid"]


def test_processing_twice_gives_the_same_bytes(processed: tuple[Path, list[dict]], tmp_path: Path) -> None:
    out, _ = processed

    run_command("process", str(SAMPLES / "04-chest-cr.dcm"), "--out", str(tmp_path / "again"), "--json")

    again = list((tmp_path / "again").glob("*.dcm"))
    assert len(again) == 2
    assert all(path.read_bytes() == (out / path.name).read_bytes() for path in again)


def test_every_sample_is_a_valid_instance_of_an_invented_child() -> None:
    for sample in sample_paths():
        header = dcmread(sample, stop_before_pixels=True)
        assert errors_of_iod(sample) == []
        assert str(header.PatientName).startswith("Sample^")
        assert header.PatientAge in {"001Y", "018M", "002Y", "003Y", "004Y", "005Y"}


def test_the_samples_come_in_the_forms_that_devices_write() -> None:
    headers = [dcmread(sample, stop_before_pixels=True) for sample in sample_paths()]

    syntaxes = {str(header.file_meta.TransferSyntaxUID) for header in headers}
    assert {"1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5"} <= syntaxes
    assert {"MONOCHROME1", "MONOCHROME2"} == {header.PhotometricInterpretation for header in headers}
    assert {8, 12} == {header.BitsStored for header in headers}
    assert {"CR", "DX"} == {header.Modality for header in headers}

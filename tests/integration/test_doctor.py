"""What `doctor` says of nodes, of the port and of a service that runs."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pacs_ai_storage.database import Database
from pacs_ai_storage.records import NegotiatedForm
from pydicom.uid import (
    UID,
    BasicTextSRStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    SecondaryCaptureImageStorage,
)
from pynetdicom import AE
from pynetdicom.presentation import build_context
from sqlalchemy import text

from pacs_ai.delivery import form_name
from pacs_ai.dimse.contexts import TimeLimits
from pacs_ai.doctor.check import Check, Verdict
from pacs_ai.doctor.ledger import check_ledger
from pacs_ai.doctor.listener import check_calling_titles, check_listener
from pacs_ai.doctor.nodes import check_nodes
from pacs_ai.settings import AuditSettings, DicomSettings, Node, Settings
from tests.unit.networks import OFFSET, SIDE, WEIGHT, mean_network, model_folder

from .conftest import Inbox
from .peers import HOST, Archive, connection_refused, listening, nobody, silent_peer, stop, storescp
from .services import running

AT = datetime(2026, 1, 5, 10, 30, tzinfo=UTC)
LADDER = (Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage, BasicTextSRStorage)
ALL = [
    *(build_context(rung, ExplicitVRLittleEndian) for rung in LADDER),
    build_context(SecondaryCaptureImageStorage, JPEGBaseline8Bit),
]


def asked(
    node: Node, *, calling: str = "PACS_AI", remembered: Sequence[NegotiatedForm] = ()
) -> dict[str, tuple[Verdict, str]]:
    settings = Settings(nodes=(node,), dicom=DicomSettings(ae_title=calling))
    return {check.name: (check.verdict, check.detail) for check in check_nodes(settings, remembered)}


def test_a_node_that_takes_everything_is_well() -> None:
    with listening(Archive(), contexts=ALL) as archive:
        said = asked(archive.node)

    assert archive.received == []
    assert {verdict for verdict, _ in said.values()} == {Verdict.OK}
    assert said["node archive"][1] == f"ARCHIVE@127.0.0.1:{archive.port} answers C-ECHO"
    assert said["node archive: report"][1].startswith(
        "goes out as Comprehensive 3D SR Storage, Explicit VR Little Endian; nothing was delivered yet"
    )
    assert said["node archive: capture"][1].startswith(
        "goes out as Secondary Capture Image Storage, JPEG Baseline (Process 1)"
    )


@pytest.mark.parametrize(
    ("rung", "verdict"),
    [
        (ComprehensiveSRStorage, Verdict.OK),
        (EnhancedSRStorage, Verdict.OK),
        (BasicTextSRStorage, Verdict.WARNING),
    ],
    ids=lambda value: getattr(value, "keyword", value),
)
def test_the_class_of_the_ladder_that_a_node_will_get_is_told(rung: UID, verdict: Verdict) -> None:
    contexts = [context for context in ALL if context.abstract_syntax == rung]

    with listening(Archive(), contexts=contexts) as archive:
        said = asked(archive.node)["node archive: report"]

    assert said[0] is verdict
    assert rung.name in said[1]


def test_what_dcmtk_is_set_to_take_is_found_out(tmp_path: Path) -> None:
    taken = ((BasicTextSRStorage, ExplicitVRLittleEndian), (SecondaryCaptureImageStorage, ExplicitVRLittleEndian))

    with storescp(tmp_path, *taken) as (node, received):
        said = asked(node)
        assert received() == []

    assert [verdict for verdict, _ in said.values()] == [Verdict.OK, Verdict.WARNING, Verdict.OK, Verdict.OK]
    assert "Basic Text SR Storage" in said["node archive: report"][1]


def test_a_capture_that_goes_out_uncompressed_is_told() -> None:
    contexts = [build_context(SecondaryCaptureImageStorage, ExplicitVRLittleEndian)]

    with listening(Archive(), contexts=contexts) as archive:
        verdict, detail = asked(archive.node)["node archive: capture"]

    assert verdict is Verdict.OK
    assert "Explicit VR Little Endian" in detail


@pytest.mark.parametrize("missing", ["report", "capture"])
def test_a_node_that_takes_an_object_in_no_form_fails_and_the_forms_are_named(missing: str) -> None:
    is_capture = missing == "capture"
    contexts = [item for item in ALL if (item.abstract_syntax == SecondaryCaptureImageStorage) is not is_capture]

    with listening(Archive(), contexts=contexts) as archive:
        checks = list(check_nodes(Settings(nodes=(archive.node,)), ()))

    (check,) = [check for check in checks if check.name == f"node archive: {missing}"]
    assert (check.verdict, check.is_unreachable_node) == (Verdict.FAILED, False)
    assert ("JPEG Baseline" if is_capture else "Basic Text SR") in check.advice


def test_what_a_node_took_before_is_told_beside_what_it_takes_now() -> None:
    last = NegotiatedForm(
        node="archive",
        kind="report",
        name=form_name(Comprehensive3DSRStorage, ExplicitVRLittleEndian),
        sop_class_uid=Comprehensive3DSRStorage,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        decided_at=AT,
    )
    since = f"{AT.astimezone():%Y-%m-%d %H:%M}"

    with listening(Archive(), contexts=ALL) as archive:
        same = asked(archive.node, remembered=[last])["node archive: report"][1]
        other = replace(last, sop_class_uid=BasicTextSRStorage, name="Basic Text SR Storage")
        changed = asked(archive.node, remembered=[other])["node archive: report"][1]

    assert same.endswith(f", as it has since {since}")
    assert changed.endswith(f"; since {since} it went out as Basic Text SR Storage")


@connection_refused
def test_a_node_that_is_away_is_unreachable_and_the_others_are_asked() -> None:
    away = Node(name="away", ae_title="AWAY", host=HOST, port=nobody())

    with listening(Archive(), contexts=ALL) as archive:
        checks = list(check_nodes(Settings(nodes=(away, archive.node)), ()))

    assert [check.name for check in checks if check.is_unreachable_node] == ["node away"]
    assert [check.verdict for check in checks if check.name.startswith("node archive")] == [Verdict.OK] * 4
    assert "AE title PACS_AI" in checks[0].advice


def test_a_node_that_does_not_know_its_name_is_unreachable_with_its_reason() -> None:
    with listening(Archive()) as archive:
        misnamed = archive.node.model_copy(update={"ae_title": "OTHER"})
        verdict, detail = asked(misnamed)["node archive"]

    assert verdict is Verdict.FAILED
    assert "rejected the association" in detail


def test_a_node_without_verification_is_told_and_still_asked() -> None:
    ae = AE(ae_title="ARCHIVE")
    ae.supported_contexts = ALL
    server = ae.start_server((HOST, 0), block=False)
    try:
        node = Node(name="archive", ae_title="ARCHIVE", host=HOST, port=server.server_address[1])
        said = asked(node)
    finally:
        stop(ae)

    assert said["node archive"][0] is Verdict.WARNING
    assert said["node archive: report"][0] is Verdict.OK


def test_without_nodes_it_is_told_that_nothing_is_sent() -> None:
    (check,) = check_nodes(Settings(), ())

    assert (check.verdict, "[[nodes]]" in check.advice) == (Verdict.WARNING, True)


def _port(port: int, **changes: object) -> Check:
    return check_listener(DicomSettings(host=HOST, port=port, **changes))


def test_a_free_port_is_free_and_stays_so() -> None:
    port = nobody()

    assert [_port(port).detail for _ in range(2)] == ["is free: the service is not running"] * 2


def test_a_port_where_the_service_answers_is_well(open_inbox: Callable[..., Inbox]) -> None:
    inbox = open_inbox(allowed_calling_ae_titles=("ROUTER",))

    check = _port(inbox.port, allowed_calling_ae_titles=("ROUTER",))

    assert (check.verdict, "the service is running" in check.detail) == (Verdict.OK, True)


def test_a_port_that_another_application_entity_holds_fails() -> None:
    with listening(Archive()) as archive:
        check = _port(archive.port)

    assert (check.verdict, "not by us" in check.detail) == (Verdict.FAILED, True)


@pytest.mark.timeout(120)
def test_a_port_that_no_dicom_program_holds_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pacs_ai.doctor.listener._LIMITS", TimeLimits(associate=1))

    with silent_peer() as port:
        check = _port(port)

    assert (check.verdict, "dicom.port" in check.advice) == (Verdict.FAILED, True)


def test_an_address_that_is_not_of_this_machine_fails() -> None:
    check = check_listener(DicomSettings(host="192.0.2.1", port=nobody()))

    assert (check.verdict, "no address of this machine" in check.advice) == (Verdict.FAILED, True)


def test_that_anybody_may_push_is_told() -> None:
    assert check_calling_titles(DicomSettings()).verdict is Verdict.WARNING
    assert check_calling_titles(DicomSettings(allowed_calling_ae_titles=("ROUTER",))).verdict is Verdict.OK


def test_each_kind_of_database_is_found_to_keep_what_it_commits(database: Database, database_url: str) -> None:
    check = check_ledger(Settings(audit=AuditSettings(url=database_url))).check

    assert check.verdict is Verdict.OK


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_database_that_may_lose_a_commit_fails(database: Database, database_url: str) -> None:
    name = database_url.rsplit("/", 1)[1]
    with database.change() as connection:
        connection.execute(text(f"ALTER DATABASE {name} SET synchronous_commit = off"))

    check = check_ledger(Settings(audit=AuditSettings(url=database_url))).check

    assert check.verdict is Verdict.FAILED
    assert "synchronous_commit=off" in check.detail


def test_a_database_server_that_is_away_fails_without_its_password() -> None:
    url = f"postgresql+psycopg://reader:s3cret@127.0.0.1:{nobody()}/name"

    check = check_ledger(Settings(audit=AuditSettings(url=url))).check

    assert check.verdict is Verdict.FAILED
    assert "s3cret" not in check.detail


def _run(folder: Path, archive_port: int, port: int, **options: str) -> subprocess.CompletedProcess[str]:
    model = model_folder(
        mean_network(folder / "net.onnx", ["n", SIDE, SIDE, 1]), examples={"logits": [WEIGHT * 0.5 + OFFSET]}
    )
    configuration = folder / "pacs-ai.toml"
    configuration.write_text(
        f'data = "{folder / "data"}"\n[dicom]\nhost = "127.0.0.1"\nport = {port}\n'
        f'[ingest]\ndisk_reserve_gb = {options.get("reserve", "0")}\n[model]\npath = "{model}"\n'
        f'[[nodes]]\nname = "archive"\nae_title = "ARCHIVE"\nhost = "127.0.0.1"\nport = {archive_port}\n',
        encoding="utf-8",
    )
    words = [Path(sys.executable).with_name("pacs-ai"), "doctor", "--json", "-c", configuration]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)


def test_the_command_ends_with_0_while_the_service_runs(settings_with: Callable[..., Settings], tmp_path: Path) -> None:
    with listening(Archive(), contexts=ALL) as archive, running(settings_with(archive.node)) as service:
        ended = _run(tmp_path, archive.port, service.port)

    said = {line["check"]: line for line in map(json.loads, ended.stdout.splitlines())}
    assert ended.returncode == 0, ended.stdout
    assert {line["verdict"] for line in said.values()} <= {"ok", "warning"}
    assert "the service is running" in said[f"port {service.port}"]["detail"]
    assert said["database"]["verdict"] == said["codecs"]["verdict"] == "ok"
    assert "1 example outputs as on its card" in said["model: warm-up"]["detail"]  # "warning" where it took long
    assert all(bool(line["advice"]) is (line["verdict"] != "ok") for line in said.values())


def test_the_command_ends_with_4_when_a_node_is_away_and_asks_the_rest_before_anything_is_there(tmp_path: Path) -> None:
    ended = _run(tmp_path, nobody(), nobody())

    said = {line["check"]: line["verdict"] for line in map(json.loads, ended.stdout.splitlines())}
    assert ended.returncode == 4
    assert [check for check, verdict in said.items() if verdict == "failed"] == ["node archive"]
    assert not (tmp_path / "data").exists()


def test_the_command_ends_with_1_when_something_else_failed(tmp_path: Path) -> None:
    with listening(Archive(), contexts=ALL) as archive:
        ended = _run(tmp_path, archive.port, nobody(), reserve="1000000")

    said = {line["check"]: line["verdict"] for line in map(json.loads, ended.stdout.splitlines())}
    assert ended.returncode == 1
    assert [check for check, verdict in said.items() if verdict == "failed"] == ["disk: room"]

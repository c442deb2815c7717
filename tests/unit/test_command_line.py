"""The commands as users and scripts call them: what they print, and the code they end with."""

import csv
import io
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from pacs_ai_storage.audit import append
from pacs_ai_storage.claims import ClaimTerms
from pacs_ai_storage.database import SQLITE_NAME, Database, sqlite_url
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.migration import migrate
from pacs_ai_storage.records import (
    AuditEvent,
    InstanceOutcome,
    KeptFile,
    ResultObject,
    Setup,
    StoredInstance,
    StudyResult,
)
from pyarrow import parquet
from pydicom.uid import DigitalXRayImageStorageForPresentation
from pynetdicom.presentation import build_context

from pacs_ai import __version__
from pacs_ai.cli.output import print_table
from pacs_ai.settings import Settings
from pacs_ai.stores import open_stores
from tests.builders import make_instance, part10, phantom
from tests.integration.peers import Archive, listening

COMMAND = Path(sys.executable).with_name("pacs-ai")
AT = datetime(2026, 1, 5, 10, 30, tzinfo=UTC)
STUDY = "1.2.826.0.1.3680043.8.498.7"
IMAGE, REPORT = f"{STUDY}.1", f"{STUDY}.2"
REPAIR = "PatientSex emptied: not one of M, F, O"
SHORT_STUDY = f"…{STUDY[-12:]}"
FILE = KeptFile(path="ab/ab.dcm", size=2, sha256="ab" * 32)
SETUP = Setup(sha256="cd" * 32, document='{"model":{"version":"7"}}')
TERMS = ClaimTerms(owner="test", stable_after=timedelta(0), lease=timedelta(minutes=1))
QUERIES = [
    ["audit", "query"],
    ["audit", "query", "--action", "read", "--save", "readings"],
    ["audit", "query", "--named", "readings"],
    ["audit", "named", "list"],
    ["audit", "named", "delete", "readings"],
    ["audit", "show", STUDY],
    ["worklist"],
    ["studies", "list"],
    ["studies", "show", STUDY],
    ["deliveries", "list", STUDY],
    ["config", "check"],
    ["config", "show"],
    ["model", "show"],
]
HEAVY = {"cryptography", "pyarrow", "tensorflow", "keras", "highdicom", "alembic"}
ALL_IN_ONE = """
import json, sys
from pacs_ai.cli import main
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["pacs-ai", *arguments]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, (arguments, ended.code)
print("imported:", *sorted(name for name in sys.modules if "." not in name))
"""
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder whose database knows one study, read and waiting for its delivery."""
    working = tmp_path_factory.mktemp("working")
    data = working / "pacs-ai-data"
    data.mkdir()
    database = Database(sqlite_url(data))
    migrate(database)
    _read_one_study(Ledger(database))
    with database.change() as connection:
        events = [AuditEvent(at=AT, actor="ROUTER", action="refuse-receive", outcome="0xC000") for _ in range(120)]
        append(connection, *events)
    database.close()
    return working


def _read_one_study(ledger: Ledger) -> None:
    instance = StoredInstance(
        sop_instance_uid=IMAGE,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1",
        study_instance_uid=STUDY,
        series_instance_uid=f"{STUDY}.9",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        accession_number="ACC0001",
        calling_ae_title="MODALITY",
        received_at=AT,
        file=FILE,
        patient_id="PAT-7",
    )
    report = ResultObject(
        kind="report",
        sop_instance_uid=REPORT,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.88.34",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        source_sop_instance_uid=None,
        file=FILE,
    )
    ledger.record(instance)
    claimed = ledger.claim_stable(AT, TERMS)
    assert claimed is not None
    outcome = InstanceOutcome(
        sop_instance_uid=IMAGE,
        outcome="positive",
        probability=0.93,
        threshold=0.41,
        repairs=(REPAIR,),
        setup_sha256=SETUP.sha256,
        evidence='{"logit":2.5}',
    )
    ledger.read_with(SETUP, AT)
    result = StudyResult(
        outcome="positive",
        probability=0.93,
        priority="HIGH",
        priority_reasons=("pneumonia positive, 93.0%",),
        outcomes=(outcome,),
        objects=(report,),
    )
    ledger.keep_results(claimed, result, ["pacs"], AT)


@pytest.fixture
def run(folder: Path) -> Run:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PACS_AI_")}

    def ended(*arguments: str | Path, cwd: Path = folder) -> subprocess.CompletedProcess[str]:
        line = [COMMAND, *arguments]
        none = subprocess.DEVNULL
        return subprocess.run(
            line, cwd=cwd, env=environment, stdin=none, capture_output=True, text=True, check=False, timeout=120
        )

    return ended


def lines(printed: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in printed.splitlines()]


def test_version_and_help_are_printed(run: Run) -> None:
    assert run("--version").stdout == f"pacs-ai {__version__}\n"
    assert {"serve", "demo", "process", "worklist", "audit"} <= set(run("--help").stdout.split())


@pytest.mark.parametrize(
    "arguments", [["fly"], ["worklist", "--fast"], ["studies", "show"], ["audit", "query", "--limit", "0"]]
)
def test_wrong_usage_ends_with_2(arguments: list[str], run: Run) -> None:
    ended = run(*arguments)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert "Usage" in ended.stderr


def test_wrong_settings_end_with_2_and_a_line_for_each_problem(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text("[dicom]\nprot = 104\nport = 0\n", encoding="utf-8")

    ended = run("config", "check", "-c", path)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert "dicom.prot: unknown setting; did you mean 'port'?" in ended.stderr
    assert "dicom.port: " in ended.stderr
    assert "Traceback" not in ended.stderr


def test_every_problem_of_the_settings_is_told_at_once(run: Run, tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")
    path = tmp_path / "wrong.toml"
    path.write_text(
        'data = "taken/data"\n[dicom]\nprot = 104\n[http]\nhost = "0.0.0.0"\n[model]\npath = "nowhere"\n'
        '[[nodes]]\nname = "web"\nurl = "https://pacs.example/dicom-web"\ntoken_env = "NOT_SET_ANYWHERE"\n',
        encoding="utf-8",
    )

    ended = run("config", "check", "-c", path, cwd=tmp_path)

    said = [line.removeprefix(f"{path}: ").split(": ")[0] for line in ended.stderr.splitlines()]
    assert (ended.returncode, ended.stdout) == (2, "")
    assert sorted(said) == ["data", "dicom.prot", "http", "model.path", "nodes.0.token_env"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["studies", "show", "1.2.3"],
        ["studies", "mark-read", "1.2.3"],
        ["studies", "requeue", STUDY],
        ["deliveries", "retry", "1.2.3"],
        ["deliveries", "cancel", "--node", "elsewhere"],
        ["audit", "show", "1.2.3"],
        ["audit", "query", "--study", "1.2.3"],
        ["deliveries", "list", "--node", "elsewhere"],
        ["send", "127.0.0.1", "104", "missing.dcm"],
    ],
)
def test_what_is_not_found_ends_with_3_and_says_so(arguments: list[str], run: Run) -> None:
    ended = run(*arguments)

    assert (ended.returncode, ended.stdout) == (3, "")
    assert len(ended.stderr.splitlines()) == 1


def test_without_a_database_queries_end_with_3_and_say_where_they_looked(run: Run, tmp_path: Path) -> None:
    ended = run("worklist", cwd=tmp_path)

    assert ended.returncode == 3
    assert str(tmp_path) in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_is_away_ends_with_1_and_one_sentence_without_its_password(run: Run, tmp_path: Path) -> None:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        path = tmp_path / "away.toml"
        url = f"postgresql+psycopg://reader:s3cret@127.0.0.1:{probe.getsockname()[1]}/name"
        path.write_text(f'[audit]\nurl = "{url}"\n', encoding="utf-8")
        ended = run("worklist", "-c", path)

    assert (ended.returncode, ended.stdout) == (1, "")
    (sentence,) = ended.stderr.splitlines()
    assert sentence.startswith("the database does not answer: ")
    assert "check audit.url" in sentence
    assert "s3cret" not in sentence


@pytest.mark.parametrize("arguments", [["worklist"], ["migrate"], ["serve"]])
def test_a_database_of_a_newer_version_ends_with_1_and_the_advice_to_install_that(
    arguments: list[str], run: Run, folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder / "pacs-ai-data", tmp_path / "pacs-ai-data")
    with closing(sqlite3.connect(tmp_path / "pacs-ai-data" / SQLITE_NAME)) as database:
        database.executescript("UPDATE alembic_version SET version_num = '9999'")

    ended = run(*arguments, cwd=tmp_path)

    assert (ended.returncode, ended.stdout) == (1, "")
    said = ended.stderr.splitlines()[-1]
    assert said.startswith("the database was written by a newer version")
    assert "install that version" in said
    assert "Traceback" not in ended.stderr


def test_an_echo_to_nobody_ends_with_4_and_says_so(run: Run) -> None:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
        ended = run("echo", "127.0.0.1", port, "-aec", "PACS")

    assert (ended.returncode, ended.stdout) == (4, "")
    assert f"PACS@127.0.0.1:{port} cannot be reached: the connection is refused" in ended.stderr


def test_an_echo_to_what_does_not_speak_dicom_says_that_it_was_connected(run: Run) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as mute:
        ended = run("echo", "127.0.0.1", str(mute.getsockname()[1]), "-ta", "1")

    assert ended.returncode == 4
    assert "is connected and did not answer the association request; does it speak DICOM" in ended.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="a full queue of connections drops the next one on Linux")
def test_an_echo_to_what_takes_no_connection_says_how_long_it_was_waited_for(run: Run) -> None:
    with closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as full, closing(socket.socket()) as waiting:
        waiting.connect(full.getsockname())
        ended = run("echo", "127.0.0.1", str(full.getsockname()[1]), "-to", "1", "-ta", "1")

    assert ended.returncode == 4
    assert "cannot be reached: no connection within 1 s" in ended.stderr


def test_an_echo_to_a_host_that_cannot_be_ends_with_2_and_says_so(run: Run) -> None:
    ended = run("echo", "pacs..example", "104")

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("a host is an IP address, or a name of 253 characters at most")


@pytest.mark.parametrize("verb", [["echo", "pacs"], ["send", "pacs", "film.dcm"]], ids=str)
@pytest.mark.parametrize("option", [["+cf", "ca.pem"], ["+tls", "key.pem", "cert.pem"], ["-aec", "PACS"]], ids=str)
def test_an_option_that_a_node_of_the_settings_would_not_heed_is_refused(
    verb: list[str], option: list[str], run: Run, tmp_path: Path
) -> None:
    node = '[[nodes]]\nname = "pacs"\nae_title = "PACS"\nhost = "127.0.0.1"\nport = 1\n'
    (tmp_path / "pacs-ai.toml").write_text(node, encoding="utf-8")

    ended = run(*verb, *option, cwd=tmp_path)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"pacs is a node of the settings, which say it: leave out {option[0]}\n"


def test_tls_that_an_empty_option_asks_for_is_not_left_out(run: Run) -> None:
    ended = run("echo", "127.0.0.1", "1", "+cf", "")

    assert (ended.returncode, "+cf: empty" in ended.stderr) == (2, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["echo", "127.0.0.1", "104", "-aet", "A_TITLE_OF_20_LETTER"],
        ["simulate", "--to", "A@127.0.0.1:104", "-aet", "A_TITLE_OF_20_LETTER"],
        ["simulate", "--to", "A@127.0.0.1:104", "--archive", "11114", "--archive-title", "A\\B"],
    ],
)
def test_what_is_no_ae_title_ends_with_2_and_says_so(arguments: list[str], run: Run) -> None:
    ended = run(*arguments)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert "an AE title has 1 to 16 printable" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_token_of_the_http_port_that_is_not_there_is_a_problem_of_the_settings(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "watched.toml"
    path.write_text('[http]\ntoken_env = "NOT_SET_ANYWHERE"\n', encoding="utf-8")

    checked, served = run("config", "check", "-c", path), run("serve", "-c", path, cwd=tmp_path)

    said = "http.token_env: the environment variable NOT_SET_ANYWHERE is not set, or empty\n"
    assert (checked.returncode, checked.stderr) == (2, f"{path}: {said}")
    assert (served.returncode, served.stderr) == (2, said)


@pytest.mark.parametrize("arguments", [["serve"], ["migrate"], ["demo", "--data", "taken"]])
def test_a_data_folder_that_cannot_be_ends_with_2_and_one_sentence(
    arguments: list[str], run: Run, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_bytes(b"")
    (tmp_path / "pacs-ai.toml").write_text('data = "taken/data"\n', encoding="utf-8")

    ended = run(*arguments, cwd=tmp_path)

    assert (ended.returncode, ended.stdout) == (2, "")
    (sentence,) = ended.stderr.splitlines()
    assert sentence.startswith("data: taken")


@pytest.mark.parametrize("arguments", [["serve"], ["demo", "--port", "{port}"]])
def test_a_port_that_somebody_else_has_ends_with_1_and_one_sentence(
    arguments: list[str], run: Run, tmp_path: Path
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        (tmp_path / "pacs-ai.toml").write_text(f'[dicom]\nhost = "127.0.0.1"\nport = {port}\n', encoding="utf-8")
        ended = run(*(word.format(port=port) for word in arguments), cwd=tmp_path)

    assert (ended.returncode, ended.stdout) == (1, "")
    (sentence,) = ended.stderr.splitlines()
    assert sentence.startswith(f"the DICOM port 127.0.0.1:{port} cannot be opened: ")
    assert sentence.endswith("; is another service on it?")


def test_serve_says_what_it_runs_with_and_when_it_has_ended(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    (tmp_path / "pacs-ai.toml").write_text(f'[dicom]\nhost = "127.0.0.1"\nport = {port}\n', encoding="utf-8")
    said = ""
    with subprocess.Popen([COMMAND, "serve"], cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        patience = Timer(60, process.kill)
        patience.start()
        assert process.stderr is not None
        while "has started" not in said and (line := process.stderr.readline()):
            said += line
        process.terminate()
        last = process.stderr.read().splitlines()[-1]
        patience.cancel()

    assert process.returncode == 0
    assert f"pacs-ai {__version__} has started: pacs-ai.toml, data in {tmp_path / 'pacs-ai-data'}\n" in said
    assert last.endswith("pacs_ai.cli.running: stopped")


def test_an_address_of_another_machine_is_not_taken_for_a_port_in_use(run: Run, tmp_path: Path) -> None:
    (tmp_path / "pacs-ai.toml").write_text('[dicom]\nhost = "192.0.2.1"\n', encoding="utf-8")

    ended = run("serve", cwd=tmp_path)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.endswith("; check dicom.host and dicom.port, `pacs-ai doctor` says more\n")


def test_a_model_that_is_not_the_one_of_its_card_ends_with_1(run: Run, tmp_path: Path) -> None:
    card = lines(run("model", "show", "--json").stdout)[0]
    (tmp_path / "card.json").write_text(json.dumps(card), encoding="utf-8")
    (tmp_path / card["file"]).write_bytes(b"another network")
    (tmp_path / "other.toml").write_text(f'[model]\npath = "{tmp_path}"\n', encoding="utf-8")

    ended = run("model", "verify", "-c", tmp_path / "other.toml")

    assert ended.returncode == 1
    assert card["sha256"] in ended.stderr


def test_audit_events_are_one_json_object_per_line_the_newest_100_oldest_first(run: Run) -> None:
    events = lines(run("audit", "query", "--json").stdout)

    assert len(events) == 100
    assert {tuple(event) for event in events} == {
        ("id", "at", "actor", "action", "study_instance_uid", "sop_instance_uid", "outcome", "detail")
    }
    identities = [event["id"] for event in events]
    assert identities == list(range(identities[-1] - 99, identities[-1] + 1))
    assert datetime.fromisoformat(events[0]["at"]) == AT


def test_the_audit_log_is_searched_by_its_options(run: Run) -> None:
    found = run("audit", "query", "--json", "--study", STUDY, "--action", "read", "--outcome", "positive")
    newest = run("audit", "query", "--json", "--limit", "2", "--actor", "ROUTER")
    before = run("audit", "query", "--json", "--until", "2001-01-01", "--action", "read")
    misspelt = run("audit", "query", "--json", "--outcome", "postive", "--calling-ae", "NOBODY", "--action", "read")

    assert [event["sop_instance_uid"] for event in lines(found.stdout)] == [IMAGE]
    assert [event["outcome"] for event in lines(newest.stdout)] == ["0xC000", "0xC000"]
    assert (before.returncode, before.stdout, before.stderr) == (0, "", "")
    assert (misspelt.returncode, misspelt.stdout) == (0, "")
    assert misspelt.stderr.strip() == (
        "no event of this log has the outcome 'postive'; no event of this log has the calling AE title 'NOBODY'"
    )


def test_events_are_printed_as_csv_and_questions_have_names(run: Run) -> None:
    printed = run("audit", "query", "--format", "csv", "--patient", "PAT-7", "--min-probability", "0.9")
    unconfirmed = run("audit", "query", "--named", "unconfirmed-positives", "--since", "2026-01-01", "--json")
    counted = run("audit", "query", "--named", "not-analysed", "--format", "csv")
    without = run("audit", "query", "--named", "study")

    assert [row["sop_instance_uid"] for row in csv.DictReader(printed.stdout.splitlines())] == [IMAGE]
    assert [event["sop_instance_uid"] for event in lines(unconfirmed.stdout)] == [IMAGE]
    assert counted.stdout.splitlines() == ["calling_ae_title,reason,instances"]
    assert (without.returncode, "--study" in without.stderr) == (2, True)


def test_events_are_written_as_parquet_with_typed_columns(folder: Path) -> None:
    line = [COMMAND, "audit", "export", "--format", "parquet"]
    written = subprocess.run(line, cwd=folder, capture_output=True, check=True, timeout=120).stdout

    table = parquet.read_table(io.BytesIO(written))

    kinds = {field.name: str(field.type) for field in table.schema}
    assert (kinds["id"], kinds["at"], kinds["probability"]) == ("int64", "timestamp[us, tz=UTC]", "double")
    assert {kinds[name] for name in ("actor", "study_instance_uid", "detail", "sha256")} == {"string"}
    events = table.to_pylist()
    assert [event["id"] for event in events] == sorted(event["id"] for event in events)
    assert events[-1]["actor"] == "ROUTER"
    assert {event["at"] for event in events} == {AT}
    assert [event["probability"] for event in events if event["action"] == "read"] == [0.93]


def test_the_log_is_verified_against_its_signed_head_and_a_changed_event_is_named(folder: Path, run: Run) -> None:
    copy = folder.parent / "changed"
    shutil.copytree(folder, copy)
    exported = run("audit", "export", "--head", "head.json", cwd=copy)
    (copy / "key.pem").write_text(run("audit", "key", cwd=copy).stdout, encoding="utf-8")
    whole = run("audit", "verify", "--head", "head.json", "--key", "key.pem", cwd=copy)
    events = lines(run("audit", "export", cwd=copy).stdout)
    with closing(sqlite3.connect(copy / "pacs-ai-data" / SQLITE_NAME)) as database:
        database.executescript("DROP TRIGGER audit_events_no_update; UPDATE audit_events SET actor = 'X' WHERE id = 4")

    changed = run("audit", "verify", "--head", "head.json", cwd=copy)

    assert (exported.returncode, whole.returncode, changed.returncode) == (0, 0, 1)
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert events[1]["previous_sha256"] == events[0]["sha256"]
    assert changed.stderr == "event 4 was changed\n"


def test_a_head_that_cannot_be_written_ends_with_1_and_says_where(run: Run, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "pacs-ai-data", tmp_path / "pacs-ai-data")

    ended = run("audit", "export", "--head", "missing/head.json", cwd=tmp_path)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("missing/head.json: the signed head cannot be written (No such file or directory)")
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="a folder that nobody can write to is there on Linux")
def test_a_key_that_cannot_be_written_ends_with_1_and_says_where(run: Run, folder: Path, tmp_path: Path) -> None:
    url = sqlite_url(folder / "pacs-ai-data")
    (tmp_path / "pacs-ai.toml").write_text(f'data = "/proc"\n[audit]\nurl = "{url}"\n', encoding="utf-8")

    ended = run("audit", "key", cwd=tmp_path)

    assert (ended.returncode, ended.stdout) == (1, "")
    (sentence,) = ended.stderr.splitlines()
    assert sentence.startswith("/proc/audit-key.pem: the key cannot be written (")


@pytest.mark.parametrize("verb", [["key"], ["export", "--head", "head.json"], ["prune"]])
def test_nothing_is_signed_with_the_key_of_another_folder(verb: list[str], run: Run, tmp_path: Path) -> None:
    service = open_stores(Settings(data=tmp_path / "service"))
    service.database.close()
    url = sqlite_url(tmp_path / "service")
    (tmp_path / "pacs-ai.toml").write_text(f'data = "elsewhere"\n[audit]\nurl = "{url}"\n', encoding="utf-8")

    ended = run("audit", *verb, cwd=tmp_path)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("the ledger tells of the files of another folder than ")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("option", ["--head", "--key"])
def test_a_head_or_key_that_is_none_is_told_from_a_log_that_was_changed(option: str, run: Run, folder: Path) -> None:
    ended = run("audit", "verify", option, "nowhere.json")

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("nowhere.json: no ")
    assert len(ended.stderr.splitlines()) == 1


def test_no_key_is_made_where_there_is_no_log(run: Run, tmp_path: Path) -> None:
    ended = run("audit", "key", cwd=tmp_path)

    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr.startswith("no database in ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--patient", "--study", "--accession", "--calling-ae", "--outcome"])
def test_an_option_that_is_empty_asks_for_nothing_and_not_for_everything(option: str, run: Run) -> None:
    ended = run("audit", "query", option, "")

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"empty: {option}; say what to look for, or leave it out\n"


def test_a_patient_that_a_broken_pipe_does_not_name_is_a_mistake(run: Run) -> None:
    ended = run("audit", "query", "--patient", "-")  # nobody writes to its standard input

    assert (ended.returncode, ended.stdout) == (2, "")
    assert "--patient" in ended.stderr


@pytest.mark.parametrize("command", [["worklist"], ["audit", "verify"], ["serve"]])
def test_a_damaged_database_is_told_in_a_sentence(command: list[str], run: Run, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "pacs-ai-data", tmp_path / "pacs-ai-data")
    (tmp_path / "pacs-ai-data" / SQLITE_NAME).write_bytes(b"not a database " * 1000)

    ended = run(*command, cwd=tmp_path)

    assert (ended.returncode, ended.stdout) == (1, "")
    (sentence,) = [line for line in ended.stderr.splitlines() if "database" in line]
    assert sentence.startswith("the database is damaged: ")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("option", ["--port", "--http-port"])
def test_a_port_that_is_none_is_wrong_usage(option: str, run: Run, tmp_path: Path) -> None:
    ended = run("demo", option, "70000", cwd=tmp_path)

    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr


def test_what_is_not_dicom_holds_nothing_up_that_is(run: Run, tmp_path: Path) -> None:
    (tmp_path / "DICOMDIR").write_bytes(b"no instance")
    (tmp_path / "damaged").symlink_to("/proc/self/mem")  # whose first byte cannot be read
    (tmp_path / "film.dcm").write_bytes(part10(make_instance(stored=phantom(64, 48))))
    archive = Archive()

    with listening(archive, contexts=[build_context(DigitalXRayImageStorageForPresentation)]):
        there = ("127.0.0.1", str(archive.port), "-aec", "ARCHIVE", "-ta", "60")
        ended = run("send", *there, "DICOMDIR", "damaged", "film.dcm", cwd=tmp_path)

    assert (ended.returncode, ended.stdout) == (1, "1 of 3 accepted\n")
    assert [line.split(": ")[0] for line in ended.stderr.splitlines()] == ["DICOMDIR", "damaged"]
    assert "cannot be read" in ended.stderr
    assert len(archive.instances) == 1


@pytest.mark.parametrize("paths", [["empty"], ["text"], ["empty", "text"]], ids=str)
def test_nobody_is_called_where_there_is_nothing_to_send(paths: list[str], run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("no instance", encoding="utf-8")

    ended = run("send", "127.0.0.1", "1", *paths, cwd=tmp_path)

    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr.splitlines()[-1] == f"nothing to send: no DICOM file in {', '.join(paths)}"


def test_results_that_cannot_be_written_end_with_1_before_anything_is_read(run: Run, tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")

    ended = run("process", "taken", "--out", "taken/out", cwd=tmp_path)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "taken/out: no folder to write results to (Not a directory)\n"


def test_that_the_log_was_searched_is_in_it_even_where_nobody_reads_the_answer(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder / "pacs-ai-data", tmp_path / "pacs-ai-data")
    (tmp_path / "pacs-ai.toml").write_text('[audit.atna]\naddress = "127.0.0.1:514"\ntransport = "udp"\n', "utf-8")
    reader, writer = os.pipe()
    os.close(reader)

    with os.fdopen(writer, "wb") as nobody:
        subprocess.run([COMMAND, "audit", "query"], cwd=tmp_path, stdout=nobody, check=False, timeout=120)

    (searched,) = lines(run("audit", "query", "--json", "--action", "query-log", cwd=tmp_path).stdout)
    assert searched["actor"] == "operator"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full is there on Linux")
@pytest.mark.parametrize(
    "arguments",
    [
        ["deliveries", "list"],
        ["audit", "query", "--limit", "100"],
        ["audit", "query", "--json"],
        ["audit", "export", "--format", "parquet"],
        ["--version"],
    ],
    ids=str,
)
def test_a_full_disk_behind_stdout_ends_with_1_and_one_sentence(arguments: list[str], folder: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [COMMAND, *arguments], cwd=folder, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=120
        )

    assert (ended.returncode, ended.stderr) == (1, "stdout cannot be written (No space left on device)\n")


def test_a_program_that_has_put_something_else_in_the_place_of_stdout_gets_what_is_printed(folder: Path) -> None:
    program = """if True:
        import io, sys
        from pacs_ai.cli import main
        sys.argv, sys.stdout = ["pacs-ai", "--version"], io.StringIO()
        try:
            main()
        finally:
            sys.stderr.write(sys.stdout.getvalue())
    """

    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )

    assert (ended.returncode, ended.stdout) == (0, "")
    assert __version__ in ended.stderr


def test_a_closed_stdout_ends_with_1_and_one_sentence(folder: Path) -> None:
    line = ["sh", "-c", f"{COMMAND} audit query >&-"]

    ended = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False, timeout=120)

    assert (ended.returncode, ended.stderr) == (1, "stdout cannot be written (Bad file descriptor)\n")


@pytest.mark.parametrize("arguments", [["audit", "query"], ["audit", "query", "--json"], ["worklist"]], ids=str)
def test_a_reader_that_has_gone_is_told_nothing(arguments: list[str], folder: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)

    with os.fdopen(writer, "wb") as nobody:
        ended = subprocess.run(
            [COMMAND, *arguments], cwd=folder, stdout=nobody, stderr=subprocess.PIPE, check=False, timeout=120
        )

    assert ended.stderr == b""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["audit", "query", "--since", "0001-01-01"], {0, 2}),  # east of Greenwich that is before the calendar
        (["audit", "query", "--limit", "99999999999999999999"], {2}),
        (["deliveries", "list", "--limit", "99999999999999999999"], {2}),
        (["audit", "replay", "--all-since", "0001-01-01"], {0, 1, 2}),
        (["audit", "query", "--action", "\udcff"], {0}),
        (["audit", "query", "--study", "\udcff"], {3}),
        (["process", "--out", "out", f"/{'n' * 300}"], {3}),
        (["send", "somewhere", "104", f"/{'n' * 300}"], {3}),
    ],
    ids=str,
)
def test_whatever_is_given_no_command_ends_in_a_fault(arguments: list[str], code: set[int], run: Run) -> None:
    ended = run(*arguments)

    assert ended.returncode in code, ended.stderr
    assert "fault" not in ended.stderr


@pytest.mark.parametrize("at", [AT.isoformat(), "2026-01-05T10:30:00.000000+00:00", "2026-01-05T12:30:00+02:00"])
def test_times_are_taken_as_they_are_printed(at: str, run: Run) -> None:
    found = run("audit", "query", "--json", "--since", at, "--until", "2026-01-05T10:30:01Z", "--action", "read")
    before = run("audit", "query", "--json", "--until", "2026-01-04 10:30", "--action", "read")

    assert [event["at"] for event in lines(found.stdout)] == [AT.isoformat()]
    assert (before.returncode, before.stdout) == (0, "")
    assert run("audit", "query", "--since", "yesterday").returncode == 2


@pytest.mark.parametrize("name", [STUDY, STUDY[-9:], f"…{STUDY[-12:]}", "ACC0001"])
def test_events_of_a_study_are_found_by_each_of_its_names(name: str, run: Run) -> None:
    found = lines(run("audit", "query", "--json", "--study", name, "--action", "read").stdout)

    assert [event["study_instance_uid"] for event in found] == [STUDY]


@pytest.mark.parametrize(
    "arguments",
    [
        ["audit", "query", "--since", "2026-02-01", "--until", "2026-01-01"],
        ["audit", "query", "--min-probability", "0.9", "--max-probability", "0.1"],
        ["audit", "export", "--since", "2026-02-01", "--until", "2026-01-01"],
        ["studies", "list", "--since", "2026-02-01", "--until", "2026-01-01"],
    ],
    ids=str,
)
def test_limits_between_which_nothing_can_be_are_wrong_usage(arguments: list[str], run: Run) -> None:
    ended = run(*arguments)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.endswith(": nothing is between them\n")


def test_a_time_before_the_calendar_is_wrong_usage(folder: Path) -> None:
    environment = {**os.environ, "TZ": "JST-9"}
    line = [COMMAND, "audit", "query", "--since", "0001-01-01"]

    ended = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120)

    assert (ended.returncode, "out of the calendar" in ended.stderr) == (2, True)


@pytest.mark.parametrize("size", ["99999x99999", "16385x8192"])
def test_films_larger_than_a_machine_can_hold_are_wrong_usage(size: str, run: Run) -> None:
    ended = run("simulate", "--to", "A@127.0.0.1:1", "--size", size)

    assert (ended.returncode, "256 MB" in ended.stderr) == (2, True)


def test_a_folder_that_cannot_be_asked_for_is_told_in_a_sentence(run: Run, tmp_path: Path) -> None:
    (tmp_path / "pacs-ai.toml").write_text(f'data = "/{"n" * 300}"\n', encoding="utf-8")

    listed = run("worklist", cwd=tmp_path)
    examined = run("doctor", "--json", cwd=tmp_path)

    assert (listed.returncode, len(listed.stderr.splitlines()), "serve" in listed.stderr) == (1, 1, True)
    said = {line["check"]: line["detail"] for line in lines(examined.stdout)}
    assert "cannot be looked into" in said["database"]
    assert "cannot be asked for" in said["disk: data folder"]


def test_the_weights_of_training_are_no_setting(folder: Path) -> None:
    environment = {**os.environ, "PACS_AI_WEIGHTS": "/somewhere"}
    line = [COMMAND, "worklist"]

    assert (
        subprocess.run(line, cwd=folder, env=environment, capture_output=True, check=False, timeout=120).returncode == 0
    )


def test_what_a_peer_calls_itself_is_no_formula_to_a_spreadsheet(run: Run, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "pacs-ai-data", tmp_path / "pacs-ai-data")
    database = Database(sqlite_url(tmp_path / "pacs-ai-data"))
    with database.change() as connection:
        append(connection, AuditEvent(at=AT, actor="=cmd|'/C x'!A0", action="refuse-receive", outcome="0xC000"))
    database.close()

    printed = run("audit", "query", "--actor", "=cmd|'/C x'!A0", "--format", "csv", cwd=tmp_path)

    assert [row["actor"] for row in csv.DictReader(printed.stdout.splitlines())] == ["'=cmd|'/C x'!A0"]


def test_young_events_are_not_pruned(run: Run) -> None:
    recently = f"{datetime.now(UTC) - timedelta(days=100):%Y-%m-%d}"

    ended = run("audit", "prune", "--before", recently)

    assert (ended.returncode, "keep_days = 190" in ended.stderr) == (2, True)


def test_the_trail_of_a_study_is_shown_oldest_first(run: Run) -> None:
    ended = run("audit", "show", STUDY, "--json")

    assert [event["action"] for event in lines(ended.stdout)] == [
        "receive",
        "claim",
        "build",
        "read",
        "repair",
        "finish",
    ]


def test_the_event_of_a_reading_is_shown_with_what_it_was_made_with(run: Run) -> None:
    events = lines(run("audit", "show", STUDY, "--json").stdout)

    (reading,) = [event["reading"] for event in events if "reading" in event]
    assert (reading["setup_sha256"], reading["setup"]) == (SETUP.sha256, {"model": {"version": "7"}})
    assert (reading["probability"], reading["evidence"]) == (0.93, {"logit": 2.5})


def test_a_study_is_shown_with_all_that_is_known_of_it(run: Run, folder: Path) -> None:
    (study,) = lines(run("studies", "show", STUDY, "--json").stdout)

    assert (study["state"], study["outcome"], study["revision"]) == ("READY", "positive", 1)
    assert [item["sop_instance_uid"] for item in study["instances"]] == [IMAGE]
    assert [item["probability"] for item in study["outcomes"]] == [0.93]
    assert [(item["revision"], item["setup"], item["evidence"]) for item in study["readings"]] == [
        (1, {"model": {"version": "7"}}, {"logit": 2.5})
    ]
    assert [item["calling_ae_title"] for item in study["instances"]] == ["MODALITY"]
    assert [(item["kind"], item["sop_instance_uid"]) for item in study["objects"]] == [("report", REPORT)]
    assert [(item["node"], item["state"]) for item in study["deliveries"]] == [("pacs", "PENDING")]
    assert study["objects"][0]["path"] == "pacs-ai-data/instances/ab/ab.dcm"
    assert study["repairs"] == [{"sop_instance_uid": IMAGE, "detail": REPAIR}]
    assert (folder / "pacs-ai-data").is_dir()


@pytest.mark.parametrize(
    ("wanted", "number"),
    [
        ([], 1),
        (["--state", "ready"], 1),
        (["--state", "failed"], 0),
        (["--accession", "ACC0001", "--since", "2026-01-01", "--until", "2026-02-01"], 1),
        (["--accession", "ACC0002"], 0),
        (["--since", "2026-02-01"], 0),
        (["--until", "2026-01-01"], 0),
    ],
    ids=str,
)
def test_studies_are_listed_by_state_time_and_accession_number(wanted: list[str], number: int, run: Run) -> None:
    found = lines(run("studies", "list", "--json", *wanted).stdout)

    assert [study["study_instance_uid"] for study in found] == [STUDY] * number
    assert len(run("studies", "list", *wanted).stdout.splitlines()) == 1 + number


@pytest.mark.parametrize("name", [REPORT, STUDY, f"…{REPORT[-12:]}", "ACC0001"])
def test_deliveries_are_listed_by_the_names_by_which_they_are_retried(name: str, run: Run) -> None:
    found = lines(run("deliveries", "list", name, "--json").stdout)

    assert [item["sop_instance_uid"] for item in found] == [REPORT]
    assert run("deliveries", "list", "1.2.3").returncode == 3


def test_a_study_is_shown_to_people_with_its_objects_and_whether_somebody_has_read_it(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder / "pacs-ai-data", tmp_path / "pacs-ai-data")

    unread = run("studies", "show", STUDY, cwd=tmp_path).stdout
    run("studies", "mark-read", STUDY, cwd=tmp_path)
    read = run("studies", "show", STUDY, cwd=tmp_path).stdout

    assert f"repaired  {IMAGE}: {REPAIR}" in unread
    assert f"report    {REPORT} in pacs-ai-data/instances/ab/ab.dcm\n" in unread
    assert "accession ACC0001\n" in unread
    assert "read      not by anybody yet\n" in unread
    assert f"read      {datetime.now().astimezone():%Y-%m-%d}" in read


def test_the_outbox_is_changed_by_an_object_a_node_or_a_study(run: Run, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "pacs-ai-data", tmp_path / "pacs-ai-data")
    commands = [
        ["retry", REPORT],
        ["retry", "--node", "pacs"],
        ["cancel", STUDY],
    ]

    said = [run("deliveries", *words, cwd=tmp_path).stdout.strip() for words in commands]
    nothing_left = run("deliveries", "cancel", REPORT, cwd=tmp_path)

    assert said == ["1 delivery queued again"] * 2 + ["1 delivery cancelled"]
    assert (nothing_left.returncode, nothing_left.stdout) == (3, "")
    told = lines(run("audit", "show", STUDY, "--json", cwd=tmp_path).stdout)[-3:]
    assert [(event["action"], event["actor"], event["outcome"], event["sop_instance_uid"]) for event in told] == [
        *[("retry", "operator", "pacs", REPORT)] * 2,
        ("cancel", "operator", "pacs", REPORT),
    ]


def test_an_accession_number_is_no_end_of_another_studys_report(run: Run, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "pacs-ai-data", tmp_path / "pacs-ai-data")
    with closing(sqlite3.connect(tmp_path / "pacs-ai-data" / SQLITE_NAME)) as database:
        database.execute("UPDATE studies SET accession_number = ? WHERE study_instance_uid = ?", (REPORT[-4:], STUDY))
        database.execute(
            "INSERT INTO objects (sop_instance_uid, study_instance_uid, revision, kind, sop_class_uid,"
            " transfer_syntax_uid, path, size, sha256)"
            " SELECT '2.25.1' || substr(sop_instance_uid, -4), '1.2.3.4', revision, kind, sop_class_uid,"
            " transfer_syntax_uid, path, size, sha256 FROM objects WHERE sop_instance_uid = ?",
            (REPORT,),
        )
        database.commit()

    several = run("deliveries", "cancel", f"…{REPORT[-4:]}", cwd=tmp_path)
    cancelled = run("deliveries", "cancel", REPORT[-4:], cwd=tmp_path)

    assert (several.returncode, "2 objects" in several.stderr) == (3, True)
    assert cancelled.stdout == "1 delivery cancelled\n"
    told = lines(run("audit", "query", "--action", "cancel", "--json", cwd=tmp_path).stdout)
    assert [event["study_instance_uid"] for event in told] == [STUDY]


@pytest.mark.parametrize("arguments", [["retry"], ["cancel", "--all", "--node", "pacs"]])
def test_what_is_retried_or_cancelled_has_to_be_named(arguments: list[str], run: Run) -> None:
    ended = run("deliveries", *arguments)

    assert (ended.returncode, ended.stdout) == (2, "")


def test_worklist_and_outbox_are_plain_lines_where_stdout_is_no_terminal(run: Run) -> None:
    waiting, queued = run("worklist"), run("deliveries", "list", "--state", "pending")

    assert [line.split("\t")[1:4] for line in waiting.stdout.splitlines()] == [
        ["priority", "outcome", "probability"],
        ["HIGH", "positive", "93.0%"],
    ]
    assert [line.split("\t")[:3] for line in queued.stdout.splitlines()] == [
        ["node", "state", "kind"],
        ["pacs", "PENDING", "report"],
    ]


def test_what_others_have_written_moves_no_terminal_and_makes_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("node", "status"), [("pacs", "0xA700 \x1b]0;title\x07\x9b2J\r\n\tout"), ("other", None)])

    assert (
        capsys.readouterr().out
        == "node\tstatus\npacs\t0xA700 \ufffd]0;title\ufffd\ufffd2J\ufffd\ufffd\ufffdout\nother\t\n"
    )


@pytest.mark.parametrize(
    ("arguments", "accession"),
    [(["worklist", "--watch"], "A[/7]"), (["worklist"], "A\\[/7]"), (["worklist"], "A:one:7")],
)
def test_what_is_between_brackets_stands_on_a_terminal_as_it_is(
    arguments: list[str], accession: str, folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder / "pacs-ai-data", tmp_path / "pacs-ai-data")
    with closing(sqlite3.connect(tmp_path / "pacs-ai-data" / SQLITE_NAME)) as database, database:
        database.execute("UPDATE studies SET accession_number = ?, priority_reasons = ?", (accession, accession))

    shown, said = on_a_terminal(*arguments, cwd=tmp_path, until=accession)

    assert (accession in shown, said) == (True, "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["audit", "query", "--action", "read"], [SHORT_STUDY, "2026-01-05 ", "positive", "probability=0.930000"]),
        (["worklist"], [SHORT_STUDY, "ACC0001", "pneumonia positive, 93.0%"]),
        (["worklist", "--watch"], [SHORT_STUDY, "ACC0001", "pneumonia positive, 93.0%"]),
        (["studies", "show", SHORT_STUDY], [f"…{IMAGE[-12:]}", f"…{REPORT[-12:]}"]),
        (["studies", "list"], [SHORT_STUDY, "ACC0001", "2026-01-05 ", "READY"]),
        (["deliveries", "list"], [SHORT_STUDY, f"…{REPORT[-12:]}", "2026-01-05 "]),
    ],
    ids=str,
)
def test_uids_times_and_reasons_stand_whole_on_a_narrow_terminal(
    arguments: list[str], words: list[str], folder: Path
) -> None:
    until = words[-1] if "--watch" in arguments else "the command ends"

    shown, said = on_a_terminal(*arguments, cwd=folder, until=until, columns=80)

    assert said == ""
    assert [word for word in words if word not in shown] == []


def on_a_terminal(*arguments: str, cwd: Path, until: str, columns: int = 250) -> tuple[str, str]:
    """What is on the terminal when these words are, or the command ends; and what went to stderr."""
    ours, theirs = os.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm"}
    shown = ""
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        line = [COMMAND, *arguments]
        with subprocess.Popen(line, cwd=cwd, env=environment, stdout=theirs, stderr=subprocess.PIPE) as process:
            os.close(theirs)
            patience = Timer(60, process.kill)
            patience.start()
            with suppress(OSError):  # Linux says so that the other end is closed
                while until not in shown and (read := terminal.read(65536)):
                    shown += read.decode()
            patience.cancel()
            process.terminate()
            assert process.stderr is not None
            return shown, process.stderr.read().decode()


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("reader:s3cret@host/name", "reader:***@host/name"),
        ("host/name?user=reader&password=s3cret", "host/name?password=hidden&user=reader"),
        ("reader@host/name?sslpassword=s3cret&sslkey=key.pem", "reader@host/name?sslkey=key.pem&sslpassword=hidden"),
    ],
)
def test_the_effective_settings_hide_the_password(run: Run, tmp_path: Path, written: str, shown: str) -> None:
    path = tmp_path / "pacs-ai.toml"
    path.write_text(f'[audit]\nurl = "postgresql+psycopg://{written}"\n', encoding="utf-8")

    ended = run("config", "show", "-c", path)

    assert json.loads(ended.stdout)["audit"]["url"] == f"postgresql+psycopg://{shown}"
    assert "s3cret" not in ended.stdout + ended.stderr


def test_what_only_looks_something_up_does_not_load_the_network(folder: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", ALL_IN_ONE, json.dumps(QUERIES)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert ended.returncode == 0, ended.stderr
    imported = ended.stdout.splitlines()[-1].split()
    assert imported[0] == "imported:"
    assert "sqlalchemy" in imported
    assert HEAVY & set(imported) == set()


def test_migrating_says_from_where_to_where_and_then_that_there_is_nothing_to_do(run: Run, tmp_path: Path) -> None:
    first, second = run("migrate", cwd=tmp_path), run("migrate", cwd=tmp_path)

    assert first.stdout.startswith("schema none -> ")
    assert second.stdout.endswith(": nothing to do\n")
    assert (tmp_path / "pacs-ai-data").stat().st_mode & 0o777 == 0o700

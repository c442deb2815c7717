"""`doctor`, `echo`, `send` and the start of the service with DICOMweb nodes."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pacs_ai.cli.app import app
from pacs_ai.doctor.check import Check, Verdict
from pacs_ai.doctor.nodes import check_nodes
from pacs_ai.errors import NotFound, SettingsError, WrongUsage
from pacs_ai.service import Service
from pacs_ai.settings import Settings, WebNode
from tests.unit.making import make_film

from .peers import file_of, nobody
from .services import running
from .web_archive import WebArchive, taking

VARIABLE = "ARCHIVE_TOKEN"


def checks(node: WebNode) -> dict[str, Check]:
    return {check.name: check for check in check_nodes(Settings(nodes=(node,)), ())}


def test_a_web_node_that_answers_is_well_but_for_its_plain_address() -> None:
    with taking(WebArchive()) as archive:
        said = checks(archive.node_with(proof="qido"))

    assert {name: check.verdict for name, check in said.items()} == {
        "node archive": Verdict.OK,
        "node archive: encryption": Verdict.WARNING,
        "node archive: report": Verdict.OK,
        "node archive: capture": Verdict.OK,
    }
    assert archive.requests == []
    assert "answers QIDO-RS with 204" in said["node archive"].detail
    assert "Comprehensive 3D SR Storage" in said["node archive: report"].detail


@pytest.mark.parametrize(
    ("proof", "status", "verdict", "is_unreachable"),
    [
        ("qido", 404, Verdict.FAILED, False),
        ("none", 404, Verdict.WARNING, False),
        ("none", 401, Verdict.FAILED, True),
        ("qido", 500, Verdict.FAILED, True),
    ],
)
def test_a_web_node_that_does_not_answer_is_told_with_what_to_do(
    proof: str, status: int, verdict: Verdict, is_unreachable: bool
) -> None:
    with taking(WebArchive(query_status=status)) as archive:
        said = checks(archive.node_with(proof=proof))["node archive"]

    assert (said.verdict, said.is_unreachable_node) == (verdict, is_unreachable)
    assert f"answered QIDO-RS with {status}" in said.detail
    assert "url" in said.advice


def test_a_token_that_is_not_there_is_told_and_the_service_does_not_start_without_it(
    settings_with: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    node = WebNode(name="archive", url=f"http://127.0.0.1:{nobody()}", token_env=VARIABLE)

    said = checks(node)["node archive"]

    assert said.verdict is Verdict.FAILED
    assert VARIABLE in said.detail
    with pytest.raises(SettingsError, match=f"nodes.0.token_env: the environment variable {VARIABLE} is not set"):
        Service(settings_with(node))


def test_the_start_warns_of_results_that_go_in_plain(
    settings_with: Callable[..., Settings], caplog: pytest.LogCaptureFixture
) -> None:
    with taking(WebArchive()) as archive, running(settings_with(archive.node)):
        pass

    assert f"results go in plain to archive ({archive.address}/dicom-web)" in caplog.text


@pytest.fixture
def run() -> Iterator[Callable[..., Result]]:
    """A verb with the settings of one web node, in this process, whose log is set up as it was afterwards."""

    def ran(archive: WebArchive, *words: str) -> Result:
        node = json.dumps([archive.node.model_dump(mode="json", exclude={"tls"})])
        return CliRunner().invoke(app, list(words), env={"PACS_AI_NODES": node})

    before = logging.getLogger("pacs_ai").level
    yield ran
    logging.basicConfig(handlers=[logging.NullHandler()], force=True)
    logging.getLogger("pacs_ai").setLevel(before)


def test_a_web_node_is_echoed_and_sent_to_by_its_name(run: Callable[..., Result], tmp_path: Path) -> None:
    path = file_of(tmp_path, make_film())

    with taking(WebArchive()) as archive:
        echoed, sent = run(archive, "echo", "archive"), run(archive, "send", "archive", str(path))
        archive.reasons = lambda _item: 0xA900
        refused = run(archive, "send", "archive", str(path), str(file_of(tmp_path, make_film())))

    assert (echoed.exit_code, echoed.output) == (0, f"{archive.address}/dicom-web answered 204\n")
    assert (sent.exit_code, sent.stdout) == (0, "1 of 1 accepted\n")
    assert archive.requests[0] == [path.read_bytes()]
    assert (refused.exit_code, refused.stdout) == (1, "1 of 2 accepted\n")
    assert "409 0xA900" in refused.stderr


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("echo", "elsewhere"), NotFound),
        (("echo", "archive", "another"), WrongUsage),
        (("echo", "127.0.0.1", "99999"), WrongUsage),
        (("send", "archive"), WrongUsage),
    ],
)
def test_a_peer_that_is_none_is_told(
    words: tuple[str, ...], error: type[Exception], run: Callable[..., Result]
) -> None:
    ended = run(WebArchive(address="http://127.0.0.1:1"), *words)

    assert type(ended.exception) is error

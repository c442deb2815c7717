"""What doctor finds at the HTTP port and at the audit record repository."""

from pathlib import Path

import pytest

from pacs_ai.doctor.check import Verdict
from pacs_ai.doctor.pages import check_pages
from pacs_ai.doctor.repository import check_repository
from pacs_ai.settings import AtnaSettings, DicomSettings, HttpSettings, IngestSettings, Settings

from .certificates import Authority
from .peers import HOST, connection_refused, nobody, silent_peer
from .services import running
from .test_atna import tls_listener
from .waiting import wait_until


def test_an_http_port_is_free_or_off() -> None:
    free, off = check_pages(HttpSettings(port=nobody())), check_pages(HttpSettings(port=0))

    assert (free.verdict, free.detail) == (Verdict.OK, "is free: the service is not running")
    assert (off.verdict, off.detail.startswith("is off")) == (Verdict.OK, True)


def test_an_http_port_where_the_service_answers_is_well(tmp_path: Path) -> None:
    http = HttpSettings(port=nobody())
    ingest = IngestSettings(disk_reserve_gb=0)
    with running(Settings(data=tmp_path / "data", dicom=DicomSettings(host=HOST), ingest=ingest, http=http)):
        check = wait_until(lambda: found if (found := check_pages(http)).verdict is Verdict.OK else None)

    assert (check.verdict, check.detail) == (Verdict.OK, "is answered: the service is running")


@pytest.mark.timeout(60)
def test_an_http_port_that_another_program_holds_fails() -> None:
    with silent_peer() as port:
        check = check_pages(HttpSettings(port=port))

    assert (check.verdict, "not by us" in check.detail) == (Verdict.FAILED, True)


def test_without_a_repository_there_is_nothing_to_ask() -> None:
    assert check_repository(AtnaSettings()).verdict is Verdict.OK


def test_a_repository_by_udp_is_told_to_answer_never() -> None:
    check = check_repository(AtnaSettings(address=f"{HOST}:514", transport="udp"))

    assert (check.verdict, "never answers" in check.detail) == (Verdict.WARNING, True)


@connection_refused
def test_a_repository_that_is_away_fails() -> None:
    check = check_repository(AtnaSettings(address=f"{HOST}:{nobody()}"))

    assert (check.verdict, "does not take messages" in check.detail) == (Verdict.FAILED, True)


def test_a_repository_is_connected_to_and_told_nothing(hospital: Authority) -> None:
    with tls_listener(hospital.sign("repository")) as heard:
        check = check_repository(AtnaSettings(address=f"{HOST}:{heard.port}", ca=str(hospital.certificate)))

    assert (check.verdict, heard.frames) == (Verdict.OK, [])

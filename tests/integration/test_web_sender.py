"""STOW-RS as user agent: each instance has one outcome, whatever the node answers; QIDO-RS finds what it has."""

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    BasicTextSRStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    SecondaryCaptureImageStorage,
)

from pacs_ai.delivery import lower_form, rungs_below
from pacs_ai.dicomweb.client import WebLimits
from pacs_ai.dicomweb.search import echo, find_instances
from pacs_ai.dicomweb.sender import WebSender
from pacs_ai.errors import PeerRefused, PeerUnreachable
from pacs_ai.nodes import WebNode
from pacs_ai.parcels import Answer, Form, Parcel, SendOutcome, Wanted
from tests.builders import part10
from tests.unit.making import make_film, make_header, make_results

from .certificates import Authority, Pair
from .peers import file_of, nobody, silent_peer
from .web_archive import WebArchive, context_of, header_of, taking, tls_with

LIMITS = WebLimits(connect=60, silence=60, answer=60)
IMPATIENT = WebLimits(connect=5, silence=0.5, answer=5)
VARIABLE = "ARCHIVE_TOKEN"


def parcel_of(instance: Dataset, folder: Path, **changes: object) -> Parcel:
    parcel = Parcel(
        path=file_of(folder, instance),
        sop_class_uid=instance.SOPClassUID,
        sop_instance_uid=instance.SOPInstanceUID,
        transfer_syntax_uid=str(instance.file_meta.TransferSyntaxUID),
        study_instance_uid=instance.StudyInstanceUID,
    )
    return replace(parcel, **changes)


@pytest.fixture
def films(tmp_path: Path) -> Callable[..., list[Parcel]]:
    """So many instances of one study as files."""

    def made(count: int, study: str = "1.2.3.4") -> list[Parcel]:
        return [parcel_of(make_film(StudyInstanceUID=study), tmp_path) for _ in range(count)]

    return made


@pytest.fixture
def report(tmp_path: Path) -> Parcel:
    """A report with the rungs of the ladder below it."""
    _, made = make_results(make_header(make_film()))
    parcel = parcel_of(made, tmp_path)
    rungs = rungs_below(parcel.sop_class_uid)
    return replace(parcel, fallbacks=tuple(lower_form(parcel.path, parcel.sop_instance_uid, rung) for rung in rungs))


def send(node: WebNode, *parcels: Parcel) -> list[SendOutcome]:
    return list(WebSender(LIMITS).send(node, parcels))


def answers(outcomes: list[SendOutcome]) -> list[Answer]:
    return [outcome.answer for outcome in outcomes]


def test_a_file_that_the_disk_will_not_give_is_an_outcome_and_no_error(
    films: Callable[..., list[Parcel]], tmp_path: Path
) -> None:
    unreadable, sound = films(2)
    unreadable = replace(unreadable, path=tmp_path / ("n" * 300))

    with taking(WebArchive()) as archive:
        outcomes = send(archive.node, unreadable, sound)

    assert answers(outcomes) == [Answer.TRANSIENT, Answer.ACCEPTED]


def test_what_is_stored_is_accepted_and_arrives_byte_for_byte(films: Callable[..., list[Parcel]]) -> None:
    parcels = films(3)

    with taking(WebArchive()) as archive:
        outcomes = send(archive.node, *parcels)

    assert [(outcome.answer, outcome.detail) for outcome in outcomes] == [(Answer.ACCEPTED, "200")] * 3
    assert archive.requests == [[parcel.path.read_bytes() for parcel in parcels]]
    assert archive.queries == []


def test_each_study_has_a_request_of_its_own_and_none_is_larger_than_allowed(
    films: Callable[..., list[Parcel]],
) -> None:
    parcels = [*films(4, "1.2.3"), *films(1, "1.2.4")]  # half a megabyte each, and a little

    with taking(WebArchive()) as archive:
        outcomes = send(archive.node_with(max_request_mb=2), *parcels)

    assert [len(request) for request in archive.requests] == [3, 1, 1]
    assert set(answers(outcomes)) == {Answer.ACCEPTED}


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (0x0110, Answer.TRANSIENT),
        (0xA700, Answer.TRANSIENT),
        (0x0111, Answer.ACCEPTED),
        (45070, Answer.ACCEPTED),
        (0xA900, Answer.PERMANENT),
        (0xC000, Answer.PERMANENT),
        (0x0122, Answer.PERMANENT),
        (0x0124, Answer.PERMANENT),
    ],
)
@pytest.mark.parametrize("others", [0, 1], ids=["409", "202"])
def test_a_failure_reason_is_the_outcome_of_its_instance_alone(
    reason: int, expected: Answer, others: int, films: Callable[..., list[Parcel]]
) -> None:
    parcels = films(1 + others)
    failing = parcels[0].sop_instance_uid

    with taking(WebArchive(reasons=lambda item: reason if item.SOPInstanceUID == failing else None)) as archive:
        outcomes = send(archive.node, *parcels)

    assert answers(outcomes) == [expected] + [Answer.ACCEPTED] * others
    assert outcomes[0].detail.startswith(f"{202 if others else 409} 0x{reason:04X}")
    assert len(archive.requests) == 1


def test_what_was_not_stored_because_it_is_there_is_accepted(films: Callable[..., list[Parcel]]) -> None:
    known, lost = films(2)

    with taking(WebArchive()) as archive:
        send(archive.node, known)
        archive.reasons = lambda _instance: 0x0110
        outcomes = send(archive.node, known, lost)

    assert answers(outcomes) == [Answer.ACCEPTED, Answer.TRANSIENT]
    assert outcomes[0].detail == "409 0x0110; found by QIDO-RS"


@pytest.mark.parametrize("status", [200, 202, 409])
def test_only_what_the_node_says_it_has_is_accepted(status: int, films: Callable[..., list[Parcel]]) -> None:
    archive = WebArchive(statuses=[status], page=b"<html>Please log in</html>")

    with taking(archive):
        (outcome,) = send(archive.node, *films(1))

    assert outcome.answer is Answer.TRANSIENT
    assert outcome.detail == f"{status}, and nothing said of the instance"


def test_a_node_that_says_nothing_of_what_it_stored_is_asked_for_it(films: Callable[..., list[Parcel]]) -> None:
    with taking(WebArchive(is_mute=True)) as archive:
        outcomes = send(archive.node, *films(2))

    assert set(answers(outcomes)) == {Answer.ACCEPTED}
    assert len(archive.queries) == 2


@pytest.mark.parametrize(
    ("status", "expected"),
    [(400, Answer.PERMANENT), (413, Answer.PERMANENT), (415, Answer.PERMANENT), (422, Answer.PERMANENT)]
    + [(status, Answer.TRANSIENT) for status in (0, 408, 500, 507)],
)
def test_what_a_request_is_refused_for_is_found_out_by_sending_each_alone(
    status: int, expected: Answer, films: Callable[..., list[Parcel]]
) -> None:
    archive = WebArchive(statuses=[status, status])

    with taking(archive):
        outcomes = send(archive.node, *films(3))

    assert answers(outcomes) == [expected, Answer.ACCEPTED, Answer.ACCEPTED]
    assert outcomes[0].detail.startswith(str(status) if status else archive.node.address)
    assert [len(request) for request in archive.requests] == [1, 1]


def test_a_node_with_a_smaller_limit_than_ours_gets_each_instance_alone(films: Callable[..., list[Parcel]]) -> None:
    parcels = films(3)
    size = parcels[0].path.stat().st_size

    with taking(WebArchive(most_bytes=size + 1000)) as archive:
        outcomes = send(archive.node, *parcels)

    assert set(answers(outcomes)) == {Answer.ACCEPTED}
    assert archive.instances == [parcel.sop_instance_uid for parcel in parcels]


@pytest.mark.parametrize("status", [401, 403, 429, 502, 503, 504])
def test_a_node_that_takes_nothing_for_the_moment_is_away(status: int, films: Callable[..., list[Parcel]]) -> None:
    archive = WebArchive(statuses=[status], headers={"Retry-After": "120"})

    with taking(archive), pytest.raises(PeerUnreachable, match=f"answered STOW-RS with {status}") as raised:
        send(archive.node, *films(1))

    assert not isinstance(raised.value, PeerRefused)
    assert raised.value.retry_after == (None if status in (401, 403) else timedelta(minutes=2))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Retry-After": "999999999999999999999"}, timedelta(hours=1)),
        (
            {"Retry-After": "Wed, 21 Oct 2026 07:29:00 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"},
            timedelta(minutes=1),
        ),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Wed, 21 Oct 99999999999 07:29:00 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
    ],
)
def test_a_node_is_left_alone_as_long_as_it_asks_for_and_no_longer_than_an_hour(
    headers: dict[str, str], expected: timedelta | None, films: Callable[..., list[Parcel]]
) -> None:
    archive = WebArchive(statuses=[503], headers=headers)

    with taking(archive), pytest.raises(PeerUnreachable) as raised:
        send(archive.node, *films(1))

    assert raised.value.retry_after == expected


def test_a_cookie_is_not_kept(films: Callable[..., list[Parcel]]) -> None:
    archive = WebArchive(headers={"Set-Cookie": "node=\xff"})

    with taking(archive):
        outcomes = send(archive.node, *films(1), *films(1, study="1.2.3.5"))

    assert [found.is_accepted for found in outcomes] == [True, True]
    assert archive.cookies == [None, None]


@pytest.mark.parametrize("status", [301, 307, 404, 405, 501])
def test_a_node_without_the_service_has_refused_for_good_and_nobody_is_followed(
    status: int, films: Callable[..., list[Parcel]]
) -> None:
    with taking(WebArchive()) as other:
        archive = WebArchive(statuses=[status], headers={"Location": f"{other.address}/dicom-web/studies"})
        with taking(archive), pytest.raises(PeerRefused, match="url has to name its base"):
            send(archive.node, *films(1))

    assert other.requests == []


def test_nobody_and_somebody_who_says_nothing_are_unreachable(films: Callable[..., list[Parcel]]) -> None:
    node = WebNode(name="archive", url=f"http://127.0.0.1:{nobody()}/dicom-web")

    with pytest.raises(PeerUnreachable, match="cannot be reached"):
        send(node, *films(1))
    with pytest.raises(PeerUnreachable, match="url names no host"):
        send(WebNode.model_construct(name="archive", url="http://pacs..example"), *films(1))
    with silent_peer() as port:
        silent = WebNode(name="archive", url=f"http://127.0.0.1:{port}")
        outcomes = list(WebSender(IMPATIENT).send(silent, [*films(2, "1.2"), *films(1, "1.3")]))

    assert set(answers(outcomes)) == {Answer.TRANSIENT}
    assert [outcome.detail.partition(":")[0] for outcome in outcomes] == ["http"] * 2 + ["not sent"]


def test_a_time_limit_is_waited_for_once_and_what_was_accepted_before_stays_so(
    films: Callable[..., list[Parcel]],
) -> None:
    archive = WebArchive(statuses=[])
    limits = WebLimits(connect=60, silence=3, answer=60)  # what is accepted has to be so within them

    with taking(archive):
        sending = WebSender(limits).send(archive.node, [*films(1, "1.2"), *films(2, "1.3"), *films(1, "1.4")])
        first = next(sending)
        archive.statuses = [-1]
        outcomes = [first, *sending]

    assert answers(outcomes) == [Answer.ACCEPTED] + [Answer.TRANSIENT] * 3
    assert "said nothing for 3 s" in outcomes[1].detail
    assert outcomes[3].detail == "not sent: the node did not answer the request before"


def test_an_answer_without_an_end_is_not_kept_in_memory(films: Callable[..., list[Parcel]]) -> None:
    with taking(WebArchive(statuses=[200], page=bytes(17 << 20))) as archive:
        (outcome,) = send(archive.node, *films(1))

    assert outcome.answer is Answer.TRANSIENT
    assert outcome.detail.endswith("answered with more than 16 MB")


def test_a_file_that_cannot_be_read_does_not_keep_the_others(films: Callable[..., list[Parcel]]) -> None:
    gone, *others = films(3)
    gone.path.unlink()

    with taking(WebArchive()) as archive:
        outcomes = send(archive.node, gone, *others)

    assert answers(outcomes) == [Answer.TRANSIENT, Answer.ACCEPTED, Answer.ACCEPTED]
    assert outcomes[0].detail == "not sent: FileNotFoundError"


@pytest.mark.parametrize(
    "taken", [ComprehensiveSRStorage, EnhancedSRStorage, BasicTextSRStorage], ids=lambda found: found.keyword
)
def test_a_report_whose_class_is_refused_goes_a_rung_down(taken: str, report: Parcel) -> None:
    refuse = {"reasons": lambda item: 0x0122 if item.SOPClassUID != taken else None}

    with taking(WebArchive(**refuse)) as archive:
        (outcome,) = send(archive.node, report)

    assert outcome.answer is Answer.ACCEPTED
    assert outcome.form is not None
    assert outcome.form.sop_class_uid == taken
    assert list(archive.holds) == [outcome.form.sop_instance_uid]
    rungs = [str(header_of(part).SOPClassUID) for request in archive.requests for part in request]
    assert rungs[0] == Comprehensive3DSRStorage
    assert rungs[-1] == taken


def test_a_class_that_was_refused_is_not_sent_again_in_the_same_delivery(report: Parcel) -> None:
    second = replace(report, study_instance_uid="1.9")
    refuse = {"reasons": lambda item: 0x0122 if item.SOPClassUID == Comprehensive3DSRStorage else None}

    with taking(WebArchive(**refuse)) as archive:
        outcomes = send(archive.node, report, second)

    assert set(answers(outcomes)) == {Answer.ACCEPTED}
    assert [str(header_of(part).SOPClassUID) for request in archive.requests for part in request] == [
        Comprehensive3DSRStorage,
        ComprehensiveSRStorage,
        ComprehensiveSRStorage,
    ]


def test_a_report_that_is_refused_in_every_class_is_given_up(report: Parcel) -> None:
    with taking(WebArchive(reasons=lambda _item: 0x0122)) as archive:
        (outcome,) = send(archive.node, report)

    assert outcome.answer is Answer.PERMANENT
    assert len(archive.requests) == 4


@pytest.mark.parametrize("how", [0xC122, 415])
def test_a_capture_whose_transfer_syntax_is_refused_goes_uncompressed(
    how: int, films: Callable[..., list[Parcel]], tmp_path: Path
) -> None:
    film = make_film()
    form = Form(
        name="uncompressed",
        sop_class_uid=film.SOPClassUID,
        sop_instance_uid=film.SOPInstanceUID,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        build=lambda: film,
    )
    capture, _ = make_results(make_header(make_film()))
    assert capture.file_meta.TransferSyntaxUID == JPEGBaseline8Bit
    parcel = parcel_of(capture, tmp_path, fallbacks=(form,))
    archive = WebArchive()
    if how == 415:
        archive.statuses = [415]
    else:
        archive.reasons = lambda item: how if item.SOPClassUID == SecondaryCaptureImageStorage else None

    with taking(archive):
        (outcome,) = send(archive.node, parcel)

    assert (outcome.answer, outcome.form) == (Answer.ACCEPTED, form)
    assert archive.requests[-1] == [part10(film)]


def test_the_token_comes_from_the_environment_and_is_shown_to_nobody_else(
    films: Callable[..., list[Parcel]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(VARIABLE, "s3cret")
    caplog.set_level("DEBUG")

    with taking(WebArchive(bearer="s3cret")) as archive:
        node = archive.node_with(token_env=VARIABLE)
        accepted = send(node, *films(1))
        with pytest.raises(PeerUnreachable, match=r"401: it does not accept a request without a token \(token_env\)"):
            send(archive.node, *films(1))
        archive.bearer = "another"
        with pytest.raises(PeerUnreachable, match="401: it does not accept the token in ARCHIVE_TOKEN") as raised:
            send(node, *films(1))
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(PeerUnreachable, match="ARCHIVE_TOKEN is not set"):
        send(node, *films(1))

    assert answers(accepted) == [Answer.ACCEPTED]
    assert "s3cret" not in caplog.text + str(raised.value) + repr(node)


@pytest.fixture(scope="module")
def theirs(hospital: Authority) -> Pair:
    return hospital.sign("archive")


def test_over_tls_the_archive_is_believed_by_its_authority_and_believes_ours(
    hospital: Authority, theirs: Pair, films: Callable[..., list[Parcel]]
) -> None:
    with taking(WebArchive(), context_of(theirs, asks_for=hospital)) as archive:
        node = archive.node_with(tls=tls_with(hospital, hospital.sign("pacs-ai")))
        outcomes = send(node, *films(1))

    assert archive.address.startswith("https://")
    assert answers(outcomes) == [Answer.ACCEPTED]


def test_an_archive_that_asks_for_our_certificate_takes_nothing_without_it(
    hospital: Authority, theirs: Pair, films: Callable[..., list[Parcel]]
) -> None:
    with taking(WebArchive(), context_of(theirs, asks_for=hospital)) as archive:
        (outcome,) = send(archive.node_with(tls=tls_with(hospital)), *films(1))

    assert outcome.answer is Answer.TRANSIENT
    assert archive.requests == []


def test_a_web_node_with_another_name_or_of_another_authority_is_not_spoken_to(
    hospital: Authority, stranger: Authority, theirs: Pair, films: Callable[..., list[Parcel]]
) -> None:
    elsewhere = hospital.sign("elsewhere", host="DNS:elsewhere.example")

    with taking(WebArchive(), context_of(theirs)) as archive:
        with pytest.raises(PeerUnreachable, match="TLS failed: unable to get local issuer certificate"):
            send(archive.node_with(tls=tls_with(stranger)), *films(1))
        with pytest.raises(PeerUnreachable, match="TLS failed"):
            send(archive.node, *films(1))
    with taking(WebArchive(), context_of(elsewhere)) as other:
        with pytest.raises(PeerUnreachable, match="TLS failed: IP address mismatch"):
            send(other.node_with(tls=tls_with(hospital)), *films(1))
        accepted = send(other.node_with(tls=tls_with(hospital, verify_hostname=False)), *films(1))

    assert archive.requests == []
    assert answers(accepted) == [Answer.ACCEPTED]


def test_a_large_instance_is_sent_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.dcm"
    with path.open("wb") as file:
        file.truncate(48 << 20)
    parcel = Parcel(path=path, sop_class_uid="1.2", sop_instance_uid="1.2.3", transfer_syntax_uid="1.2")

    with taking(WebArchive(most_bytes=1 << 20)) as archive:
        tracemalloc.start()
        (outcome,) = send(archive.node, parcel)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert outcome.detail.startswith("413")
    assert peak < 8 << 20


def test_qido_finds_what_is_there_under_its_study_and_series(films: Callable[..., list[Parcel]]) -> None:
    known, lost = films(2)
    held = header_of(known.path.read_bytes())
    wanted = Wanted(
        study_instance_uid=held.StudyInstanceUID,
        series_instance_uid=held.SeriesInstanceUID,
        sop_instance_uid=known.sop_instance_uid,
    )

    with taking(WebArchive()) as archive:
        send(archive.node, known)
        found = find_instances(
            archive.node,
            [wanted, replace(wanted, sop_instance_uid=lost.sop_instance_uid), replace(wanted, study_instance_uid="..")],
        )

    assert (found.known, found.unanswered) == ({known.sop_instance_uid}, {})
    assert len(archive.queries) == 2


@pytest.mark.parametrize(("status", "error"), [(404, PeerRefused), (401, PeerUnreachable), (500, PeerUnreachable)])
def test_a_node_that_does_not_answer_queries_has_not_said_that_it_lacks_anything(
    status: int, error: type[PeerUnreachable]
) -> None:
    wanted = Wanted(study_instance_uid="1.2", series_instance_uid="1.3", sop_instance_uid="1.4")

    with taking(WebArchive(query_status=status)) as archive:
        found = find_instances(archive.node, [wanted])
        with pytest.raises(error, match=f"answered QIDO-RS with {status}"):
            echo(archive.node)

    assert (found.known, list(found.unanswered)) == (set(), [wanted.sop_instance_uid])
    assert isinstance(found.unanswered[wanted.sop_instance_uid], error)
    assert f"answered QIDO-RS with {status}" in str(found.unanswered[wanted.sop_instance_uid])


@pytest.mark.parametrize("host", ["10.0.0.256", "xn--zz--a"])
def test_an_address_that_is_none_is_a_node_that_cannot_be_reached(
    host: str, films: Callable[..., list[Parcel]]
) -> None:
    node = WebNode(name="archive", url=f"http://{host}/dicom-web")

    with pytest.raises(PeerUnreachable, match="url names no host"):
        send(node, *films(1))
    with pytest.raises(PeerUnreachable, match="url names no host"):
        echo(node)


def test_an_echo_asks_for_no_patient() -> None:
    with taking(WebArchive()) as archive:
        status = echo(archive.node)

    assert status == "204"
    assert archive.queries == ["/dicom-web/studies?StudyInstanceUID=2.25.1&limit=1"]

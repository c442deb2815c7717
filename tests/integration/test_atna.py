"""Audit messages of DICOM: valid by the schema of the standard, received by a real listener, and none of them lost."""

import socket
import ssl
import struct
import subprocess
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from xml.etree.ElementTree import Element, fromstring

import pytest
from pacs_ai_storage.audit import AuditFilter, append, query
from pacs_ai_storage.database import Database
from pacs_ai_storage.expiry import Expiry
from pacs_ai_storage.following import Follower
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.outbox import Outbox
from pacs_ai_storage.proofs import Proofs
from pacs_ai_storage.records import AuditEvent, DeliveredForm, StudyState
from pydicom.uid import BasicTextSRStorage, Comprehensive3DSRStorage, ExplicitVRLittleEndian

from pacs_ai.atna.forwarding import Forwarder
from pacs_ai.atna.messages import AuditSource, audit_message
from pacs_ai.atna.syslog import Repository
from pacs_ai.dimse.alerts import Alerts
from pacs_ai.errors import PeerUnreachable
from pacs_ai.settings import AtnaSettings, NodeTls, Settings
from pacs_ai.tls import client_context
from tests.audit_schema import assert_valid

from .certificates import Authority, Pair
from .keepers import FIND, Keeper, keeping
from .peers import HOST, push
from .services import radiograph, running
from .studies import AT, STABLE, STUDY, arrived, bring_to, capture, claim, deliver_all, read_as_positive, report
from .waiting import wait_until

SOURCE = AuditSource(name="here", ae_title="PACS_AI", process="7", host="reader")
SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
SECOND = timedelta(seconds=1)


@dataclass
class Heard:
    """What a listener of RFC 5425 has read; it answers the close of a connection as TLS wants it."""

    port: int
    frames: list[bytes] = field(default_factory=list)

    @property
    def messages(self) -> list[Element]:
        return [fromstring(frame.partition(b"\xef\xbb\xbf")[2]) for frame in self.frames]  # noqa: S314 - our own

    @property
    def events(self) -> list[tuple[str, str]]:
        return [kind_of(message) for message in self.messages]


def kind_of(message: Element) -> tuple[str, str]:
    identification = message.find("EventIdentification")
    assert identification is not None
    name = identification.find("EventID")
    assert name is not None
    return name.attrib["originalText"], identification.attrib["EventOutcomeIndicator"]


@contextmanager
def tls_listener(pair: Pair, port: int = 0) -> Iterator[Heard]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    with socket.create_server((HOST, port)) as server:
        heard = Heard(port=server.getsockname()[1])
        thread = threading.Thread(target=_listen, args=(server, context, heard))
        thread.start()
        yield heard
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def _listen(server: socket.socket, context: ssl.SSLContext, heard: Heard) -> None:
    while True:
        try:
            plain, _ = server.accept()
        except OSError:
            return
        with context.wrap_socket(plain, server_side=True) as connection, connection.makefile("rb") as stream:
            while length := _length(stream.read(1), stream.read):
                heard.frames.append(stream.read(length))
            connection.unwrap()


def _length(first: bytes, read: Callable[[int], bytes]) -> int:
    digits = first
    while digits and not digits.endswith(b" "):
        digits += read(1)
    return int(digits or b"0")


def to(port: int, authority: Authority) -> Repository:
    return Repository(host=HOST, port=port, context=partial(client_context, NodeTls(ca=str(authority.certificate))))


def forwarder(database: Database, repository: Repository) -> Forwarder:
    follower = Follower(database, "atna")
    return Forwarder(follower=follower, repository=repository, source=SOURCE, pause=lambda tries: SECOND * 2**tries)


def a_study_of_every_kind(database: Database) -> None:
    ledger, outbox, proofs = Ledger(database), Outbox(database), Proofs(database)
    kinds = (("start", "service"), ("query-log", "operator"), ("refuse-association", "STRANGER\x02"))
    with database.change() as connection:
        append(connection, *(AuditEvent(at=AT, actor=actor, action=action, detail="x") for action, actor in kinds))
    ledger.record(replace(arrived(1), patient_id="PAT-7"))
    claimed = claim(ledger)
    ledger.keep_results(claimed, read_as_positive(claimed, capture(1), report(1)), ("pacs", "other"), STABLE)
    deliver_all(database, nodes=("other",))
    first, second = outbox.due("pacs", STABLE)
    outbox.accept_unproved(first, STABLE, "0x0000", prove_at=STABLE)
    proofs.prove(proofs.due("pacs", STABLE), STABLE, "C-FIND")
    outbox.give_up([second], STABLE, "0xA900")
    ledger.note(AuditEvent(at=STABLE, actor="service", action="stop"))


EVERY_KIND = [
    ("Application Activity", "0"),
    ("Audit Log Used", "0"),
    ("Security Alert", "4"),
    ("DICOM Instances Transferred", "0"),
    *[("Begin Transferring DICOM Instances", "0")] * 2,
    *[("DICOM Instances Transferred", "0")] * 3,
    ("Query", "0"),
    ("DICOM Instances Transferred", "8"),
    ("Application Activity", "0"),
]


def test_each_event_that_the_standard_asks_for_is_told_in_a_valid_message(
    database: Database, hospital: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    with tls_listener(hospital.sign("repository")) as heard:
        telling = forwarder(database, to(heard.port, hospital))
        a_study_of_every_kind(database)
        telling.forward()

    assert heard.events == EVERY_KIND
    for message in heard.messages:
        assert_valid(message)
    objects = [
        {item.attrib["ParticipantObjectID"] for item in message.iter("ParticipantObjectIdentification")}
        for message in heard.messages
    ]
    assert [STUDY in found and "PAT-7" in found for found in objects] == [False] * 3 + [True] * 6 + [False, True, False]
    assert all(frame.startswith(b"<85>1 2026-01-05T10:30:0") for frame in heard.frames)
    assert "PAT-7" not in caplog.text


def told_by(follower: Follower, action: str) -> list[Element]:
    made = [audit_message(item, SOURCE) for item in follower.next_events(99) if item.event.action == action]
    return [fromstring(message) for message in made if message is not None]  # noqa: S314 - our own


def test_what_a_node_has_in_another_class_is_told_under_the_uid_under_which_it_has_it(database: Database) -> None:
    ledger, outbox, proofs, follower = Ledger(database), Outbox(database), Proofs(database), Follower(database, "atna")
    form = DeliveredForm(
        name="Basic Text SR",
        sop_class_uid=BasicTextSRStorage,
        sop_instance_uid=f"{STUDY}.4.1",
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    ledger.record(arrived(1))
    claimed = claim(ledger)
    ledger.keep_results(claimed, read_as_positive(claimed, report(1)), ("basic", "other"), STABLE)
    outbox.accept_unproved(outbox.due("basic", STABLE)[0], STABLE, "0x0000", prove_at=STABLE, form=form)
    proofs.prove(proofs.due("basic", STABLE), STABLE, "C-FIND")
    deliver_all(database, nodes=("other",))

    [basic, other], [query_of_basic] = told_by(follower, "deliver"), told_by(follower, "prove")
    named = [
        [(found.attrib["UID"], found[0].attrib["UID"]) for found in message.iter("SOPClass")]
        for message in (basic, query_of_basic, other)
    ]
    asked = b64decode(query_of_basic.findtext(".//ParticipantObjectQuery") or "")
    assert named == [
        [(BasicTextSRStorage, f"{STUDY}.4.1")],
        [(BasicTextSRStorage, f"{STUDY}.4.1")],
        [(Comprehensive3DSRStorage, f"{STUDY}.3.1")],
    ]
    assert (f"{STUDY}.4.1".encode() in asked, f"{STUDY}.3.1".encode() in asked) == (True, False)


def test_what_comes_again_is_told_as_created_only_where_it_was_not_kept(database: Database) -> None:
    ledger, follower = Ledger(database), Follower(database, "atna")
    bring_to(StudyState.DELIVERED, database)

    ledger.record(arrived(1))
    ledger.record(arrived(1, content=b"other"))
    Expiry(database).expire_instances(STABLE, STABLE)
    ledger.record(arrived(1))

    messages = told_by(follower, "resend")
    identified = [message.find("EventIdentification") for message in messages]
    assert [found.attrib["EventActionCode"] for found in identified if found is not None] == ["R", "R", "C"]
    for message in messages:
        assert_valid(message)
        requestors = [item for item in message.iter("ActiveParticipant") if item.attrib["UserIsRequestor"] == "true"]
        assert [item.attrib["UserID"] for item in requestors] == ["MODALITY"]


@SQLITE
def test_while_the_repository_is_away_nothing_is_lost_and_a_restart_goes_on(
    database: Database, hospital: Authority
) -> None:
    pair = hospital.sign("repository")
    with tls_listener(pair) as heard:
        port = heard.port
        telling = forwarder(database, to(port, hospital))
        Ledger(database).record(arrived(1))
        assert telling.try_once() == SECOND
    Ledger(database).record(arrived(2))
    assert [telling.try_once(), telling.try_once()] == [SECOND, SECOND * 2]

    with tls_listener(pair, port) as later:
        again = forwarder(database, to(port, hospital))
        Ledger(database).record(arrived(3))
        again.try_once()
        again.try_once()

    told = [message.find(".//Instance") for message in (*heard.messages, *later.messages)]
    assert [found.attrib["UID"] for found in told if found is not None] == [f"{STUDY}.1.{n}" for n in (1, 2, 3)]


@SQLITE
def test_a_repository_of_another_authority_is_told_nothing(
    database: Database, hospital: Authority, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path / "stranger", "stranger").found()
    telling = forwarder(database, to(1, hospital))
    Ledger(database).record(arrived(1))
    with socket.create_server((HOST, 0)) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        pair = stranger.sign("repository")
        context.load_cert_chain(pair.certificate, pair.key)
        failed: list[str] = []

        def refuse() -> None:
            try:
                context.wrap_socket(server.accept()[0], server_side=True).close()
            except ssl.SSLError as error:
                failed.append(error.reason or "")

        thread = threading.Thread(target=refuse)
        thread.start()
        telling.repository = to(server.getsockname()[1], hospital)
        with pytest.raises(PeerUnreachable):
            telling.forward()
        thread.join()

    assert len(failed) == 1
    assert len(telling.follower.next_events(9)) == 1


@SQLITE
def test_what_a_listener_has_not_read_is_told_again(database: Database, hospital: Authority) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair = hospital.sign("deaf")
    context.load_cert_chain(pair.certificate, pair.key)

    def end_without_reading(server: socket.socket) -> None:
        connection = context.wrap_socket(server.accept()[0], server_side=True)
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    with socket.create_server((HOST, 0)) as server:
        telling = forwarder(database, to(server.getsockname()[1], hospital))
        Ledger(database).record(arrived(1))
        thread = threading.Thread(target=end_without_reading, args=(server,))
        thread.start()
        with pytest.raises(PeerUnreachable, match="does not take messages"):
            telling.forward()
        thread.join()

    assert len(telling.follower.next_events(9)) == 1


@pytest.mark.parametrize("is_polite", [True, False])
def test_a_close_that_does_not_answer_ours_is_no_receipt(hospital: Authority, *, is_polite: bool) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair = hospital.sign("deaf")
    context.load_cert_chain(pair.certificate, pair.key)
    messages = [b"12"] * 3
    all_but_our_close = 3 * (len(b"2 12") + 22)  # as records of TLS 1.3 (RFC 8446 5.2)

    def end_without_reading(server: socket.socket) -> None:
        connection = context.wrap_socket(server.accept()[0], server_side=True)
        wait_until(lambda: len(socket.socket.recv(connection, 4096, socket.MSG_PEEK)) > all_but_our_close)
        connection.settimeout(0)
        if is_polite:
            with suppress(OSError):
                connection.unwrap()
        connection.close()

    with socket.create_server((HOST, 0)) as server:
        thread = threading.Thread(target=end_without_reading, args=(server,))
        thread.start()
        with pytest.raises(PeerUnreachable, match="does not take messages"):
            to(server.getsockname()[1], hospital).take(messages)
        thread.join()


@SQLITE
def test_a_certificate_that_has_gone_is_a_failed_try(database: Database, tmp_path: Path) -> None:
    gone = NodeTls(ca=str(tmp_path / "gone.pem"))
    telling = forwarder(database, Repository(host=HOST, port=1, context=partial(client_context, gone, "audit.atna")))
    Ledger(database).record(arrived(1))

    with pytest.raises(PeerUnreachable, match=r"audit\.atna\.ca"):
        telling.forward()


@pytest.mark.parametrize("context", [None, ssl.create_default_context])
def test_a_name_that_cannot_be_looked_up_is_a_repository_that_is_away(context: Callable[[], ssl.SSLContext]) -> None:
    with pytest.raises(PeerUnreachable, match=r"a\.\.b:6514 does not take messages"):
        Repository(host="a..b", port=6514, context=context).take([b"x"])


@SQLITE
def test_over_udp_each_message_is_a_datagram(database: Database) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind((HOST, 0))
        listener.settimeout(10)
        telling = forwarder(database, Repository(host=HOST, port=listener.getsockname()[1], context=None))
        Ledger(database).record(arrived(1))
        telling.forward()

        heard = Heard(port=0, frames=[listener.recv(65536)])

    assert heard.events == [("DICOM Instances Transferred", "0")]


@SQLITE
def test_a_message_that_no_datagram_holds_does_not_hold_up_the_others(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind((HOST, 0))
        listener.settimeout(10)
        telling = forwarder(database, Repository(host=HOST, port=listener.getsockname()[1], context=None))
        Ledger(database).record(replace(arrived(1), patient_id="PAT-7", calling_ae_title="MODALITY" * 9_000))
        Ledger(database).record(arrived(2, study=f"{STUDY}9"))
        telling.forward()

        heard = Heard(port=0, frames=[listener.recv(65536)])

    (told,) = [message.find(".//Instance") for message in heard.messages]
    assert told is not None
    assert told.attrib["UID"] == f"{STUDY}9.1.2"
    assert "more than a datagram holds" in caplog.text
    assert "PAT-7" not in caplog.text


def call_as_another(port: int) -> "subprocess.CompletedProcess[bytes]":
    line = ["echoscu", "-aec", "SOMEBODY", HOST, str(port)]
    return subprocess.run(line, capture_output=True, check=False, timeout=60)


@SQLITE
def test_whoever_fails_the_handshake_is_told_of_once_a_minute(database: Database) -> None:
    moments = iter([AT, AT + SECOND, AT + 61 * SECOND, AT + 61 * SECOND])
    alerts = Alerts(ledger=Ledger(database), now=lambda: next(moments))

    for _ in range(3):
        alerts.turned_away("10.0.0.1", "TLS handshake failed")
    alerts.turned_away("10.0.0.2", "TLS handshake failed")

    with database.read() as connection:
        events = query(connection, AuditFilter(action="refuse-association"))
    assert [event.actor for event in events] == ["10.0.0.1", "10.0.0.1", "10.0.0.2"]


@SQLITE
def test_whoever_fails_the_handshake_is_told_of_after_the_clock_went_back(database: Database) -> None:
    moments = iter([AT + timedelta(days=365), AT, AT + SECOND])
    alerts = Alerts(ledger=Ledger(database), now=lambda: next(moments))

    for _ in range(3):
        alerts.turned_away("10.0.0.1", "TLS handshake failed")

    with database.read() as connection:
        assert len(query(connection, AuditFilter(action="refuse-association"))) == 2


def test_a_service_tells_of_its_start_of_what_it_receives_whom_it_turns_away_and_of_its_end(
    settings_with: Callable[..., Settings], hospital: Authority, tmp_path: Path
) -> None:
    with tls_listener(hospital.sign("repository")) as heard:
        plain = settings_with()
        atna = AtnaSettings(address=f"{HOST}:{heard.port}", ca=str(hospital.certificate))
        settings = plain.model_copy(update={"audit": plain.audit.model_copy(update={"atna": atna})})
        _, path = radiograph(tmp_path)
        with running(settings) as service:
            push(service.port, path)
            for _ in range(2):
                assert call_as_another(service.port).returncode != 0
            wait_until(lambda: ("Security Alert", "4") in heard.events)

    assert [kind for kind, _ in heard.events if kind == "Security Alert"] == ["Security Alert"]
    assert ("DICOM Instances Transferred", "0") in heard.events

    assert heard.events[0] == heard.events[-1] == ("Application Activity", "0")


def test_with_audit_messages_a_node_still_delivers_and_proves(
    settings_with: Callable[..., Settings], tmp_path: Path
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as repository, keeping(Keeper(), FIND) as keeper:
        repository.bind((HOST, 0))
        atna = AtnaSettings(address=f"{HOST}:{repository.getsockname()[1]}", transport="udp")
        plain = settings_with(keeper.node.model_copy(update={"proof": "c-find"}))
        settings = plain.model_copy(update={"audit": plain.audit.model_copy(update={"atna": atna})})
        study, path = radiograph(tmp_path)
        with running(settings) as service:
            push(service.port, path)
            service.wait_for(study, StudyState.DELIVERED)

    assert len(keeper.queries) > 0

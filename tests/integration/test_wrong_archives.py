"""Archives whose answers are none: each costs its own results some time, and nobody else anything."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

import pytest
from pacs_ai_storage.ledger import Ledger
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.presentation import build_context

from pacs_ai.dimse.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE, Reference, ask_for_commitment
from pacs_ai.dimse.contexts import TimeLimits
from pacs_ai.dimse.finder import STUDY_ROOT_FIND, find_instances
from pacs_ai.dimse.listener import listen
from pacs_ai.dimse.sender import Sender
from pacs_ai.dimse.transport import Limits
from pacs_ai.errors import PeerUnreachable
from pacs_ai.parcels import Answer, Parcel, Wanted
from pacs_ai.settings import DicomSettings, Node
from tests.builders import make_instance, phantom

from .conftest import Inbox
from .peers import HOST, VERIFICATION, file_of
from .wire import (
    ABORT,
    ASSOCIATE_AC,
    P_DATA,
    RELEASE_RP,
    RELEASE_RQ,
    association_request,
    command,
    item,
    p_data,
    padded,
    pdu,
    read_pdu,
    u16,
)

PATIENT = TimeLimits(connect=60, associate=60, answer=60)
ASKED = [Wanted(study_instance_uid="1.2", series_instance_uid="1.2.3", sop_instance_uid="1.2.3.4")]
STORED = command(
    {0x0002: padded(VERIFICATION), 0x0100: u16(0x8001), 0x0120: u16(1), 0x0800: u16(0x0101), 0x0900: u16(0)}
)


def acceptance(*contexts: tuple[int, str | None]) -> bytes:
    """An A-ASSOCIATE-AC that accepts these contexts in these transfer syntaxes, or without one."""
    accepted = b"".join(
        item(0x21, bytes([number, 0, 0, 0]) + (b"" if syntax is None else item(0x40, syntax.encode())))
        for number, syntax in contexts
    )
    user = item(0x50, item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3.4"))
    fixed = struct.pack(">HH16s16s32s", 1, 0, b"ARCHIVE".ljust(16), b"PACS_AI".ljust(16), b"")
    return pdu(ASSOCIATE_AC, fixed + item(0x10, b"1.2.840.10008.3.1.1.1") + accepted + user)


@contextmanager
def answering(accepted: bytes, answer: Callable[[socket.socket], None]) -> Iterator[Node]:
    """An archive of one association, which accepts so, and answers each whole message so."""

    def serve() -> None:
        connection, _ = server.accept()
        with closing(connection), suppress(OSError):
            read_pdu(connection)
            connection.sendall(accepted)
            while (kind := read_pdu(connection)[0]) in {P_DATA, RELEASE_RQ}:
                if kind == RELEASE_RQ:
                    connection.sendall(pdu(RELEASE_RP, bytes(4)))
                elif not _more_to_come(connection):
                    answer(connection)

    with closing(socket.create_server((HOST, 0))) as server:
        thread = Thread(target=serve)
        thread.start()
        yield Node(name="archive", ae_title="ARCHIVE", host=HOST, port=int(server.getsockname()[1]))
        thread.join()


def _more_to_come(connection: socket.socket) -> bool:
    connection.settimeout(0.3)
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except TimeoutError:
        return False
    finally:
        connection.settimeout(60)


def answer_as_to_a_store(connection: socket.socket) -> None:
    connection.sendall(p_data(STORED, is_command=True, is_last=True))


def store(sender: Sender, node: Node, path: Path) -> None:
    instance = make_instance(stored=phantom(64, 48))
    parcel = Parcel(
        sop_class_uid=instance.SOPClassUID,
        sop_instance_uid=instance.SOPInstanceUID,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        path=file_of(path, instance),
    )
    (outcome,) = sender.send(node, [parcel])
    assert outcome.answer is not Answer.ACCEPTED
    raise PeerUnreachable(outcome.detail)


def find(sender: Sender, node: Node, _path: Path) -> None:
    raise find_instances(sender, node, ASKED).unanswered["1.2.3.4"]


def commit(sender: Sender, node: Node, _path: Path) -> None:
    asked = [Reference(sop_class_uid=PUSH_MODEL, sop_instance_uid="1.2.3.4")]
    ask_for_commitment(sender, node, "1.2.3", asked, lambda _report: None, linger=0)


def echo(sender: Sender, node: Node, _path: Path) -> None:
    sender.echo(node)


@pytest.mark.parametrize("syntax", [None, "", "1.2.3.4", "1.2.840.10008.1.2.4.70"])
@pytest.mark.parametrize("ask", [store, find, commit, echo])
def test_an_archive_that_accepts_what_was_not_proposed_is_unreachable(
    ask: Callable[[Sender, Node, Path], None], syntax: str | None, tmp_path: Path
) -> None:
    with (
        answering(acceptance((1, syntax)), answer_as_to_a_store) as node,
        pytest.raises(PeerUnreachable, match="accepted nothing of what was proposed to it"),
    ):
        ask(Sender("PACS_AI", limits=PATIENT), node, tmp_path)


def test_what_is_rightly_accepted_beside_it_can_be_used() -> None:
    contexts = [
        build_context(STUDY_ROOT_FIND, ExplicitVRLittleEndian),
        build_context(VERIFICATION, "1.2.840.10008.1.2"),
    ]
    with (
        answering(acceptance((1, "1.2.3.4"), (3, "1.2.840.10008.1.2")), answer_as_to_a_store) as node,
        Sender("PACS_AI", limits=PATIENT).association(node, contexts) as association,
    ):
        accepted = [str(found.abstract_syntax) for found in association.accepted_contexts]

    assert accepted == [VERIFICATION]


@pytest.mark.parametrize("ask", [find, commit])
def test_an_archive_that_answers_another_question_is_unreachable(
    ask: Callable[[Sender, Node, Path], None], tmp_path: Path
) -> None:
    with (
        answering(acceptance((1, "1.2.840.10008.1.2")), answer_as_to_a_store) as node,
        pytest.raises(PeerUnreachable, match="no answer"),
    ):
        ask(Sender("PACS_AI", limits=PATIENT), node, tmp_path)


def drip(connection: socket.socket) -> None:
    connection.sendall(struct.pack(">BBL", P_DATA, 0, 1000))
    for _ in range(1000):
        connection.sendall(b"\0")
        time.sleep(0.2)


def announce_gigabytes(connection: socket.socket) -> None:
    connection.sendall(struct.pack(">BBL", P_DATA, 0, 0xFFFFFFF0) + bytes(100))


@pytest.mark.parametrize("answer", [drip, announce_gigabytes])
@pytest.mark.timeout(120)
def test_an_archive_that_never_ends_its_answer_is_not_listened_to_for_ever(
    answer: Callable[[socket.socket], None],
) -> None:
    limits = TimeLimits(connect=60, associate=60, answer=2)
    with answering(acceptance((1, "1.2.840.10008.1.2")), answer) as node, pytest.raises(PeerUnreachable):
        Sender("PACS_AI", limits=limits).echo(node)


REPORT = command(
    {
        0x0002: padded(PUSH_MODEL),
        0x0100: u16(0x0100),
        0x0110: u16(1),
        0x0800: u16(0x0101),
        0x1000: padded(PUSH_MODEL_INSTANCE),
        0x1002: u16(1),
    }
)


def report_without_end(connection: socket.socket, *, context: int = 1) -> None:
    for _ in range(500):
        connection.sendall(p_data(REPORT, is_command=True, is_last=True, context=context))


def test_an_archive_that_reports_without_waiting_for_answers_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    is_over, served = Event(), list[int]()

    def serve(*_: object) -> tuple[int, None]:
        served.append(threading.active_count())
        is_over.wait(60)
        return 0x0000, None

    monkeypatch.setattr("pacs_ai.dimse.commitment.on_n_event_report", serve)
    asked = [Reference(sop_class_uid=PUSH_MODEL, sop_instance_uid="1.2.3.4")]
    with answering(acceptance((1, "1.2.840.10008.1.2")), report_without_end) as node, pytest.raises(PeerUnreachable):
        ask_for_commitment(Sender("PACS_AI", limits=PATIENT), node, "1.2.3", asked, lambda _report: None, linger=0)
    is_over.set()

    assert len(served) <= 4


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_peer_that_reports_without_waiting_for_answers_is_broken_off(inbox: Inbox) -> None:
    is_over, before, served = Event(), threading.active_count(), list[int]()

    def serve(_event: evt.Event) -> tuple[int, None]:
        served.append(threading.active_count())
        is_over.wait(60)
        return 0x0000, None

    listener = listen(
        DicomSettings(host=HOST),
        inbox.store,
        Ledger(inbox.database),
        port=0,
        commitment=[(evt.EVT_N_EVENT_REPORT, serve)],
        limits=Limits(request_seconds=60),
    )
    with closing(socket.create_connection((HOST, listener.port), timeout=60)) as connection:
        connection.sendall(association_request(contexts=((PUSH_MODEL, "1.2.840.10008.1.2"),)))
        read_pdu(connection)
        with suppress(ConnectionError):
            report_without_end(connection, context=3)
        answers = [read_pdu(connection)[0]]
    is_over.set()
    listener.stop()

    assert answers[0] in {0, ABORT}
    assert len(served) <= 4
    assert max(served) < before + 20

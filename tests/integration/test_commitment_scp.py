"""Storage commitment for what is pushed to us: success stands for what is kept, and for nothing else."""

import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from threading import Event

import pytest
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.proofs import Proofs
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom import AE, evt
from pynetdicom.dimse_messages import N_EVENT_REPORT_RSP
from pynetdicom.dimse_primitives import N_ACTION
from pynetdicom.presentation import build_context

from pacs_ai.dimse.commitment import (
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    CommitmentReport,
    Reference,
    action_information,
)
from pacs_ai.dimse.commitment_scp import CommitmentScp
from pacs_ai.dimse.listener import listen
from pacs_ai.dimse.requestor import as_requestor
from pacs_ai.dimse.sender import Sender
from pacs_ai.dimse.transport import Limits
from pacs_ai.settings import DicomSettings, Node
from tests.builders import make_instance, phantom

from .conftest import Inbox
from .peers import HOST, associated, contexts_for, data_set_of, file_of, nobody, stop
from .waiting import wait_until
from .wire import P_DATA, association_request, command, p_data, padded, read_pdu, store_command, u16

TRANSACTION = "2.25.42"
DX = DigitalXRayImageStorageForPresentation
Committing = Callable[..., Inbox]
_REQUESTED = {0x0003: padded(PUSH_MODEL), 0x1001: padded(PUSH_MODEL_INSTANCE)}
ACTION = command(_REQUESTED | {0x0100: u16(0x0130), 0x0110: u16(1), 0x0800: u16(1), 0x1008: u16(1)})
_AFFECTED = {0x0002: padded(PUSH_MODEL), 0x0100: u16(0x8100)}
TOLD = command(_AFFECTED | {0x0120: u16(1), 0x0800: u16(0x0101), 0x0900: u16(0)})


@dataclass
class Modality:
    """It pushes, asks for commitment, and hears reports on its association or, where it listens, on one of ours."""

    reports: list[tuple[int, Dataset]] = field(default_factory=list)
    hears_on_its_association: bool = True
    answered: Event = field(default_factory=Event)

    ae_title: str = "MODALITY"
    may_answer: Event | None = None
    answer: int = 0x0000

    def hear(self, event: evt.Event) -> tuple[int, None]:
        if self.may_answer is not None:
            assert self.may_answer.wait(120)
        self.reports.append((event.event_type, event.event_information))
        return self.answer, None

    def note_sent(self, event: evt.Event) -> None:
        if isinstance(event.message, N_EVENT_REPORT_RSP):
            self.answered.set()

    def ask(self, port: int, references: Sequence[Reference], *paths: Path, action: int = 1) -> int:
        """The status of the request; the association stays until a report has come, where one can come on it."""
        hearing = [(evt.EVT_N_EVENT_REPORT, self.hear), (evt.EVT_DIMSE_SENT, self.note_sent)]
        handlers = hearing if self.hears_on_its_association else []
        contexts = [*contexts_for(paths), build_context(PUSH_MODEL)]
        association = AE(ae_title=self.ae_title).associate(
            HOST,
            port,
            contexts=contexts,
            ae_title="PACS_AI",
            evt_handlers=handlers if self.hears_on_its_association else [],
        )
        as_requestor(association)  # its answer to a report goes out before its release, however the threads take turns
        assert [association.send_c_store(path).Status for path in paths] == [0x0000] * len(paths)
        asked = action_information(TRANSACTION, references)
        status, _ = association.send_n_action(asked, action, PUSH_MODEL, PUSH_MODEL_INSTANCE)
        if status.Status == 0x0000 and self.hears_on_its_association:
            assert self.answered.wait(60)
        association.release()
        return int(status.Status)

    @contextmanager
    def listening(self, port: int = 0) -> Iterator[Node]:
        ae = AE(ae_title=self.ae_title)
        ae.add_supported_context(PUSH_MODEL, scu_role=True, scp_role=True)
        server = ae.start_server((HOST, port), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, self.hear)])
        try:
            yield Node(name=self.ae_title.lower(), ae_title=self.ae_title, host=HOST, port=server.server_address[1])
        finally:
            stop(ae)


@pytest.fixture
def committing(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Committing]:
    """The inbox behind a listener that commits itself, and knows these nodes; whoever hears it may take his time."""
    monkeypatch.setattr("pacs_ai.dimse.commitment_scp._TIME_TO_ANSWER", 120)
    ended = []

    def started(*nodes: Node) -> Inbox:
        ledger = Ledger(inbox.database)
        scp = CommitmentScp(
            nodes=nodes,
            proofs=Proofs(inbox.database),
            store=inbox.store,
            ledger=ledger,
            sender=Sender("PACS_AI"),
            pauses=(0.3,) * 100,
        )
        listener = listen(
            DicomSettings(host=HOST), inbox.store, ledger, port=0, commitment=scp.handlers(lambda _report: None)
        )
        ended.extend((listener.stop, scp.stop))
        return Inbox(port=listener.port, folder=inbox.folder, store=inbox.store, database=inbox.database)

    yield started
    for end in ended:
        end()


def film(folder: Path) -> tuple[Reference, Path]:
    instance = make_instance(stored=phantom(64, 48))
    return Reference(sop_class_uid=DX, sop_instance_uid=instance.SOPInstanceUID), file_of(folder, instance)


def references(told: Dataset, keyword: str) -> list[str]:
    return [item.ReferencedSOPInstanceUID for item in told.get(keyword, [])]


def commits(inbox: Inbox) -> list[tuple[str, str | None, str]]:
    return [(event.actor, event.outcome, str(event.detail)) for event in inbox.events if event.action == "commit"]


def test_what_was_pushed_and_is_kept_is_reported_on_the_same_association(
    committing: Committing, tmp_path: Path
) -> None:
    inbox, modality, (reference, path) = committing(), Modality(), film(tmp_path)

    assert modality.ask(inbox.port, [reference], path) == 0x0000

    ((kind, told),) = modality.reports
    assert (kind, told.TransactionUID) == (1, TRANSACTION)
    assert references(told, "ReferencedSOPSequence") == [reference.sop_instance_uid]
    assert "FailedSOPSequence" not in told
    wait_until(lambda: commits(inbox))
    assert commits(inbox) == [
        ("MODALITY", "1 kept, 0 not", f"transaction {TRANSACTION}; reported on the same association")
    ]


def test_unknown_lost_and_misnamed_instances_fail_each_with_its_reason(committing: Committing, tmp_path: Path) -> None:
    inbox, modality = committing(), Modality()
    films = [film(tmp_path) for _ in range(4)]
    kept, shorter, gone, other_class = (reference for reference, _ in films)
    unknown = Reference(sop_class_uid=DX, sop_instance_uid="1.2.3")
    Modality().ask(inbox.port, [kept], *(path for _, path in films))
    received = Proofs(inbox.database).received([shorter.sop_instance_uid, gone.sop_instance_uid])
    inbox.store.locate(received[gone.sop_instance_uid].file).unlink()
    with inbox.store.locate(received[shorter.sop_instance_uid].file).open("r+b") as file:
        file.truncate(100)
    misnamed = Reference(sop_class_uid=CTImageStorage, sop_instance_uid=other_class.sop_instance_uid)

    modality.ask(inbox.port, [kept, unknown, shorter, gone, misnamed])

    ((kind, told),) = modality.reports
    assert kind == 2
    assert references(told, "ReferencedSOPSequence") == [kept.sop_instance_uid]
    assert {item.ReferencedSOPInstanceUID: item.FailureReason for item in told.FailedSOPSequence} == {
        "1.2.3": 0x0112,
        shorter.sop_instance_uid: 0x0110,
        gone.sop_instance_uid: 0x0110,
        misnamed.sop_instance_uid: 0x0119,
    }


def test_a_modality_that_has_gone_is_told_on_an_association_of_ours(committing: Committing, tmp_path: Path) -> None:
    modality, (reference, path) = Modality(hears_on_its_association=False), film(tmp_path)

    with modality.listening() as node:
        inbox = committing(node)
        modality.ask(inbox.port, [reference], path)
        wait_until(lambda: modality.reports)
        wait_until(lambda: commits(inbox))

    ((kind, told),) = modality.reports
    assert (kind, references(told, "ReferencedSOPSequence")) == (1, [reference.sop_instance_uid])
    assert commits(inbox)[0][2].endswith("reported to the node")


@pytest.mark.parametrize("answer", [0x0001, 0x0107, 0x0116, 0xB000])
def test_a_report_that_is_taken_with_a_warning_is_taken(committing: Committing, answer: int) -> None:
    modality = Modality(hears_on_its_association=False, answer=answer)

    with modality.listening() as node:
        inbox = committing(node)
        modality.ask(inbox.port, [Reference(sop_class_uid=DX, sop_instance_uid="1.2.3")])
        wait_until(lambda: commits(inbox))

    assert commits(inbox)[0][2].endswith("; reported to the node")


@pytest.mark.filterwarnings("ignore:unclosed <socket.socket:ResourceWarning")
def test_a_report_that_nobody_hears_is_in_the_audit_log(committing: Committing, tmp_path: Path) -> None:
    reference, path = film(tmp_path)
    inbox = committing(Node(name="modality", ae_title="MODALITY", host=HOST, port=nobody()))

    Modality(hears_on_its_association=False).ask(inbox.port, [reference], path)
    wait_until(lambda: commits(inbox))

    assert "not reported: MODALITY@" in commits(inbox)[0][2]


@pytest.mark.filterwarnings("ignore:unclosed <socket.socket:ResourceWarning")
def test_a_node_that_hears_no_report_cannot_ask_without_end_and_takes_no_thread_for_each(
    committing: Committing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacs_ai.dimse.commitment_scp._MOST_OWED", 40 * 11)
    inbox = committing(Node(name="modality", ae_title="MODALITY", host=HOST, port=nobody()))
    modality, before = Modality(hears_on_its_association=False), threading.active_count()

    statuses = [modality.ask(inbox.port, [Reference(sop_class_uid=DX, sop_instance_uid="1.2.3")]) for _ in range(50)]

    assert statuses == [0x0000] * 41 + [0x0213] * 9
    assert threading.active_count() < before + 10


def test_a_peer_whose_request_is_being_judged_does_not_make_room(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    is_judging, may_judge, judge = Event(), Event(), CommitmentScp.judge

    def judge_slowly(scp: CommitmentScp, *asked: object) -> CommitmentReport:
        is_judging.set()
        assert may_judge.wait(60)
        return judge(scp, *asked)

    monkeypatch.setattr(CommitmentScp, "judge", judge_slowly)
    ledger = Ledger(inbox.database)
    scp = CommitmentScp(
        nodes=(), proofs=Proofs(inbox.database), store=inbox.store, ledger=ledger, sender=Sender("PACS_AI")
    )
    listener = listen(
        DicomSettings(host=HOST, max_associations=1),
        inbox.store,
        ledger,
        port=0,
        commitment=scp.handlers(lambda _report: None),
        limits=Limits(quiet_seconds=0, request_seconds=60),
    )
    asked = [Reference(sop_class_uid=DX, sop_instance_uid="1.2.3")]
    with ThreadPoolExecutor(1) as beside:
        status = beside.submit(Modality(hears_on_its_association=False).ask, listener.port, asked)
        assert is_judging.wait(60)
        with associated(listener.port, [build_context(PUSH_MODEL)]) as other:
            let_in = other.is_established
        may_judge.set()
        answered = status.result(60)
    listener.stop()
    scp.stop()

    assert (let_in, answered) == (False, 0x0000)


@pytest.mark.parametrize(("uids", "action", "status"), [((), 1, 0x0115), (("1.2.3",), 2, 0x0123)])
def test_a_request_that_makes_no_sense_is_answered_so(
    committing: Committing, uids: tuple[str, ...], action: int, status: int
) -> None:
    asked = [Reference(sop_class_uid=DX, sop_instance_uid=uid) for uid in uids]

    assert Modality().ask(committing().port, asked, action=action) == status


def test_a_node_that_does_not_answer_its_reports_keeps_no_other_from_its_own(
    committing: Committing, tmp_path: Path
) -> None:
    stalled = Modality(hears_on_its_association=False, ae_title="STALLED", may_answer=Event())
    modality, (reference, path) = Modality(hears_on_its_association=False), film(tmp_path)

    with stalled.listening() as slow, modality.listening() as node:
        inbox = committing(slow, node)
        for _ in range(8):
            stalled.ask(inbox.port, [reference])
        modality.ask(inbox.port, [reference], path)
        wait_until(lambda: modality.reports, within=60)
        heard_before = list(stalled.reports)
        stalled.may_answer.set()
        wait_until(lambda: len(commits(inbox)) == 9)

    assert heard_before == []
    assert len(stalled.reports) == 8


def test_a_modality_that_goes_on_pushing_gets_its_answers_and_the_report_on_the_same_association(
    committing: Committing, tmp_path: Path
) -> None:
    inbox, (reference, path) = committing(), film(tmp_path)
    pushed = (DX, reference.sop_instance_uid)
    request = association_request(contexts=((PUSH_MODEL, ImplicitVRLittleEndian), (DX, ExplicitVRLittleEndian)))
    item = element(0x1155, padded(reference.sop_instance_uid))
    asked = element(0x1199, struct.pack("<HHL", 0xFFFE, 0xE000, len(item)) + item)
    storing = p_data(store_command(*pushed), is_command=True, is_last=True, context=5)
    storing += p_data(data_set_of(path), is_command=False, is_last=True, context=5)
    fields = []
    with socket.create_connection((HOST, inbox.port), timeout=60) as connection:
        connection.sendall(request)
        read_pdu(connection)
        connection.sendall(
            p_data(ACTION, is_command=True, is_last=True, context=3)
            + p_data(element(0x1195, b"1.2.3\0") + asked, is_command=False, is_last=True, context=3)
        )
        fields.append(command_field(connection))
        while 0x0100 not in fields:
            connection.sendall(storing)
            fields.append(command_field(connection))
        read_pdu(connection)  # what is reported
        connection.sendall(p_data(TOLD, is_command=True, is_last=True, context=3))
        fields.append(command_field(connection))
        wait_until(lambda: commits(inbox))

    assert fields[-2:] == [0x0100, 0x8001]
    assert commits(inbox)[0][2].endswith("reported on the same association")
    wait_until(lambda: [found for found in inbox.files if found.suffix == ".part"] == [])


def test_reports_on_the_association_of_their_requests_go_out_one_after_the_answer_to_the_other(
    committing: Committing,
) -> None:
    inbox = committing()
    item = element(0x1155, b"1.2.3\0")
    asked = element(0x1199, struct.pack("<HHL", 0xFFFE, 0xE000, len(item)) + item)
    batches = []
    with socket.create_connection((HOST, inbox.port), timeout=60) as connection:
        connection.sendall(association_request(contexts=((PUSH_MODEL, ImplicitVRLittleEndian),)))
        read_pdu(connection)
        connection.sendall(
            b"".join(
                p_data(ACTION, is_command=True, is_last=True, context=3)
                + p_data(element(0x1195, transaction) + asked, is_command=False, is_last=True, context=3)
                for transaction in (b"1.2.3\0", b"1.2.4\0", b"1.2.5\0")
            )
        )
        for _ in range(3):
            batches.append(commands_until_quiet(connection))
            connection.sendall(p_data(TOLD, is_command=True, is_last=True, context=3))
        wait_until(lambda: len(commits(inbox)) == 3)

    assert [batch.count(0x0100) for batch in batches] == [1, 1, 1]
    assert {how.partition("; ")[2] for _, _, how in commits(inbox)} == {"reported on the same association"}


def commands_until_quiet(connection: socket.socket) -> list[int]:
    """The command fields of what comes, from the first report on, until nothing has come for a second."""
    fields = []
    while 0x0100 not in fields or select.select([connection], [], [], 1)[0]:
        fields.append(command_field(connection))
        if fields[-1] == 0x0100:
            read_pdu(connection)  # what is reported
    return fields


def command_field(connection: socket.socket) -> int:
    """Of the next command that comes (PS3.7 E.1)."""
    kind, body = read_pdu(connection)
    assert kind == P_DATA
    at = body.index(struct.pack("<HHL", 0x0000, 0x0100, 2)) + 8
    return int.from_bytes(body[at : at + 2], "little")


def element(number: int, content: bytes) -> bytes:
    """An element of group 0008, in Implicit VR Little Endian."""
    return struct.pack("<HHL", 0x0008, number, len(content)) + content


def asked_with(port: int, content: bytes) -> int:
    """The status of a request whose data set is this."""
    with associated(port, [build_context(PUSH_MODEL, ImplicitVRLittleEndian)]) as association:
        request = N_ACTION()
        request.MessageID = request.ActionTypeID = 1
        request.RequestedSOPClassUID, request.RequestedSOPInstanceUID = PUSH_MODEL, PUSH_MODEL_INSTANCE
        request.ActionInformation = BytesIO(content)
        association._reactor_checkpoint.clear()
        association.dimse.send_msg(request, association.accepted_contexts[0].context_id)
        _, answer = association.dimse.get_msg(block=True)
        association._reactor_checkpoint.set()
        return int(answer.Status)


def test_a_request_that_cannot_be_read_is_answered_so_and_prints_no_traceback(
    committing: Committing, caplog: pytest.LogCaptureFixture
) -> None:
    port, transaction = committing().port, element(0x1195, b"1.2.3\0")
    nested = struct.pack("<HHLHHL", 0x0008, 0x1199, 0xFFFFFFFF, 0xFFFE, 0xE000, 0xFFFFFFFF) * 3000
    with_nul = struct.pack("<HHL", 0xFFFE, 0xE000, 14) + element(0x1155, b"1.\x002.3\0")

    assert asked_with(port, transaction + nested) == 0x0115
    assert asked_with(port, transaction + element(0x1199, with_nul)) == 0x0000

    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.filterwarnings("ignore:unclosed <socket.socket:ResourceWarning")
def test_a_node_that_was_away_is_told_again_of_what_is_kept_by_then(committing: Committing, tmp_path: Path) -> None:
    modality, (reference, path), (lost, other) = (
        Modality(hears_on_its_association=False),
        film(tmp_path),
        film(tmp_path),
    )
    port = nobody()
    inbox = committing(Node(name="modality", ae_title="MODALITY", host=HOST, port=port))

    modality.ask(inbox.port, [reference, lost], path, other)
    wait_until(lambda: commits(inbox))
    inbox.store.locate(Proofs(inbox.database).received([lost.sop_instance_uid])[lost.sop_instance_uid].file).unlink()
    with modality.listening(port):
        wait_until(lambda: modality.reports)
        wait_until(lambda: commits(inbox)[-1][2].endswith("reported to the node"))

    ((kind, told),) = modality.reports
    assert kind == 2
    assert references(told, "ReferencedSOPSequence") == [reference.sop_instance_uid]
    assert references(told, "FailedSOPSequence") == [lost.sop_instance_uid]
    assert "not reported: MODALITY@" in commits(inbox)[0][2]

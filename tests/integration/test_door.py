"""The port under peers that are slow, silent, many or wrong: a sender gets in, and nothing is left behind."""

import re
import socket
import subprocess
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from pydicom import dcmread

from pacs_ai.dimse.contexts import COMMITMENT
from pacs_ai.dimse.transport import Limits
from tests.builders import make_instance, phantom
from tests.unit.peers import DCMTK

from .conftest import Inbox
from .peers import HOST, associated, contexts_for, data_set_of, file_of, push
from .waiting import wait_until
from .wire import (
    ABORT,
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    ASSOCIATE_RQ,
    ECHO,
    P_DATA,
    association_request,
    command,
    p_data,
    padded,
    pdu,
    read_pdu,
    resources,
    store_command,
    u16,
)

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def radiograph(tmp_path: Path) -> Path:
    return file_of(tmp_path, make_instance(stored=phantom(64, 48)))


@contextmanager
def connections(port: int, count: int, *, address: str = HOST) -> Iterator[list[socket.socket]]:
    """So many connections from this address."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection((HOST, port), timeout=60, source_address=(address, 0)))
            for _ in range(count)
        ]


def associate(connection: socket.socket, **titles: str) -> int:
    """The type of the PDU that answers an association request."""
    connection.sendall(association_request(**titles))
    return read_pdu(connection)[0]


def storescu(port: int, *paths: Path) -> str:
    """What DCMTK says of its one association that sends these files; a process of its own, with memory of its own."""
    command = [DCMTK / "storescu", "-v", "-nh", "-aec", "PACS_AI", HOST, str(port), *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def is_ended(connection: socket.socket) -> bool:
    """Whether the port has ended it, by a word or without."""
    connection.settimeout(0.01)
    try:
        received = connection.recv(1 << 16)
    except TimeoutError:
        return False
    except OSError:
        return True
    return received == b"" or received[0] == 0x07


def test_two_hundred_idle_associations_do_not_stop_a_sender(inbox: Inbox, radiograph: Path) -> None:
    before = resources()
    with connections(inbox.port, 200) as idle:
        answers = [associate(connection) for connection in idle]

        statuses = wait_until(lambda: _push_if_let_in(inbox.port, radiograph))

        assert statuses == [0x0000]
        assert answers.count(ASSOCIATE_AC) >= 16
        assert sum(map(is_ended, idle)) > 0
    wait_until(lambda: resources() <= before)


def _push_if_let_in(port: int, path: Path) -> list[int] | None:
    with associated(port, contexts_for([path])) as association:
        if not association.is_established:
            return None
        return [association.send_c_store(path).Status]


def test_two_hundred_silent_connections_do_not_stop_a_sender(
    open_inbox: Callable[..., Inbox], radiograph: Path
) -> None:
    patient, impatient = (open_inbox(limits=Limits(request_seconds=seconds)) for seconds in (60, 1))
    before = resources()
    with connections(patient.port, 200):
        assert push(patient.port, radiograph) == [0x0000]
    with connections(impatient.port, 200) as silent:
        wait_until(lambda: all(map(is_ended, silent)))
    wait_until(lambda: resources() <= before)


def test_the_idle_associations_of_one_peer_make_room_for_that_peer_alone(open_inbox: Callable[..., Inbox]) -> None:
    inbox = open_inbox(max_associations_per_peer=2, limits=Limits(quiet_seconds=0, request_seconds=60))
    with connections(inbox.port, 3, address="127.0.0.2") as many, connections(inbox.port, 1) as other:
        first, second, third = many
        assert [associate(connection) for connection in (*other, first, second)] == [ASSOCIATE_AC] * 3
        for connection in (first, second):  # both are settled, and the first is idle for longer, however slow we are
            connection.sendall(p_data(ECHO, is_command=True, is_last=True))
            assert read_pdu(connection)[0] == P_DATA

        assert associate(third) == ASSOCIATE_AC
        wait_until(lambda: is_ended(first))
        assert not is_ended(second)
        assert not is_ended(other[0])


def test_an_open_operation_is_not_broken_off_for_another(open_inbox: Callable[..., Inbox]) -> None:
    inbox = open_inbox(max_associations=1, limits=Limits(quiet_seconds=2, slow_seconds=120, request_seconds=60))
    with connections(inbox.port, 1) as (busy,):
        associate(busy)
        whole, part = p_data(ECHO, is_command=True, is_last=True), p_data(ECHO[:20], is_command=True, is_last=False)
        busy.sendall(whole + part)
        assert read_pdu(busy)[0] == P_DATA  # so the part is there too: both came at once

        start = time.monotonic()
        while time.monotonic() < start + 3:
            with connections(inbox.port, 1) as (other,):
                assert associate(other) == ASSOCIATE_RJ

        busy.sendall(p_data(ECHO[20:], is_command=True, is_last=True))
        assert read_pdu(busy)[0] == P_DATA


def test_who_uses_a_wrong_title_takes_nobodys_place(open_inbox: Callable[..., Inbox]) -> None:
    limits = Limits(quiet_seconds=0, request_seconds=60)
    inbox = open_inbox(max_associations=1, allowed_calling_ae_titles=["MODALITY"], limits=limits)
    with connections(inbox.port, 3) as (first, second, third):
        associate(first)

        assert associate(second, called="SOMEBODY") == ASSOCIATE_RJ
        assert associate(third, calling="SOMEBODY") == ASSOCIATE_RJ
        assert not is_ended(first)


def test_a_message_that_drips_makes_room(open_inbox: Callable[..., Inbox]) -> None:
    limits = Limits(quiet_seconds=0, slow_seconds=0.3, request_seconds=60)
    inbox = open_inbox(max_associations=1, limits=limits)
    with connections(inbox.port, 1) as (slow,):
        associate(slow)
        message = iter(p_data(ECHO, is_command=True, is_last=True))

        def another_is_let_in() -> bool:
            slow.sendall(bytes([next(message)]))
            with connections(inbox.port, 1) as (other,):
                return associate(other) == ASSOCIATE_AC

        assert wait_until(another_is_let_in)
        assert wait_until(lambda: is_ended(slow))


@pytest.mark.parametrize(
    ("begun", "limits"),
    [("request", Limits(request_seconds=0.5)), ("message", Limits(request_seconds=60, pdu_seconds=0.5))],
    ids=["request", "message"],
)
def test_a_pdu_that_drips_is_not_waited_for(begun: str, limits: Limits, open_inbox: Callable[..., Inbox]) -> None:
    inbox = open_inbox(limits=limits)
    before = resources()
    with connections(inbox.port, 1) as (slow,):
        if begun == "message":
            associate(slow)
        # So long that neither would be whole in a minute, were each byte given its time anew.
        request = association_request(contexts=((COMMITMENT, "1.2.840.10008.1.2"),) * 100)
        dripping = iter(request if begun == "request" else p_data(bytes(4000), is_command=True, is_last=True))

        def drips_until_the_end() -> bool:
            with suppress(OSError):
                slow.sendall(bytes([next(dripping)]))
            return is_ended(slow)

        assert wait_until(drips_until_the_end)
    assert wait_until(lambda: resources() <= before)


def test_an_association_without_traffic_is_aborted(open_inbox: Callable[..., Inbox]) -> None:
    inbox = open_inbox(idle_seconds=1)
    with connections(inbox.port, 1) as (idle,):
        associate(idle)

        assert read_pdu(idle)[0] == ABORT


def test_who_does_not_take_his_answers_is_not_waited_for(open_inbox: Callable[..., Inbox]) -> None:
    inbox = open_inbox(limits=Limits(pdu_seconds=0.5, request_seconds=60))
    before = resources()
    with connections(inbox.port, 1) as (deaf,):
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        associate(deaf)
        echo = p_data(ECHO, is_command=True, is_last=True)

        with pytest.raises(OSError, match=r"(?i)reset|pipe|timed out"):
            deaf.sendall(echo * 100_000)
    wait_until(lambda: resources() <= before)


@pytest.mark.parametrize("length", [0xFFFFFFFF, (1 << 20) + 1])
@pytest.mark.parametrize("kind", [ASSOCIATE_RQ, P_DATA, ABORT])
def test_a_pdu_that_announces_too_much_is_not_waited_for_and_not_allocated(
    kind: int, length: int, inbox: Inbox
) -> None:
    with connections(inbox.port, 1) as (peer,):
        if kind != ASSOCIATE_RQ:
            associate(peer)
        tracemalloc.start()

        peer.sendall(pdu(kind, bytes(1000), length=length))
        answer = read_pdu(peer)[0]
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert answer == ABORT
        assert most < 1 << 20


def test_an_instance_that_is_too_large_is_refused_before_it_is_in_memory(
    open_inbox: Callable[..., Inbox], radiograph: Path, tmp_path: Path
) -> None:
    inbox = open_inbox(max_message_mb=2)
    large = file_of(tmp_path, make_instance(stored=phantom(64, 48), PixelData=bytes(64 << 20)))

    tracemalloc.start()
    answers = storescu(inbox.port, large, radiograph)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert re.findall(r"Received Store Response \((.*)\)", answers) == ["Refused: OutOfResources", "Success"]
    assert most < 16 << 20
    assert [event.detail for event in inbox.events if event.action == "refuse-receive"] == [
        "the instance is larger than dicom.max_message_mb"
    ]


def test_a_data_set_before_its_command_is_broken_off(inbox: Inbox) -> None:
    with connections(inbox.port, 1) as (peer,):
        associate(peer)

        with suppress(OSError):
            for _ in range(200):
                peer.sendall(p_data(bytes(1 << 19), is_command=False, is_last=False))

        assert wait_until(lambda: is_ended(peer))


def test_of_a_message_that_is_no_instance_no_more_is_kept_than_a_mebibyte(inbox: Inbox, radiograph: Path) -> None:
    asking = command(
        {
            0x0003: padded(COMMITMENT),
            0x0100: u16(0x0130),
            0x0110: u16(1),
            0x0800: u16(1),
            0x1001: padded("1.2.840.10008.1.20.1.1"),
            0x1008: u16(1),
        }
    )
    piece = p_data(bytes(1 << 16), is_command=False, is_last=False, context=3)
    with socket.create_connection((HOST, inbox.port)) as connection:
        connection.sendall(association_request(contexts=((COMMITMENT, "1.2.840.10008.1.2"),)))
        read_pdu(connection)

        tracemalloc.start()
        connection.sendall(p_data(asking, is_command=True, is_last=True, context=3))
        for _ in range(512):
            connection.sendall(piece)
        connection.sendall(p_data(b"", is_command=False, is_last=True, context=3))
        answer, _ = read_pdu(connection)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert answer == P_DATA
    assert most < 8 << 20
    assert push(inbox.port, radiograph) == [0x0000]


def test_who_sends_without_waiting_for_answers_is_aborted(inbox: Inbox, radiograph: Path) -> None:
    content = data_set_of(radiograph)
    sent = dcmread(radiograph)
    request = association_request(contexts=((sent.SOPClassUID, sent.file_meta.TransferSyntaxUID),))
    store = p_data(store_command(sent.SOPClassUID, sent.SOPInstanceUID), is_command=True, is_last=True, context=3)
    store += p_data(content, is_command=False, is_last=True, context=3)
    with connections(inbox.port, 1) as (hasty,):
        hasty.sendall(request)
        assert read_pdu(hasty)[0] == ASSOCIATE_AC

        with suppress(OSError):
            hasty.sendall(store * 200)
        kinds = []
        while kind := read_pdu(hasty)[0]:
            kinds.append(kind)

    assert len(kinds) < 100
    assert push(inbox.port, radiograph) == [0x0000]


def test_only_the_addresses_that_are_allowed_are_spoken_to(open_inbox: Callable[..., Inbox]) -> None:
    inbox = open_inbox(allowed_addresses=["10.0.0.0/8", "127.0.0.2"])
    with (
        connections(inbox.port, 1, address="127.0.0.2") as (allowed,),
        connections(inbox.port, 1, address="127.0.0.3") as (other,),
    ):
        assert associate(allowed) == ASSOCIATE_AC
        wait_until(lambda: is_ended(other))

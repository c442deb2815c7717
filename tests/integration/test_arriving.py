"""An instance goes to disk while it comes in: it is never whole in memory, and nothing remains of half of one."""

import socket
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian

from tests.builders import make_instance, phantom

from .conftest import Inbox
from .peers import HOST, data_set_of, file_of, push
from .studies import seen
from .waiting import wait_until
from .wire import ABORT, ASSOCIATE_AC, ECHO, P_DATA, association_request, p_data, pdu, read_pdu, store_command

MEGABYTE = 1 << 20
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Modality:
    """One association, PDU by PDU, that sends this file."""

    def __init__(self, port: int, path: Path) -> None:
        sent = dcmread(path, stop_before_pixels=True)
        self.content = data_set_of(path)
        self.command = p_data(
            store_command(sent.SOPClassUID, sent.SOPInstanceUID), is_command=True, is_last=True, context=3
        )
        self.connection = socket.create_connection((HOST, port))
        self.connection.sendall(association_request(contexts=((sent.SOPClassUID, ExplicitVRLittleEndian),)))
        assert read_pdu(self.connection)[0] == ASSOCIATE_AC

    def send(self, *pdus: bytes) -> None:
        self.connection.sendall(b"".join(pdus))

    def fragment(self, start: int, end: int | None = None) -> bytes:
        return p_data(self.content[start:end], is_command=False, is_last=end is None, context=3)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return file_of(tmp_path, make_instance(stored=phantom(64, 48)))


def _parts(inbox: Inbox) -> list[Path]:
    return [path for path in inbox.files if path.suffix == ".part"]


def test_what_has_come_is_on_disk_before_the_rest_and_gone_when_the_sender_goes(inbox: Inbox, film: Path) -> None:
    modality = Modality(inbox.port, film)
    modality.send(modality.command, modality.fragment(0, 2000))

    wait_until(lambda: [path.stat().st_size > 2000 for path in _parts(inbox)] == [True])
    modality.connection.close()

    wait_until(lambda: not _parts(inbox))
    assert inbox.files == []
    assert inbox.events == []


@pytest.mark.parametrize("cuts", [(0,), (0, 100), (0, 1, 2, 2000)], ids=["one", "two", "four"])
def test_however_an_instance_is_cut_it_is_kept_as_it_was_sent(inbox: Inbox, film: Path, cuts: tuple[int, ...]) -> None:
    modality = Modality(inbox.port, film)
    ends = (*cuts[1:], None)

    modality.send(modality.command, *(modality.fragment(start, end) for start, end in zip(cuts, ends, strict=True)))

    assert read_pdu(modality.connection)[0] == P_DATA
    (instance,) = seen(inbox.database, dcmread(film).StudyInstanceUID).instances
    assert data_set_of(inbox.store.locate(instance.file)) == modality.content
    assert _parts(inbox) == []
    modality.connection.close()


def test_an_instance_that_comes_in_one_pdu_with_its_command_is_kept(inbox: Inbox, film: Path) -> None:
    modality = Modality(inbox.port, film)

    modality.send(pdu(P_DATA, modality.command[6:] + modality.fragment(0)[6:]))

    assert read_pdu(modality.connection)[0] == P_DATA
    (instance,) = seen(inbox.database, dcmread(film).StudyInstanceUID).instances
    assert data_set_of(inbox.store.locate(instance.file)) == modality.content
    modality.connection.close()


def test_a_message_within_another_one_ends_the_association_and_nothing_remains(inbox: Inbox, film: Path) -> None:
    modality = Modality(inbox.port, film)

    modality.send(modality.command, modality.fragment(0, 2000), p_data(ECHO, is_command=True, is_last=True))

    assert read_pdu(modality.connection)[0] == ABORT
    wait_until(lambda: inbox.files == [])
    modality.connection.close()


def test_memory_does_not_grow_with_the_instance(inbox: Inbox, tmp_path: Path) -> None:
    film = make_instance(stored=np.zeros((4096, 4096), np.uint16))
    path = file_of(tmp_path, film)
    assert path.stat().st_size > 32 * MEGABYTE
    push(inbox.port, file_of(tmp_path, make_instance(stored=phantom(64, 48))))
    modality = Modality(inbox.port, path)
    pieces = [modality.fragment(start, start + 60_000) for start in range(0, len(modality.content), 60_000)]
    pieces[-1] = modality.fragment((len(pieces) - 1) * 60_000)

    tracemalloc.start()
    try:
        modality.send(modality.command)
        for piece in pieces:
            modality.send(piece)
        assert read_pdu(modality.connection)[0] == P_DATA
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 8 * MEGABYTE
    modality.connection.close()

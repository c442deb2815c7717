"""The other ends of our associations: a modality that pushes, an archive that takes results, and nobody at all."""

import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from threading import Lock, Thread

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, _config, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import split_dataset
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext, build_context

from pacs_ai.dimse.requestor import as_requestor
from pacs_ai.settings import Node
from tests.builders import part10
from tests.ports import free_port
from tests.unit.peers import DCMTK

from .waiting import wait_until

HOST = "127.0.0.1"
# pynetdicom leaves the socket of a refused connection to the garbage collector.
connection_refused = pytest.mark.filterwarnings("ignore:unclosed <socket.socket:ResourceWarning")
VERIFICATION = "1.2.840.10008.1.1"
RESULTS = (
    Comprehensive3DSRStorage,
    SecondaryCaptureImageStorage,
    DigitalXRayImageStorageForPresentation,
    ComputedRadiographyImageStorage,
)


@dataclass
class Archive:
    """A Storage SCP that remembers what it was sent; `answers` says the status of the n-th C-STORE, from 0."""

    answers: Callable[[evt.Event, int], int] = lambda _event, _number: 0x0000
    ae_title: str = "ARCHIVE"
    port: int = 0
    received: list[tuple[str, str, bytes]] = field(default_factory=list)
    ae: AE | None = None
    _lock: Lock = field(default_factory=Lock)

    @property
    def node(self) -> Node:
        return Node(name=self.ae_title.lower(), ae_title=self.ae_title, host=HOST, port=self.port)

    @property
    def instances(self) -> list[str]:
        return [sop_instance_uid for _, sop_instance_uid, _ in self.received]

    def of_class(self, sop_class_uid: str) -> list[str]:
        return [instance for found, instance, _ in self.received if found == sop_class_uid]

    def most_associations(self, number: int) -> None:
        """More than so many at a time are rejected, for the moment."""
        assert self.ae is not None
        self.ae.maximum_associations = number

    def take(self, event: evt.Event) -> int:
        with self._lock:
            number = len(self.received)
            request = event.request
            content = event.encoded_dataset(include_meta=False)
            self.received.append((str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID), content))
        return self.answers(event, number)


def stop(ae: AE) -> None:
    """It no longer listens. An association that is about to end may: pynetdicom cannot abort one that is rejected."""
    for association in ae.active_associations:
        association.join(1)
    ae.shutdown()


@contextmanager
def listening(archive: Archive, *, contexts: Sequence[PresentationContext] | None = None) -> Iterator[Archive]:
    """The archive listens on a free port, or again on the one it had."""
    ae = AE(ae_title=archive.ae_title)
    ae.require_called_aet = True
    ae.supported_contexts = list(contexts or [build_context(found, ALL_TRANSFER_SYNTAXES) for found in RESULTS])
    ae.add_supported_context(VERIFICATION)
    server = ae.start_server((HOST, archive.port), block=False, evt_handlers=[(evt.EVT_C_STORE, archive.take)])
    archive.port, archive.ae = server.server_address[1], ae
    try:
        yield archive
    finally:
        stop(ae)


@contextmanager
def associated(
    port: int,
    contexts: Sequence[PresentationContext],
    *,
    calling: str = "MODALITY",
    called: str = "PACS_AI",
    negotiation: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
) -> Iterator[Association]:
    """A modality's association; it is released afterwards. Whether it was established is for the test to say."""
    _config.STORE_SEND_CHUNKED_DATASET = True  # the bytes of a file go out as they are, however damaged
    ae = AE(ae_title=calling)
    ae.acse_timeout = ae.dimse_timeout = 30
    association = ae.associate(HOST, port, contexts=list(contexts), ae_title=called, ext_neg=list(negotiation))
    if association.is_established:
        as_requestor(association)  # or its own thread might take an answer away from whoever waits for it
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def contexts_for(paths: Sequence[Path]) -> list[PresentationContext]:
    metas = [split_dataset(path)[0] for path in paths]
    pairs = {(meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID) for meta in metas}
    return [build_context(*pair) for pair in sorted(pairs)]


def push(port: int, *paths: Path) -> list[int]:
    """The statuses of one association that sends these files."""
    with associated(port, contexts_for(paths)) as association:
        assert association.is_established
        return [association.send_c_store(path).Status for path in paths]


def store_as(association: Association, path: Path, sop_instance_uid: str) -> int:
    """The status of a C-STORE whose command speaks of another instance than the file does."""
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID = association.accepted_contexts[0].abstract_syntax
    request.AffectedSOPInstanceUID = sop_instance_uid
    request.DataSet = BytesIO(data_set_of(path))
    association._reactor_checkpoint.clear()
    association.dimse.send_msg(request, association.accepted_contexts[0].context_id)
    _, answer = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    return int(answer.Status)


def file_of(folder: Path, instance: Dataset) -> Path:
    """The instance as a file."""
    path = folder / f"{instance.file_meta.MediaStorageSOPInstanceUID[-20:].replace('/', '_')}.dcm"
    path.write_bytes(part10(instance))
    return path


def data_set_of(path: Path) -> bytes:
    """What stands behind the file meta information."""
    return path.read_bytes()[split_dataset(path)[1] :]


def nobody() -> int:
    """A port of this machine on which nobody listens."""
    return free_port()


@contextmanager
def silent_peer() -> Iterator[int]:
    """The port of a peer that takes connections and never says a word; it hangs up at the end."""
    with closing(socket.create_server((HOST, 0))) as server:
        yield int(server.getsockname()[1])


@contextmanager
def falling_silent(archive: Archive, *, after: int) -> Iterator[Node]:
    """The archive behind a line that dies within one of its answers, without a word; `after` of them come whole."""
    with closing(socket.create_server((HOST, 0))) as server:
        thread = Thread(target=_relay, args=(server, archive.node.port, after))
        thread.start()
        yield archive.node.model_copy(update={"port": int(server.getsockname()[1])})
    thread.join()


def _relay(server: socket.socket, port: int, after: int) -> None:
    ours, _ = server.accept()
    with closing(ours), closing(socket.create_connection((HOST, port))) as theirs:
        back = Thread(target=_pass_back, args=(theirs, ours, after))
        back.start()
        with suppress(ConnectionError):
            while asked := ours.recv(1 << 16):
                theirs.sendall(asked)
        theirs.shutdown(socket.SHUT_RDWR)
        back.join()


def _pass_back(theirs: socket.socket, ours: socket.socket, after: int) -> None:
    for _ in range(after):
        ours.sendall(theirs.recv(1 << 16))
    ours.sendall(theirs.recv(1 << 16)[:8])
    while theirs.recv(1 << 16):
        pass


@contextmanager
def storescp(folder: Path, *contexts: tuple[UID, UID]) -> Iterator[tuple[Node, Callable[[], list[Dataset]]]]:
    """DCMTK's storescp, which accepts these pairs of SOP class and transfer syntax and nothing else."""
    configuration, received, port = folder / "profile.cfg", folder / "received", nobody()
    received.mkdir()
    configuration.write_text(_profile(contexts), encoding="ascii")
    command = ["-aet", "ARCHIVE", "-od", str(received), "-xf", str(configuration), "Results", str(port)]
    process = subprocess.Popen([DCMTK / "storescp", *command])
    node = Node(name="archive", ae_title="ARCHIVE", host=HOST, port=port)
    try:
        wait_until(lambda: _echoes(node))
        yield node, lambda: [dcmread(path) for path in sorted(received.iterdir())]
    finally:
        process.terminate()
        process.wait()


def _echoes(node: Node) -> bool:
    words = [DCMTK / "echoscu", "-aec", node.ae_title, node.host, str(node.port)]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def _profile(contexts: Sequence[tuple[UID, UID]]) -> str:
    pairs = [*contexts, (UID(VERIFICATION), ImplicitVRLittleEndian)]
    syntaxes = "".join(f"[S{number}]\nTransferSyntax1 = {syntax}\n" for number, (_, syntax) in enumerate(pairs, 1))
    classes = "".join(
        f"PresentationContext{number} = {sop_class}\\S{number}\n" for number, (sop_class, _) in enumerate(pairs, 1)
    )
    return (
        f"[[TransferSyntaxes]]\n{syntaxes}[[PresentationContexts]]\n[All]\n{classes}"
        "[[Profiles]]\n[Results]\nPresentationContexts = All\n"
    )

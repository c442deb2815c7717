"""TLS on the port and to nodes: who has no certificate of the right authority stays outside, and DCMTK gets in."""

import json
import os
import resource
import shutil
import socket
import ssl
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pacs_ai.dimse.contexts import TimeLimits
from pacs_ai.dimse.sender import Sender
from pacs_ai.errors import PeerUnreachable
from pacs_ai.settings import Node, NodeTls, TlsSettings
from pacs_ai.tls import Certificates
from tests.builders import make_instance, phantom
from tests.unit.peers import DCMTK

from .certificates import Authority, Pair
from .conftest import Inbox
from .peers import HOST, file_of, nobody
from .waiting import wait_until

# pynetdicom leaves the socket of a refused connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning")
one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
LIMITS = TimeLimits(connect=30, associate=30, answer=30)
OLD = {
    "TLS 1.1": (ssl.TLSVersion.TLSv1_1, "DEFAULT@SECLEVEL=0"),
    "no forward secrecy": (ssl.TLSVersion.TLSv1_2, "AES256-GCM-SHA384"),
    "CBC": (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES256-SHA384"),
}


@pytest.fixture(scope="module")
def ours(hospital: Authority) -> Pair:
    return hospital.sign("pacs-ai")


@pytest.fixture(scope="module")
def modality(hospital: Authority) -> Pair:
    return hospital.sign("modality")


@pytest.fixture
def inbox(open_inbox: Callable[..., Inbox], hospital: Authority, ours: Pair) -> Inbox:
    return open_inbox(tls=tls_of(hospital, ours))


def tls_of(authority: Authority, pair: Pair, **changes: object) -> dict[str, object]:
    files = {"certificate": pair.certificate, "key": pair.key, "ca": authority.certificate}
    return {name: str(path) for name, path in files.items()} | changes


def us(port: int, authority: Authority, pair: Pair | None, host: str = HOST, **changes: object) -> Node:
    own = {"certificate": str(pair.certificate), "key": str(pair.key)} if pair else {}
    tls = NodeTls(ca=str(authority.certificate), **own, **changes)
    return Node(name="us", ae_title="PACS_AI", host=host, port=port, tls=tls)


def echo(node: Node) -> str:
    return Sender("MODALITY", limits=LIMITS).echo(node)


def dcmtk(tool: str, port: int, *words: str | Path) -> int:
    command = [DCMTK / tool, "-to", "30", "-ta", "30", "-aec", "PACS_AI", *words[:-1], HOST, str(port), *words[-1:]]
    return subprocess.run([part for part in command if part != ""], capture_output=True, check=False).returncode


def shown(port: int, authority: Authority, pair: Pair) -> bytes:
    """The certificate that the port shows, DER."""
    with connected(port, authority, pair) as connection:
        return connection.getpeercert(binary_form=True) or b""


@contextmanager
def connected(port: int, authority: Authority, pair: Pair) -> Iterator[ssl.SSLSocket]:
    context = ssl.create_default_context(cafile=str(authority.certificate))
    context.load_cert_chain(pair.certificate, pair.key)
    with (
        socket.create_connection((HOST, port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as connection,
    ):
        yield connection


@one_database
def test_dcmtk_echoes_and_stores_with_a_certificate_of_the_authority(
    inbox: Inbox, hospital: Authority, modality: Pair, tmp_path: Path
) -> None:
    path = file_of(tmp_path, make_instance(stored=phantom(64, 48)))
    tls = ("+tls", modality.key, modality.certificate, "+cf", hospital.certificate)

    codes = [dcmtk("echoscu", inbox.port, *tls, ""), dcmtk("storescu", inbox.port, *tls, path)]

    assert codes == [0, 0]
    assert len(inbox.files) == 1


@one_database
def test_who_speaks_plain_has_no_certificate_or_one_of_a_stranger_stays_outside(
    inbox: Inbox, hospital: Authority, stranger: Authority, tmp_path: Path
) -> None:
    path, other = file_of(tmp_path, make_instance(stored=phantom(64, 48))), stranger.sign("other")

    plain = dcmtk("storescu", inbox.port, path)
    anonymous = dcmtk("storescu", inbox.port, "+tla", "+cf", hospital.certificate, path)
    strange = dcmtk("storescu", inbox.port, "+tls", other.key, other.certificate, "+cf", hospital.certificate, path)

    assert 0 not in (plain, anonymous, strange)
    assert inbox.files == []
    assert inbox.events == []


@one_database
def test_without_the_requirement_a_peer_needs_no_certificate_and_a_strangers_is_still_refused(
    open_inbox: Callable[..., Inbox], hospital: Authority, stranger: Authority, ours: Pair
) -> None:
    inbox = open_inbox(tls=tls_of(hospital, ours, require_client_certificate=False))

    assert echo(us(inbox.port, hospital, None)) == "0x0000"
    with pytest.raises(PeerUnreachable):
        echo(us(inbox.port, hospital, stranger.sign("other")))


@one_database
@pytest.mark.parametrize("name", OLD)
def test_what_the_profile_does_not_allow_finds_no_common_ground(
    name: str, inbox: Inbox, hospital: Authority, modality: Pair
) -> None:
    version, ciphers = OLD[name]
    context = ssl.create_default_context(cafile=str(hospital.certificate))
    context.load_cert_chain(modality.certificate, modality.key)
    context.set_ciphers(ciphers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python itself advises against TLS 1.1
        context.minimum_version = context.maximum_version = version

    with (
        socket.create_connection((HOST, inbox.port), timeout=30) as plain,
        pytest.raises(ssl.SSLError, match=r"(?i)alert|protocol|handshake"),
    ):
        context.wrap_socket(plain, server_hostname=HOST)


@one_database
def test_a_renewed_certificate_is_shown_without_a_restart(
    open_inbox: Callable[..., Inbox], hospital: Authority, modality: Pair, tmp_path: Path
) -> None:
    first, second = hospital.sign("first"), hospital.sign("second")
    inuse = Pair(tmp_path / "port.pem", tmp_path / "port.key")
    put(first, inuse)
    inbox = open_inbox(tls=tls_of(hospital, inuse))

    before = shown(inbox.port, hospital, modality)
    put_one(second.certificate, inuse.certificate)
    amid = shown(inbox.port, hospital, modality)
    put_one(second.key, inuse.key)
    after = shown(inbox.port, hospital, modality)

    assert (before, amid, after) == (der(first), der(first), der(second))


def test_files_that_could_not_be_read_for_a_moment_are_read_with_the_next_peer(
    hospital: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inuse = Pair(tmp_path / "port.pem", tmp_path / "port.key")
    put(hospital.sign("first"), inuse)
    certificates = Certificates(TlsSettings(**tls_of(hospital, inuse)))
    first = certificates.context()
    put(hospital.sign("second"), inuse)

    with no_more_files():
        amid = [certificates.context() for _ in range(2)]
    after = certificates.context()

    assert amid == [first, first]
    assert after is not first
    assert certificates.context() is after
    assert caplog.text.count("the certificates of before stay in use") == 1


@contextmanager
def no_more_files() -> Iterator[None]:
    """The process may open no file more than it has, as on a busy day."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@one_database
def test_an_authority_that_is_trusted_no_more_is_believed_no_more(
    open_inbox: Callable[..., Inbox], hospital: Authority, stranger: Authority, ours: Pair, tmp_path: Path
) -> None:
    trusted, guest = tmp_path / "ca.pem", stranger.sign("guest")
    put_one(stranger.certificate, trusted)
    inbox = open_inbox(tls=tls_of(hospital, ours) | {"ca": str(trusted)})

    before = echo(us(inbox.port, hospital, guest))
    put_one(hospital.certificate, trusted)

    assert before == "0x0000"
    with pytest.raises(PeerUnreachable):
        echo(us(inbox.port, hospital, guest))


@one_database
def test_peers_that_say_nothing_keep_nobody_waiting_for_their_handshake(
    inbox: Inbox, hospital: Authority, modality: Pair
) -> None:
    silent = [socket.create_connection((HOST, inbox.port)) for _ in range(20)]

    try:
        assert echo(us(inbox.port, hospital, modality)) == "0x0000"
    finally:
        for connection in silent:
            connection.close()


@one_database
def test_a_node_with_another_name_or_of_another_authority_is_not_spoken_to(
    open_inbox: Callable[..., Inbox], hospital: Authority, stranger: Authority, modality: Pair
) -> None:
    elsewhere = hospital.sign("elsewhere", host="DNS:pacs.example")
    inbox = open_inbox(tls=tls_of(hospital, elsewhere))

    with pytest.raises(PeerUnreachable, match="TLS failed: IP address mismatch"):
        echo(us(inbox.port, hospital, modality))
    with pytest.raises(PeerUnreachable, match="TLS failed: self-signed certificate in"):
        echo(us(inbox.port, stranger, modality))
    assert echo(us(inbox.port, hospital, modality, verify_hostname=False)) == "0x0000"


def test_results_go_to_dcmtk_over_tls(hospital: Authority, ours: Pair, tmp_path: Path) -> None:
    scp, port = hospital.sign("archive"), nobody()
    tls = ["+tls", scp.key, scp.certificate, "+cf", hospital.certificate]
    process = subprocess.Popen([DCMTK / "storescp", *tls, "-aet", "ARCHIVE", "-od", str(tmp_path), str(port)])
    node = us(port, hospital, ours).model_copy(update={"ae_title": "ARCHIVE"})

    try:
        wait_until(lambda: _listens(port))

        assert echo(node) == "0x0000"
        with pytest.raises(PeerUnreachable):
            echo(node.model_copy(update={"tls": None}))
    finally:
        process.terminate()
        process.wait()


def test_config_check_names_every_wrong_file_with_its_key(hospital: Authority, ours: Pair, tmp_path: Path) -> None:
    locked, settings = tmp_path / "locked.key", tmp_path / "pacs-ai.toml"
    words = ("openssl", "pkey", "-in", ours.key, "-aes256", "-passout", "pass:x", "-out", locked)
    subprocess.run(words, check=True, capture_output=True)
    node = '[[nodes]]\nname = "{0}"\nae_title = "A"\nhost = "a"\nport = 104\ntls = {{ {1} }}\n'
    settings.write_text(
        f'[dicom.tls]\ncertificate = "{ours.certificate}"\nkey = "{hospital.folder / "hospital.key"}"\nca = "x"\n'
        + node.format("a", f'certificate = "{ours.certificate}", key = "{locked}"')
        + node.format("b", 'ca = "missing.pem"')
        + node.format("c", f'ca = "{ours.key}"'),
        encoding="utf-8",
    )

    done = pacs_ai("config", "check", "-c", settings)

    assert done.returncode == 2
    assert [line.removeprefix(f"{settings}: ") for line in done.stderr.splitlines()] == [
        f"dicom.tls.certificate: {hospital.folder / 'hospital.key'} is not the key of {ours.certificate}",
        f"nodes.0.tls.certificate: the key {locked} has a passphrase; the service needs one without",
        "nodes.1.tls.ca: missing.pem cannot be read (No such file or directory)",
        f"nodes.2.tls.ca: {ours.key} holds no certificate in PEM (NO_CERTIFICATE_OR_CRL_FOUND)",
    ]


@one_database
def test_echo_takes_the_flags_of_dcmtk(inbox: Inbox, hospital: Authority, modality: Pair) -> None:
    there = ("echo", HOST, str(inbox.port), "-aec", "PACS_AI", "-to", "30", "-ta", "30")

    with_tls = pacs_ai(*there, "+tls", modality.key, modality.certificate, "+cf", hospital.certificate)
    without = pacs_ai(*there)

    assert (with_tls.returncode, without.returncode) == (0, 4), with_tls.stderr
    assert "Traceback" not in without.stderr


@one_database
def test_invented_studies_are_pushed_by_tls_to_a_node_of_the_settings(
    inbox: Inbox, hospital: Authority, modality: Pair, tmp_path: Path
) -> None:
    settings = tmp_path / "modality.toml"
    tls = {"ca": hospital.certificate, "certificate": modality.certificate, "key": modality.key}
    settings.write_text(
        f"""
        [[nodes]]
        name = "service"
        ae_title = "PACS_AI"
        host = "{HOST}"
        port = {inbox.port}
        [nodes.tls]
        """
        + "\n".join(f'{name} = "{path}"' for name, path in tls.items())
    )
    push = ("simulate", "-c", settings, "--burst", "2", "--size", "64x48", "--json")

    pushed = pacs_ai(*push, "--to", "service")
    without = pacs_ai(*push, "--to", f"PACS_AI@{HOST}:{inbox.port}")
    unknown = pacs_ai(*push, "--to", "archive")

    assert json.loads(pushed.stdout)["accepted"] == 2, pushed.stderr
    assert len(inbox.files) == 2
    assert (pushed.returncode, without.returncode, unknown.returncode) == (0, 4, 3)
    assert "there: service" in unknown.stderr


def pacs_ai(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "pacs_ai", *words], capture_output=True, text=True, check=False)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def put(source: Pair, target: Pair) -> None:
    put_one(source.certificate, target.certificate)
    put_one(source.key, target.key)


def put_one(source: Path, target: Path) -> None:
    """The file is another one, whole, as a program that renews certificates leaves it."""
    shutil.copyfile(source, f"{target}.new")
    os.replace(f"{target}.new", target)  # noqa: PTH105 - as such programs do


def der(pair: Pair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair.certificate.read_text(encoding="ascii"))

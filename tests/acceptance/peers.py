"""Real peers, started for a test: Orthanc as the PACS, and the service itself as a process of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

from pydicom.dataset import Dataset

from tests.builders import part10
from tests.ports import free_port

ORTHANC = "/usr/sbin/Orthanc"
DICOMWEB = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
REPORT = "1.2.840.10008.5.1.4.1.1.88.34"
CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def wait_until(claim: Callable[[], bool], *, seconds: float = 300.0) -> None:
    """The claim is true; it is looked at seldom where a look takes long, so as not to slow down what is waited for."""
    begun = time.monotonic()
    while True:
        looked = time.monotonic()
        if claim():
            return
        now = time.monotonic()
        assert now < begun + seconds, f"it did not come true in {seconds:.0f} s"
        Event().wait(max(0.05, 2 * (now - looked)))


@dataclass
class Orthanc:
    """The open-source PACS from Debian."""

    folder: Path
    plugins: tuple[str, ...] = ()
    dicom_port: int = field(default_factory=free_port)
    http_port: int = field(default_factory=free_port)
    modalities: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        configuration = {
            "StorageDirectory": str(self.folder / "storage"),
            "DicomAet": "ORTHANC",
            "DicomPort": self.dicom_port,
            "HttpPort": self.http_port,
            "DicomAlwaysAllowStore": True,
            "DicomAlwaysAllowFind": True,
            "OverwriteInstances": False,
            "Plugins": self.plugins,
            "DicomModalities": self.modalities,
        }
        path = self.folder / "orthanc.json"
        path.write_text(json.dumps(configuration))
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([ORTHANC, str(path)], stdout=log, stderr=log)
        wait_until(self._is_up, seconds=60)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()

    def _is_up(self) -> bool:
        try:
            self.get("/system")
        except (urllib.error.URLError, ConnectionError):
            return False
        return True

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=60) as answer:
            return json.load(answer)

    def get_bytes(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=60) as answer:
            return bytes(answer.read())

    def post(self, path: str, asked: object) -> Any:
        address = f"http://127.0.0.1:{self.http_port}{path}"
        with urllib.request.urlopen(address, data=json.dumps(asked).encode(), timeout=60) as answer:
            return json.load(answer)

    def put(self, instance: Dataset) -> None:
        """The archive has this instance, over HTTP in the transfer syntax that it has."""
        address = f"http://127.0.0.1:{self.http_port}/instances"
        with urllib.request.urlopen(address, data=part10(instance), timeout=60) as answer:
            assert json.load(answer)["Status"] == "Success"

    def count(self) -> int:
        return int(self.get("/statistics")["CountInstances"])

    def instances(self) -> list[dict[str, Any]]:
        """Every instance with its SOP class and study."""
        found = []
        for identity in self.get("/instances"):
            tags = self.get(f"/instances/{identity}/simplified-tags")
            found.append({"id": identity, **tags})
        return found

    def of_class(self, sop_class: str) -> list[dict[str, Any]]:
        return [item for item in self.instances() if item["SOPClassUID"] == sop_class]


@dataclass
class Serve:
    """`pacs-ai serve` as a process."""

    folder: Path
    nodes: tuple[tuple[str, int], ...] = ()
    port: int = field(default_factory=free_port)
    stable_after: float = 1.0
    proof: str = "none"
    process: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> Path:
        path = self.folder / "pacs-ai.toml"
        nodes = "".join(
            f'[[nodes]]\nname = "{name.lower()}"\nae_title = "{name}"\nhost = "127.0.0.1"\nport = {port}\n'
            f'proof = "{self.proof}"\n'
            for name, port in self.nodes
        )
        path.write_text(
            f'data = "{self.folder / "data"}"\n[dicom]\nhost = "127.0.0.1"\nport = {self.port}\n'
            "[http]\nenabled = false\n"
            f"[ingest]\nstable_after = {self.stable_after}\ndisk_reserve_gb = 0.1\n"
            f"[delivery]\nfirst_retry_seconds = 0.5\nmax_retry_seconds = 2\n{nodes}"
        )
        return path

    def start(self) -> float:
        """It listens; returns how many seconds that took."""
        begun = time.monotonic()
        with (self.folder / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "serve", "-c", str(self.config)], stdout=log, stderr=log, start_new_session=True
            )
        wait_until(self._listens, seconds=60)
        return time.monotonic() - begun

    def _listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "serve.log").read_text()[-3000:]
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def wait_for_log(self, words: str) -> None:
        """The service has said so in its log."""
        wait_until(lambda: words in (self.folder / "serve.log").read_text())

    def peak_megabytes(self) -> float:
        """The largest resident set so far."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    def kill(self) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=120)

    def ask(self, *words: str) -> list[dict[str, Any]]:
        """The JSON lines of a query."""
        done = run_command(*words, "-c", str(self.config), "--json")
        return [json.loads(line) for line in done.stdout.splitlines()]


COMMAND = (sys.executable, "-m", "pacs_ai")


def run_command(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """`pacs-ai` with these words, which must succeed."""
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def storescu(port: int, *paths: Path | str, called: str = "PACS_AI") -> subprocess.CompletedProcess[str]:
    """DCMTK's storescu over one association; each file must lie in a syntax that it proposes (uncompressed)."""
    words = ["/usr/bin/storescu", "-aec", called, "+sd", "-R", "127.0.0.1", str(port), *map(str, paths)]
    return subprocess.run(words, capture_output=True, text=True, check=False)

"""The power is cut while instances come in: what was answered with 0x0000 is there and intact.

The file system lies on a device of our own. What was written and not synced is in the memory of the kernel alone, so
that a copy of the device at that moment is what a machine finds when it starts again.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pacs_ai_storage.database import Database, sqlite_url
from pacs_ai_storage.instances import Condition, InstanceStore
from pacs_ai_storage.tampering import verify
from pydicom import dcmread

from tests.builders import make_instance, phantom

from .peers import associated, contexts_for, file_of
from .studies import actions, seen

pytestmark = pytest.mark.timeout(120)
MEGABYTE = 1 << 20
RECEIVER = """
import sys
from pathlib import Path
from pacs_ai.dimse.listener import listen
from pacs_ai.settings import DicomSettings
from pacs_ai_storage.database import Database, sqlite_url
from pacs_ai_storage.instances import InstanceStore
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.migration import migrate

data = Path(sys.argv[1])
store = InstanceStore(data / "instances")
database = Database(sqlite_url(data))
migrate(database)
listener = listen(DicomSettings(host="127.0.0.1"), store, Ledger(database), port=0)
print(listener.port, flush=True)
sys.stdin.read()
"""


@contextmanager
def mounted(image: Path, folder: Path) -> Iterator[Path]:
    """The journal of the file system is written out by the clock at the earliest after the test."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "ext4", "-o", "loop,commit=600", image, folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def receiving(data: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    words = [sys.executable, "-c", RECEIVER, str(data)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdout is not None
        try:
            yield receiver, int(receiver.stdout.readline())
        finally:
            receiver.kill()


def test_what_was_answered_with_success_outlives_a_power_cut(tmp_path: Path) -> None:
    films = [file_of(tmp_path, make_instance(stored=phantom(256, 192))) for _ in range(8)]
    disk, copy = tmp_path / "disk", tmp_path / "copy"
    with disk.open("wb") as file:
        file.truncate(64 * MEGABYTE)
    subprocess.run(["mkfs.ext4", "-q", disk], check=True)

    with mounted(disk, tmp_path / "before") as before, receiving(before / "data") as (receiver, port):
        (before / "never synced").write_bytes(b"lost" * 1000)
        with associated(port, contexts_for(films)) as association:
            answered = [path for path in films if association.send_c_store(path).Status == 0x0000]
            (before / "never synced either").write_bytes(b"lost" * 1000)
            receiver.kill()
            shutil.copyfile(disk, copy)
            association.abort()

    with mounted(copy, tmp_path / "after") as after:
        lost = [name for name in ("never synced", "never synced either") if not _is_whole(after / name)]
        store, database = InstanceStore(after / "data" / "instances"), Database(sqlite_url(after / "data"))
        for path in answered:
            sent = dcmread(path)
            (instance,) = seen(database, sent.StudyInstanceUID).instances
            assert store.condition(instance.file) is Condition.INTACT
            assert dcmread(store.locate(instance.file)).PixelData == sent.PixelData
            assert actions(database, sent.StudyInstanceUID) == [("receive", "kept")]
        with database.read() as connection:
            assert verify(connection, None).defect is None
        database.close()

    assert len(answered) == len(films)
    assert lost == ["never synced", "never synced either"]  # or the copy shows more than a power cut leaves


def _is_whole(path: Path) -> bool:
    return path.is_file() and path.read_bytes() == b"lost" * 1000

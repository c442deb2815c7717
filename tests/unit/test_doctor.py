"""What `doctor` says of this machine: each check with what is, and with what must not be."""

import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from pacs_ai_storage import audit
from pacs_ai_storage.database import SQLITE_NAME, Database, sqlite_url
from pacs_ai_storage.migration import alembic_configuration, migrate
from pacs_ai_storage.records import AuditEvent
from pacs_ai_storage.schema import NEWEST_REVISION
from pydicom.uid import MPEG2MPML, UID, JPEG2000Lossless
from sqlalchemy import text

from pacs_ai.doctor.check import Check, Verdict, exit_code, failed, ok, warning
from pacs_ai.doctor.clock import check_clock, check_time, check_zone
from pacs_ai.doctor.codecs import check_codecs
from pacs_ai.doctor.diagnosis import diagnose
from pacs_ai.doctor.disk import check_disk, check_file_system, check_room, file_system
from pacs_ai.doctor.ledger import check_ledger
from pacs_ai.doctor.network import check_model
from pacs_ai.imaging.codec_trial import try_out, untried
from pacs_ai.imaging.decoders import DECODABLE
from pacs_ai.settings import ModelSettings, Settings

from .networks import OFFSET, SIDE, WEIGHT, mean_network, model_folder

NOW = datetime(2026, 1, 5, 10, 30, tzinfo=UTC)
GOOD = ok("a", "is well")
ODD = warning("b", "is odd", "do this")
BAD = failed("c", "is bad", "do that")
UNREACHED = failed("d", "is away", "look", is_unreachable_node=True)


def named(checks: Iterable[Check], name: str) -> Check:
    (found,) = [check for check in checks if check.name == name]
    return found


@pytest.mark.parametrize(
    ("checks", "code"),
    [((), 0), ((GOOD,), 0), ((GOOD, ODD), 0), ((GOOD, BAD), 1), ((UNREACHED, GOOD), 4), ((BAD, UNREACHED, BAD), 4)],
)
def test_the_exit_code_says_whether_something_failed_and_whether_it_is_a_node(
    checks: tuple[Check, ...], code: int
) -> None:
    assert exit_code(checks) == code


@pytest.mark.parametrize(
    ("free", "verdict"), [(100, Verdict.OK), (10, Verdict.OK), (9.9, Verdict.WARNING), (5, Verdict.FAILED)]
)
def test_room_is_measured_against_the_reserve(free: float, verdict: Verdict) -> None:
    check = check_room(free, 5)

    assert check.verdict is verdict
    assert bool(check.advice) is (verdict is not Verdict.OK)


def test_without_a_reserve_only_a_full_disk_fails() -> None:
    assert [check_room(free, 0).verdict for free in (0.1, 0)] == [Verdict.OK, Verdict.FAILED]


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [("ext4", Verdict.OK), (None, Verdict.OK), ("nfs4", Verdict.WARNING), ("tmpfs", Verdict.WARNING)],
)
def test_network_and_memory_are_no_place_for_the_data(kind: str | None, verdict: Verdict) -> None:
    assert check_file_system(kind).verdict is verdict


def test_the_file_system_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    lines = ("/dev/a / ext4 rw 0 0", "server:/x /data nfs4 rw 0 0", "/dev/b /data/my\\040films xfs rw 0 0")
    mounts.write_text("\n".join(lines), encoding="utf-8")

    found = [file_system(Path(folder), mounts) for folder in ("/var", "/data/x", "/data/my films/y", "/database")]

    assert found == ["ext4", "nfs4", "xfs", "ext4"]
    assert file_system(Path("/var"), tmp_path / "none") is None


def test_a_data_folder_is_written_to_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)

    checks = list(check_disk(tmp_path, 0))

    assert named(checks, "disk: writing").verdict is not Verdict.FAILED
    assert named(checks, "disk: access").verdict is Verdict.OK
    assert list(tmp_path.iterdir()) == []


def test_a_data_folder_that_is_not_there_yet_is_not_created(tmp_path: Path) -> None:
    checks = list(check_disk(tmp_path / "a" / "b", 0))

    assert named(checks, "disk: data folder").verdict is Verdict.OK
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_data_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"")

    check = named(check_disk(tmp_path / "data", 0), "disk: data folder")

    assert (check.verdict, "is not a folder" in check.detail) == (Verdict.FAILED, True)


def test_a_folder_that_cannot_be_written_to_is_told() -> None:
    check = named(check_disk(Path("/proc"), 0), "disk: writing")

    assert check.verdict is Verdict.FAILED
    assert "/proc cannot be written to" in check.detail


def test_a_data_folder_that_others_may_open_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)

    check = named(check_disk(tmp_path, 0), "disk: access")

    assert check.verdict is Verdict.WARNING
    assert f"chmod 700 {tmp_path}" in check.advice


def test_a_clock_after_all_that_has_happened_is_well() -> None:
    assert check_clock(NOW, ("the past", NOW - timedelta(days=1)), ("nothing", None)).verdict is Verdict.OK


def test_a_clock_before_something_that_has_happened_fails_and_names_it() -> None:
    check = check_clock(NOW, ("the newest event of the audit log", NOW + timedelta(minutes=2)))

    assert check.verdict is Verdict.FAILED
    assert check.detail.endswith("is 120 s before the newest event of the audit log")


def test_the_newest_file_of_the_data_folder_binds_the_clock(tmp_path: Path) -> None:
    now, earlier = datetime.now(UTC), datetime(2001, 1, 1, tzinfo=UTC)

    assert named(check_time(now, tmp_path, None), "clock").verdict is Verdict.OK
    assert named(check_time(now, tmp_path / "none", now + timedelta(hours=1)), "clock").verdict is Verdict.FAILED
    assert "the newest file" in named(check_time(earlier, tmp_path, None), "clock").detail


def test_the_clock_is_read_when_it_is_its_turn(tmp_path: Path) -> None:
    clock = [datetime.now(UTC)]
    checks = []

    for check in diagnose(Settings(data=tmp_path), lambda: clock[-1]):
        checks.append(check)
        if check.name == "disk: access":  # nodes that do not answer have cost a minute; then the folder was written to
            clock.append(clock[-1] + timedelta(minutes=1))
            os.utime(tmp_path, (clock[-1].timestamp(), clock[-1].timestamp()))
        if check.name == "clock":
            break

    assert named(checks, "clock").verdict is Verdict.OK


@pytest.mark.parametrize("zone", ["Europe/Berlin", ":Asia/Tokyo", "UTC", "CET-1CEST"])
def test_a_time_zone_that_is_known_is_well(zone: str) -> None:
    assert check_zone(zone).verdict is Verdict.OK


def test_a_time_zone_that_is_unknown_or_not_set_is_told(tmp_path: Path) -> None:
    assert check_zone("Europe/Atlantis").verdict is Verdict.WARNING
    assert check_zone(None, tmp_path / "localtime").verdict is Verdict.WARNING
    assert check_zone(None, tmp_path).verdict is Verdict.OK


@pytest.mark.parametrize("syntax", DECODABLE, ids=lambda syntax: syntax.keyword)
def test_each_accepted_syntax_is_tried_out_and_decoded(syntax: UID) -> None:
    assert try_out(syntax) is None


def test_no_accepted_syntax_is_left_untried() -> None:
    assert untried() == set()


def test_a_syntax_that_cannot_be_decoded_says_why() -> None:
    assert str(try_out(MPEG2MPML)).startswith(("ValueError", "UndecodablePixels"))


def test_a_broken_codec_has_a_line_of_its_own_and_the_others_are_counted() -> None:
    checks = list(check_codecs(lambda syntax: "no such library" if syntax == JPEG2000Lossless else None))

    assert [(check.name, check.verdict) for check in checks] == [
        ("codecs", Verdict.OK),
        (f"codec {JPEG2000Lossless.name}", Verdict.FAILED),
    ]
    assert checks[0].detail.startswith(f"{len(DECODABLE) - 1} of {len(DECODABLE)} ")


def test_a_network_computes_what_its_card_says(tmp_path: Path) -> None:
    path = mean_network(tmp_path / "net.onnx", ["n", SIDE, SIDE, 1])
    folder = model_folder(path, examples={"logits": [WEIGHT * 0.5 + OFFSET]})

    checks = list(check_model(ModelSettings(path=str(folder))))

    assert [check.verdict for check in checks] == [Verdict.OK, Verdict.OK]
    assert "1 example outputs as on its card" in checks[1].detail


def test_a_network_that_computes_something_else_fails(tmp_path: Path) -> None:
    path = mean_network(tmp_path / "net.onnx", ["n", SIDE, SIDE, 1])
    folder = model_folder(path, examples={"logits": [7.0]})

    checks = list(check_model(ModelSettings(path=str(folder))))

    assert [check.verdict for check in checks] == [Verdict.OK, Verdict.FAILED]
    assert "differ" in checks[1].detail


def test_a_model_file_that_is_not_the_cards_fails_and_names_the_setting(tmp_path: Path) -> None:
    path = mean_network(tmp_path / "net.onnx", ["n", SIDE, SIDE, 1])
    folder = model_folder(path)
    path.write_bytes(b"another network")

    (check,) = check_model(ModelSettings(path=str(folder)))

    assert check.verdict is Verdict.FAILED
    assert "model.path" in check.advice


def test_reading_outside_of_the_population_is_told(tmp_path: Path) -> None:
    settings = ModelSettings(path=str(tmp_path / "none"), allow_outside_population=True)

    assert [check.verdict for check in check_model(settings)] == [Verdict.FAILED, Verdict.WARNING]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The settings of a service whose database is at this version's schema and holds one event."""
    settings = Settings(data=tmp_path / "data")
    settings.data.mkdir()
    database = Database(sqlite_url(settings.data))
    migrate(database)
    with database.change() as connection:
        audit.append(connection, AuditEvent(at=NOW, actor="service", action="start"))
    database.close()
    return settings


def test_a_database_of_this_version_is_well_and_its_newest_event_is_known(settings: Settings) -> None:
    ledger = check_ledger(settings)

    assert (ledger.check.verdict, ledger.check.detail) == (
        Verdict.OK,
        f"schema {NEWEST_REVISION}; SQLite, journal_mode=wal, synchronous=2",
    )
    assert ledger.found is not None
    assert ledger.found.newest_event_at == NOW


def test_a_database_that_is_not_there_yet_is_not_created(tmp_path: Path) -> None:
    ledger = check_ledger(Settings(data=tmp_path))

    assert (ledger.check.verdict, ledger.found) == (Verdict.OK, None)
    assert list(tmp_path.iterdir()) == []


def test_a_database_of_an_older_version_is_told_with_the_command(settings: Settings) -> None:
    database, configuration = Database(sqlite_url(settings.data)), alembic_configuration()
    with database.change() as connection:
        configuration.attributes["connection"] = connection
        command.downgrade(configuration, "0001")
    database.close()

    check = check_ledger(settings).check

    assert check.verdict is Verdict.WARNING
    assert "pacs-ai migrate" in check.advice


def test_a_database_of_a_newer_version_fails(settings: Settings) -> None:
    database = Database(sqlite_url(settings.data))
    with database.change() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()

    check = check_ledger(settings).check

    assert check.verdict is Verdict.FAILED
    assert "newer version" in check.detail


def test_a_file_that_is_no_database_fails(tmp_path: Path) -> None:
    (tmp_path / SQLITE_NAME).write_bytes(b"not a database" * 100)

    check = check_ledger(Settings(data=tmp_path)).check

    assert check.verdict is Verdict.FAILED
    assert "file is not a database" in check.detail


def test_a_url_that_leads_nowhere_fails_and_is_not_repeated(tmp_path: Path) -> None:
    url = "sqlite:////no-such-folder/s3cret"

    check = check_ledger(Settings(data=tmp_path, audit={"url": url})).check

    assert check.verdict is Verdict.FAILED
    assert "audit.url" in check.advice
    assert "s3cret" not in check.detail + check.advice

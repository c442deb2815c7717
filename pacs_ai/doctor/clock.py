"""Whether the clock can be right: it dates results and orders the audit log."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pacs_ai

from .check import Check, failed, ok, warning

_TOLERANCE = timedelta(seconds=2)
_LOCAL_TIME = Path("/etc/localtime")
_POSIX_ZONE = re.compile(r"[A-Za-z]{3,}[+-]?[0-9].*")  # such as CET-1CEST (POSIX.1, 8.3)


def check_clock(now: datetime, *known: tuple[str, datetime | None]) -> Check:
    """What is known to have happened lies behind us; DICOM has no service that would tell a node's time."""
    shown = f"{now.astimezone():%Y-%m-%d %H:%M:%S %z}"
    for what, at in known:
        if at is not None and at > now + _TOLERANCE:
            behind = at - now
            detail = f"{shown} is {behind.total_seconds():.0f} s before {what}"
            return failed("clock", detail, "set the clock, and let NTP keep it (timedatectl set-ntp true)")
    return ok("clock", f"{shown}, after all that is known to have happened")


def check_zone(named: str | None, local_time: Path = _LOCAL_TIME) -> Check:
    """Dates in results are of the local zone."""
    if named:
        if not _is_zone(named.removeprefix(":")):
            detail = f"TZ={named} is not known here: it counts as UTC"
            return warning("time zone", detail, "set TZ to a name such as Europe/Berlin")
        return ok("time zone", f"TZ={named}")
    if local_time.exists():
        return ok("time zone", f"{datetime.now(UTC).astimezone():%Z %z}")
    return warning("time zone", "none is set: dates in results are of UTC", "timedatectl set-timezone, or set TZ")


def _is_zone(named: str) -> bool:
    if _POSIX_ZONE.fullmatch(named):
        return True
    try:
        return bool(ZoneInfo(named))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False


def check_time(now: datetime, data: Path, newest_event_at: datetime | None) -> Iterator[Check]:
    """Both, from what lies in the data folder and the audit log."""
    yield check_clock(
        now,
        ("the newest event of the audit log", newest_event_at),
        ("the newest file in the data folder", _newest(data, data / "instances")),
        ("the installation of this software", _newest(Path(pacs_ai.__file__))),
    )
    yield check_zone(os.environ.get("TZ"))


def _newest(*paths: Path) -> datetime | None:
    """When the youngest of them was written; None where none is there or can be asked for."""
    times = []
    for path in paths:
        with suppress(OSError):
            times.append(datetime.fromtimestamp(path.stat().st_mtime, UTC))
    return max(times, default=None)

"""Whether the database answers, has this version's schema, and keeps what it commits."""

from dataclasses import dataclass
from pathlib import Path

from pacs_ai_storage.database import SQLITE_NAME, LedgerUnavailable, sqlite_url
from pacs_ai_storage.examination import Examination, examine
from pacs_ai_storage.pairing import mismatch
from pacs_ai_storage.schema import NEWEST_REVISION

from pacs_ai.settings import Settings

from .check import Check, failed, ok, warning

_NAME = "database"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerCheck:
    """The answer, and what was found; None where there is no database."""

    check: Check
    found: Examination | None = None


def check_ledger(settings: Settings) -> LedgerCheck:
    """A database that is not there yet is not created."""
    try:
        return _check(settings)
    except OSError as error:
        advice = "use the account that `pacs-ai serve` runs under"
        return LedgerCheck(check=failed(_NAME, f"`data` cannot be looked into ({error.strerror})", advice))


def _check(settings: Settings) -> LedgerCheck:
    if not settings.audit.url and not (settings.data / SQLITE_NAME).is_file():
        check = _judge_pair(None, settings.data) or ok(_NAME, "not there yet: `pacs-ai serve` creates it")
        return LedgerCheck(check=check)
    url = settings.audit.url or sqlite_url(settings.data)
    try:
        found = examine(url, tuple(node.name for node in settings.nodes))
    except LedgerUnavailable as error:
        advice = "check audit.url and that the server runs" if settings.audit.url else "check the file in `data`"
        return LedgerCheck(check=failed(_NAME, str(error), advice))
    return LedgerCheck(check=_judge(found, settings.data), found=found)


def _judge(found: Examination, data: Path) -> Check:
    schema = f"schema {found.revision or 'none'}"
    if found.revision is not None and found.revision > NEWEST_REVISION:
        advice = "install the version that wrote it, or restore a copy from before the upgrade"
        return failed(_NAME, f"{schema} is of a newer version, this one knows {NEWEST_REVISION}", advice)
    if not found.is_durable:
        advice = "a commit must be on disk when it returns: use a local disk, and do not switch fsync off"
        return failed(_NAME, f"{schema}; {found.durability}: a power cut may lose what was answered", advice)
    if found.revision != NEWEST_REVISION:
        advice = "`pacs-ai migrate`, or `pacs-ai serve`, which does it at start"
        return warning(_NAME, f"{schema}, this version needs {NEWEST_REVISION}; {found.durability}", advice)
    return _judge_pair(found.data_folder, data) or ok(_NAME, f"{schema}; {found.durability}")


def _judge_pair(mark: str | None, data: Path) -> Check | None:
    problem = mismatch(mark, data)
    return None if problem is None else failed(_NAME, problem.what, problem.advice)

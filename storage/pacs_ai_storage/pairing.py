"""A ledger and a data folder belong together: the ledger tells of the files of that folder and of no other.

Two services that share a ledger would claim each other's studies and find none of the files; a folder under another
ledger would lose its files, because that ledger knows none of them.
"""

import uuid
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from .database import Database
from .durable import sync_folder, write_once
from .schema import data_folder

MARK_NAME = "ledger-id"
_DRAFT_NAME = "ledger-id.new"


class NotPaired(Exception):
    """The ledger tells of the files of another folder, or the folder holds those of another ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """What is wrong with a ledger and a folder that do not belong together, and what to do."""

    what: str
    advice: str


def pair(database: Database, folder: Path) -> None:
    """The ledger and the folder carry the same mark, new on both where neither had one; raises NotPaired.

    It may end at any moment and be begun again: the folder is marked for good when the ledger is.
    """
    mark, draft = folder / MARK_NAME, folder / _DRAFT_NAME
    if mark_of(database) is None and not mark.exists():
        write_once(draft, uuid.uuid4().hex.encode())
        _mark(database, draft.read_text(encoding="ascii"))
    if draft.exists() and draft.read_text(encoding="ascii") == mark_of(database):
        draft.replace(mark)
        sync_folder(folder)
    problem = mismatch(mark_of(database), folder)
    if problem is not None:
        message = f"{problem.what}: {problem.advice}"
        raise NotPaired(message)


def mark_of(database: Database) -> str | None:
    """The mark of the folder whose files the ledger tells of; None while no service has begun with it."""
    with database.read() as connection:
        return connection.scalar(select(data_folder.c.mark))


def mismatch(mark: str | None, folder: Path) -> Mismatch | None:
    """Whether a ledger of this mark, or a new one, goes with this folder; None where it does."""
    path = (folder / MARK_NAME).resolve()
    found = path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else None
    if mark == found:
        return None
    if mark is None:
        return Mismatch(
            what=f"{path.parent} holds the files of another ledger than this one, which is new",
            advice="name that ledger in audit.url, or another folder in `data`; only if that ledger is lost, "
            f"remove {path}, and copy the files first: those that the new ledger does not know go after two hours",
        )
    return Mismatch(
        what=f"the ledger tells of the files of another folder than {path.parent}",
        advice="name that folder in `data`, or give this service a ledger of its own (audit.url); only if that folder "
        f"is lost, write {mark} into {path}: studies whose files are gone then fail with that reason",
    )


def _mark(database: Database, mark: str) -> None:
    try:
        with database.change() as connection:
            connection.execute(insert(data_folder).values(id=1, mark=mark))
    except IntegrityError:
        pass  # another service was first

"""A study is read again because somebody says so."""

from datetime import datetime

from pacs_ai_storage.ledger import Ledger

from .errors import NotInThatState


def requeue(ledger: Ledger, study_instance_uid: str, now: datetime, *, force: bool) -> None:
    """A FAILED study waits to be read, with `force` any that was read; raises NotInThatState, saying why."""
    if ledger.requeue(study_instance_uid, now) or (force and ledger.read_again(study_instance_uid, now)):
        return
    why = (
        "is being received or read, or no instance of it is kept"
        if force
        else "is not FAILED; to force it reads any study again"
    )
    message = f"study {study_instance_uid} {why}"
    raise NotInThatState(message)

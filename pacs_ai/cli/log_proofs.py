"""`audit verify`, `audit export`, `audit key` and `audit prune`: what proves that the log is as it was written."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pacs_ai_storage import audit
from pacs_ai_storage.database import Database
from pacs_ai_storage.following import REPOSITORY

from pacs_ai.errors import PacsAiError, TamperedLog, WrongUsage
from pacs_ai.questions import must_be_in_order
from pacs_ai.settings import Settings
from pacs_ai.stores import make_data_folder, now

from .events import Format, print_whole_events
from .options import ConfigOption, JsonOption, settings_of
from .output import print_json
from .stores import existing_database
from .times import Time, instant

if TYPE_CHECKING:
    from pacs_ai_storage.signing import SignedLink, SigningKey


def add_to(log: typer.Typer) -> None:
    """The verbs are part of the group."""
    log.command("verify")(audit_verify)
    log.command("export")(audit_export)
    log.command("key")(audit_key)
    log.command("prune")(audit_prune)


def audit_verify(
    config: ConfigOption = None,
    head: Annotated[list[Path] | None, typer.Option(help="A signed head that was exported; may be repeated.")] = None,
    key: Annotated[Path | None, typer.Option(help="The public key (`audit key`); else the one in `data`.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Every event is as it was written, or the first that is not is named (exit code 1)."""
    from pacs_ai_storage.signing import known_public_key, read_head, read_public_key  # noqa: PLC0415 - queries do not wait for cryptography
    from pacs_ai_storage.tampering import verify  # noqa: PLC0415

    settings = settings_of(config)
    with existing_database(settings) as database, _usable(WrongUsage), database.read() as connection:
        public_key = read_public_key(key) if key else known_public_key(settings.data)
        verdict = verify(connection, public_key, [read_head(path) for path in head or ()])
    if as_json:
        defect = asdict(verdict.defect) if verdict.defect else None
        print_json([{"verified": verdict.events, "last": asdict(verdict.last), "defect": defect}])
    if verdict.defect:
        raise TamperedLog(str(verdict.defect))
    if not as_json:
        since = f", after an anchor at event {verdict.start.sequence}" if verdict.start.sequence else ""
        typer.echo(f"{verdict.events} events as they were written{since}; the last has {verdict.last.sha256}")


def audit_export(
    config: ConfigOption = None,
    head: Annotated[Path | None, typer.Option(help="Write the signed head to this file, and no events.")] = None,
    form: Annotated[Format, typer.Option("--format", help="Of the events, on stdout.")] = Format.JSON,
    since: Time = None,
    until: Time = None,
) -> None:
    """The signed head in a file, or every event with its hashes on stdout, oldest first."""
    settings = settings_of(config)
    if head is not None:
        _export_head(settings, head)
        return
    with existing_database(settings) as database, database.read() as connection:
        wanted = audit.AuditFilter(since=instant(since), until=instant(until))
        must_be_in_order(wanted.since, wanted.until)
        print_whole_events(audit.everything(connection, wanted), form)


def _export_head(settings: Settings, path: Path) -> None:
    from pacs_ai_storage.signing import Purpose, write_head  # noqa: PLC0415 - queries do not wait for cryptography
    from pacs_ai_storage.tampering import ManyEnds, current_head  # noqa: PLC0415

    with existing_database(settings) as database:
        key = _signing_key(settings, database)
        try:
            with database.read() as connection:
                link = current_head(connection)
        except ManyEnds as error:
            raise TamperedLog(str(error)) from error
    signed: SignedLink = key.sign(Purpose.HEAD, link, now())
    try:
        write_head(signed, path)
    except OSError as error:
        message = f"{path}: the signed head cannot be written ({error.strerror}); name a file in a folder that is there"
        raise PacsAiError(message) from error
    typer.echo(f"event {signed.sequence}, {signed.sha256}, signed in {path}", err=True)


def audit_key(config: ConfigOption = None) -> None:
    """The public key of this place's log, on stdout; the key is made when there is none."""
    settings = settings_of(config)
    with existing_database(settings) as database:  # a key without a log proves nothing
        sys.stdout.write(_signing_key(settings, database).public_pem())


def audit_prune(config: ConfigOption = None, before: Time = None) -> None:
    """Events older than `audit.keep_days`, or than --before, are removed; a signed anchor stays in their place.

    What the repository of `audit.atna` has not had stays.
    """
    from pacs_ai_storage.retention import kept_for, prune  # noqa: PLC0415 - queries do not wait for cryptography

    settings = settings_of(config)
    youngest = now() - timedelta(days=settings.audit.keep_days)
    end: datetime = instant(before) or youngest
    if end > youngest:
        message = f"--before is less than audit.keep_days = {settings.audit.keep_days} days ago"
        raise WrongUsage(message)
    followers = (REPOSITORY,) if settings.audit.atna.is_on else ()
    with existing_database(settings) as database:
        gone = prune(database, _signing_key(settings, database), end, now(), followers=followers)
        kept = kept_for(database, end, followers)
    typer.echo(f"{gone} events removed")
    if kept:
        typer.echo(f"{kept} older events stay: the repository of audit.atna has not had them")


def _signing_key(settings: Settings, database: Database) -> "SigningKey":
    """That of the log's own folder: what another has signed would count as tampering for ever."""
    from pacs_ai_storage.pairing import mark_of, mismatch  # noqa: PLC0415 - queries do not wait for cryptography
    from pacs_ai_storage.signing import SigningKey  # noqa: PLC0415

    wrong = mismatch(mark_of(database), settings.data)
    if wrong is not None:
        message = f"{wrong.what}, where the key of this log lies: {wrong.advice}"
        raise PacsAiError(message)
    make_data_folder(settings.data)
    with _usable(PacsAiError):
        return SigningKey(settings.data)


@contextmanager
def _usable(otherwise: type[PacsAiError]) -> Iterator[None]:
    """What is raised where a key or a head cannot be used: not of the code of a log that was changed."""
    from pacs_ai_storage.signing import UnusableKey  # noqa: PLC0415 - queries do not wait for cryptography

    try:
        yield
    except UnusableKey as error:
        raise otherwise(str(error)) from error

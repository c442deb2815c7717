"""The database of the settings, for verbs that only look something up."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from pacs_ai_storage.database import SQLITE_NAME, Database, schema_revision
from pacs_ai_storage.schema import NEWEST_REVISION
from pacs_ai_storage.versions import must_not_be_newer

from pacs_ai.errors import NotFound, PacsAiError
from pacs_ai.settings import Settings
from pacs_ai.stores import open_database

StudyArgument = Annotated[
    str, typer.Argument(metavar="UID", help="Study Instance UID, the end of it, or an accession number.")
]


@contextmanager
def existing_database(settings: Settings) -> Iterator[Database]:
    """The database, at this version's schema; NotFound when there is none, PacsAiError when it is an older one."""
    if not settings.audit.url and not _is_there(settings.data / SQLITE_NAME):
        message = f"no database in {settings.data.resolve()}; name the settings file with -c, or start `pacs-ai serve`"
        raise NotFound(message)
    database = open_database(settings)
    try:
        found = schema_revision(database)
        must_not_be_newer(found)
        if found != NEWEST_REVISION:
            message = f"the database has schema {found}, this version needs {NEWEST_REVISION}; run `pacs-ai migrate`"
            raise PacsAiError(message)
        yield database
    finally:
        database.close()


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        message = f"{path} cannot be asked for ({error.strerror}); use the account that `pacs-ai serve` runs under"
        raise PacsAiError(message) from error

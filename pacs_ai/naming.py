"""What a person means by a name: a UID, the end of one, or an accession number."""

from dataclasses import replace

from pacs_ai_storage import audit
from pacs_ai_storage.audit import AuditFilter
from pacs_ai_storage.database import Database
from pacs_ai_storage.outbox import Choice
from pacs_ai_storage.views import Named, named

from .errors import NotFound


def one_study(database: Database, name: str) -> str:
    """The Study Instance UID that is meant; NotFound when there is none or more than one."""
    with database.read() as connection:
        found = named(connection, name, with_objects=False)
    _must_be_one(found, name)
    return found.studies[0]


def study_of_the_log(database: Database, name: str) -> str:
    """The same, or the UID of a study of which nothing but events is there: no instance of it was taken in."""
    try:
        return one_study(database, name)
    except NotFound:
        with database.read() as connection:
            if audit.query(connection, AuditFilter(study_instance_uid=name, limit=1)):
                return name
        raise


def chosen_deliveries(database: Database, name: str | None, node: str | None) -> Choice:
    """The deliveries of an object or a study, to one node or to all; NotFound when the name means none or several."""
    choice = Choice(node=node)
    if name is None:
        return choice
    with database.read() as connection:
        found = named(connection, name, with_objects=True)
    _must_be_one(found, name)
    if found.objects:
        return replace(choice, sop_instance_uid=found.objects[0])
    return replace(choice, study_instance_uid=found.studies[0])


def _must_be_one(found: Named, name: str) -> None:
    meant = [*found.studies, *found.objects]
    if len(meant) == 1:
        return
    message = f"no study {name}; `pacs-ai worklist` and `pacs-ai audit query` list those that are known"
    if meant:
        kinds = [kind for kind, uids in (("studies", found.studies), ("objects", found.objects)) if uids]
        message = f"{name} may be any of {len(meant)} {' and '.join(kinds)}: {', '.join(meant[:5])}"
    raise NotFound(message)

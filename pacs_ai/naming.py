"""What a person means by a name: a UID, the end of one, or an accession number."""

from dataclasses import replace

from pacs_ai_storage.database import Database
from pacs_ai_storage.outbox import Choice
from pacs_ai_storage.views import objects_named, studies_named

from .errors import NotFound


def one_study(database: Database, name: str) -> str:
    """The Study Instance UID that is meant; NotFound when there is none or more than one."""
    with database.read() as connection:
        found = studies_named(connection, name)
    if len(found) == 1:
        return found[0]
    message = f"no study {name}; `pacs-ai worklist` and `pacs-ai audit query` list those that are known"
    if found:
        message = f"{name} may be any of {len(found)} studies: {', '.join(found[:5])}"
    raise NotFound(message)


def chosen_deliveries(database: Database, name: str | None, node: str | None) -> Choice:
    """The deliveries of an object or a study, to one node or to all; NotFound when the name means none or several."""
    choice = Choice(node=node)
    if name is None:
        return choice
    with database.read() as connection:
        found = objects_named(connection, name)
    if len(found) == 1:
        return replace(choice, sop_instance_uid=found[0])
    if found:
        message = f"{name} may be any of {len(found)} objects: {', '.join(found[:5])}"
        raise NotFound(message)
    return replace(choice, study_instance_uid=one_study(database, name))

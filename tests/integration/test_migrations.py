"""The migrations lead to the tables that the code speaks of."""

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from pacs_ai_storage import audit
from pacs_ai_storage.audit import AuditFilter
from pacs_ai_storage.database import Database, schema_revision
from pacs_ai_storage.ledger import Ledger
from pacs_ai_storage.migration import alembic_configuration, migrate
from pacs_ai_storage.records import StudyState
from pacs_ai_storage.schema import NEWEST_REVISION, metadata
from pacs_ai_storage.tampering import verify
from sqlalchemy import create_engine, inspect

from .studies import actions, arrived, bring_to, seen


def _is_in_every_database(name: str | None, *_: object) -> bool:
    return not (name or "").startswith("audit_text")  # what SQLite alone has to search texts by


def test_the_migrated_schema_is_that_of_the_tables(database: Database) -> None:
    with database.engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True, "include_name": _is_in_every_database}
        context = MigrationContext.configure(connection, opts=options)

        assert compare_metadata(context, metadata) == []


def test_the_newest_revision_is_the_head_of_the_migrations() -> None:
    assert ScriptDirectory.from_config(alembic_configuration()).get_heads() == [NEWEST_REVISION]


def test_an_empty_database_comes_to_the_newest_revision(database_url: str) -> None:
    database = Database(database_url)

    assert schema_revision(database) is None
    assert migrate(database) == (None, NEWEST_REVISION)

    assert schema_revision(database) == NEWEST_REVISION
    database.close()


def test_migrating_twice_changes_nothing(database: Database) -> None:
    Ledger(database).record(arrived())

    assert migrate(database) == (NEWEST_REVISION, NEWEST_REVISION)

    assert actions(database) == [("receive", "kept")]


def test_a_database_of_the_first_schema_keeps_its_deliveries_and_learns_to_say_their_form(database_url: str) -> None:
    database = Database(database_url)
    migrate(database)
    bring_to(StudyState.DELIVERED, database)
    configuration = alembic_configuration()
    with database.change() as connection:
        configuration.attributes["connection"] = connection
        command.downgrade(configuration, "0001")

    assert migrate(database) == ("0001", NEWEST_REVISION)

    assert [(item.state, item.delivered_as) for item in seen(database).deliveries] == [("ACCEPTED", None)] * 2
    database.close()


def test_the_events_of_an_older_database_are_chained_without_gaps(database_url: str) -> None:
    database = Database(database_url)
    migrate(database)
    bring_to(StudyState.DELIVERED, database)
    before = actions(database)
    configuration = alembic_configuration()
    with database.change() as connection:
        configuration.attributes["connection"] = connection
        command.downgrade(configuration, "0003")
        connection.exec_driver_sql("DELETE FROM audit_events WHERE action = 'claim'")  # as a transaction that failed

    migrate(database)

    with database.read() as connection:
        verdict = verify(connection, None)
        reading = audit.query(connection, AuditFilter(action="read"))
    assert (verdict.defect, verdict.events) == (None, len(before) - 1)
    assert actions(database) == [event for event in before if event[0] != "claim"]
    assert [(event.probability, event.model, event.calling_ae_title) for event in reading] == [
        (0.93, "tiny 0.0.1", "MODALITY")
    ]
    database.close()


def test_a_migration_that_fails_leaves_the_database_as_it_was(database_url: str) -> None:
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE studies (other INTEGER)")
    engine.dispose()
    database = Database(database_url)

    with pytest.raises(Exception, match="studies"):
        migrate(database)

    assert inspect(database.engine).get_table_names() == ["studies"]
    assert schema_revision(database) is None
    database.close()

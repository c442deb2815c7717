"""Upgrades of the schema. Alembic is imported here only: looking something up does not wait for it."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from .database import Database, schema_revision
from .schema import NEWEST_REVISION
from .versions import must_not_be_newer


def migrate(database: Database) -> tuple[str | None, str]:
    """The schema is this version's; returns the revision before and after. Raises WrittenByNewerVersion."""
    before = schema_revision(database)
    must_not_be_newer(before)
    if before != NEWEST_REVISION:
        configuration = alembic_configuration()
        with database.change() as connection:
            configuration.attributes["connection"] = connection
            command.upgrade(configuration, "head")
    return before, NEWEST_REVISION


def alembic_configuration() -> Config:
    """Alembic pointed at the migrations of this package."""
    configuration = Config()
    configuration.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return configuration

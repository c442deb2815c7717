"""URLs of databases, judged without asking the database."""

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

_KNOWN = {("sqlite", "pysqlite"), ("postgresql", "psycopg")}


def is_database_url(url: str) -> bool:
    """Whether it names a kind of database that is supported here, with the driver that comes with us."""
    try:
        dialect = make_url(url).get_dialect()
    except (ArgumentError, ValueError, ImportError):  # no URL, a port that is no number, a driver of somebody else
        return False
    return (dialect.name, dialect.driver) in _KNOWN

"""How a database is opened: SQLite in the data folder by default, PostgreSQL by URL; the code above is the same."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any

from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import DatabaseError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as NoFreeConnection

from . import audit

SQLITE_NAME = "pacs-ai.sqlite"
# How long a transaction waits for the lock of another; a URL may say otherwise.
_PATIENCE_SECONDS = 30
# Enough for a command; a service says how many its threads need.
_CONNECTIONS = 16
# Of SQLite; it has one writer, and to open the file takes less than a millisecond.
_FILES_OPEN = 2
# Opened together once; a service needs more of them only where it is allowed more associations than anybody has.
_MOST_TOGETHER = 64


class LedgerUnavailable(Exception):
    """The database is locked, full, read-only or gone, or has no connection free; nothing of the transaction stands."""


class Database:
    """An engine with two doors: `read` for selects, `change` for one transaction that ends on disk or not at all."""

    def __init__(self, url: str, *, connections: int = _CONNECTIONS, patience: float = _PATIENCE_SECONDS) -> None:
        """At most `connections` are open at once; who finds none free waits for one so many seconds."""
        self.engine = _engine(url, _Pool(connections=connections, patience=patience))
        self._most, self._patience = connections, patience
        self._writer = RLock()
        self._place: tuple[int, int] | None = None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees committed rows and never holds a writer up; raises LedgerUnavailable."""
        self._check_place()
        with _translated(), self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            yield connection

    @contextmanager
    def change(self) -> Iterator[Connection]:
        """One transaction: all of it is durable when the block ends, none of it when the block raises.

        Its audit events are written last, because the chain has one end and whoever appends to it holds it until the
        transaction is over: everything else of the transaction is done by then, and no two wait for each other.

        SQLite has a single writer; threads of this process queue here instead of polling its lock.
        Raises LedgerUnavailable when the database is locked, full or gone, or no connection becomes free.
        """
        self._check_place()
        turn = self._turn() if self.engine.dialect.name == "sqlite" else nullcontext()
        with turn, _translated(), self.engine.begin() as connection, audit.collected(connection):
            yield connection

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """The only writer of this process; raises LedgerUnavailable when those before take too long.

        Each of those waits for a lock of another process as long: the last of many would never be told.
        """
        if not self._writer.acquire(timeout=self._patience):
            message = "the database does not answer: others of this process have waited for it too long"
            raise LedgerUnavailable(message)
        try:
            yield
        finally:
            self._writer.release()

    def open_together(self) -> None:
        """From now on as many files are open as at the busiest moment to come; raises LedgerUnavailable.

        SQLite keeps the database file of a closed connection open for the next one, for as long as another connection
        of the process holds a lock (POSIX advisory locks, os_unix.c): else one more file would be open after each
        moment that was busier than all before, and a limit on open files would be met in the middle of the work.
        """
        if self.engine.dialect.name == "sqlite":
            with _translated(), ExitStack() as together:
                for _ in range(min(self._most, _MOST_TOGETHER)):
                    together.enter_context(self.engine.connect())

    def _check_place(self) -> None:
        """Raises LedgerUnavailable while the file of SQLite is not the one that was opened first.

        SQLite would go on in a file that was moved away, or begin an empty one in its place.
        """
        name = self.engine.url.database
        if self.engine.dialect.name != "sqlite" or not name or name == ":memory:":
            return
        try:
            found = Path(name).stat()
        except OSError as error:
            if self._place is None:
                return  # the first connection creates it, or says what is wrong with the path
            message = f"the database does not answer: its file cannot be found ({error.strerror})"
            raise LedgerUnavailable(message) from error
        self._place = self._place or (found.st_dev, found.st_ino)
        if self._place != (found.st_dev, found.st_ino):
            message = "the database does not answer: another file is in its place; restart the service to use that"
            raise LedgerUnavailable(message)

    def close(self) -> None:
        """All pooled connections are closed."""
        self.engine.dispose()


def sqlite_url(folder: Path) -> str:
    """The URL of the embedded default inside the data folder."""
    return f"sqlite:///{(folder / SQLITE_NAME).resolve()}"


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, InternalError) as error:  # the last, of a server that became a standby
        message = f"the database does not answer: {error.orig}"
        raise LedgerUnavailable(message) from error
    except DatabaseError as error:
        if type(error) is not DatabaseError:
            raise  # of a statement of ours
        message = f"the database is damaged: {error.orig}"
        raise LedgerUnavailable(message) from error
    except NoFreeConnection as error:
        message = "the database does not answer: all connections to it are in use"
        raise LedgerUnavailable(message) from error


def without_password(url: str) -> str:
    """The URL as it may be shown; a password may also stand among the parameters of the driver."""
    parsed = make_url(url)
    hidden = {name: "hidden" for name in parsed.query if name.endswith("password")}
    return parsed.update_query_dict(hidden).render_as_string(hide_password=True)


def _create_for_the_owner(_dialect: object, _record: object, arguments: list[Any], _options: object) -> None:
    """Nobody else may read the file, nor what SQLite lays beside it with the same mode; where it is to lie there.

    A file that is there is not opened: closing it would let go every lock that this process holds on it, and another
    process would take its write-ahead log away.
    """
    with suppress(OSError):  # there already, or SQLite says better what is wrong with the path
        os.close(os.open(arguments[0], os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pool:
    connections: int
    patience: float

    def keeping(self, most: int) -> dict[str, Any]:
        """So many stay open; more are opened when they are needed, and closed again."""
        kept = min(most, self.connections)
        return {"pool_size": kept, "max_overflow": self.connections - kept, "pool_timeout": self.patience}


def _engine(url: str, pool: _Pool) -> Engine:
    # Parameters may be a patient's: no error tells them.
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return _server_engine(parsed, pool)
    timeout = {} if "timeout" in parsed.query else {"timeout": _PATIENCE_SECONDS}
    arguments = {"check_same_thread": False, **timeout}
    options = pool.keeping(_FILES_OPEN)
    engine = create_engine(url, hide_parameters=True, poolclass=QueuePool, connect_args=arguments, **options)
    event.listen(engine, "do_connect", _create_for_the_owner)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def _server_engine(url: URL, pool: _Pool) -> Engine:
    # A server that is gone, or a lock that stays, is found out in time for an answer to the modality.
    limits = {"connect_timeout": 10, "tcp_user_timeout": _PATIENCE_SECONDS * 1000}
    limits = {name: value for name, value in limits.items() if name not in url.query}
    options = pool.keeping(pool.connections)
    engine = create_engine(url, hide_parameters=True, pool_pre_ping=True, connect_args=limits, **options)
    if "options" not in url.query:
        event.listen(engine, "connect", _limit_waiting)
    return engine


def _limit_waiting(connection: Any, _record: object) -> None:  # noqa: ANN401 - a DBAPI connection has no public type
    connection.execute(f"SET lock_timeout = '{_PATIENCE_SECONDS}s'")
    connection.commit()


def _prepare_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401 - a DBAPI connection has no public type
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Connection) -> None:
    # A deferred transaction that reads first can fail to become a writer; an immediate one cannot.
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def schema_revision(database: Database) -> str | None:
    """The revision that the database is at; None when it has no schema of ours."""
    with database.read() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()

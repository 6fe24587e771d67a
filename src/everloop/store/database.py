"""An SQLAlchemy engine that SQLite and PostgreSQL serve alike, opened ready to use: migrated, in WAL mode, with our errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine, ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from everloop.core.errors import BadInput, Broken, Busy, EverloopError, Missing

# The newest migration in `migrations/versions`; a test compares the two.
HEAD = "0002"

Transaction: TypeAlias = Connection

LOCK_TIMEOUT_S = 30
_ADVISORY_LEDGER = 0x65766C6F
_ADVISORY_MIGRATE = 0x65766C70


class Database:
    """`read()` and `write()` give connections inside a transaction. A write excludes other writers from its first statement on
    (SQLite: BEGIN IMMEDIATE), so that what it reads stays true until it commits."""

    def __init__(self, url: str) -> None:
        self.url: URL = _parse(url)
        self.engine: Engine = _create(self.url)
        try:
            self._migrate()
        except BaseException:
            self.engine.dispose()
            raise

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with self.engine.connect().execution_options(everloop_write=True) as connection, connection.begin():
            yield connection

    def close(self) -> None:
        self.engine.dispose()

    def _migrate(self) -> None:
        """Bring the tables to HEAD, one process at a time; others wait and find it done."""
        if self._revision() == HEAD:
            return
        with self._migration_lock():
            found = self._revision()
            if found == HEAD:
                return
            if found is not None and found > HEAD:
                raise Broken(
                    f"The database {self.url.render_as_string()} has schema {found}, newer than the {HEAD} that this everloop knows. "
                    "Upgrade everloop, or open another workspace."
                )
            from everloop.store.migrations import upgrade

            upgrade(self.engine)

    def _revision(self) -> str | None:
        with self.engine.connect() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return None
            return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()

    @contextmanager
    def _migration_lock(self) -> Iterator[None]:
        if self.is_sqlite:
            from everloop.store.locks import file_lock

            with file_lock(Path(f"{self.url.database}.lock"), timeout_s=LOCK_TIMEOUT_S):
                yield
            return
        with self.engine.connect() as connection:
            connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": _ADVISORY_MIGRATE})
            connection.commit()
            try:
                yield
            finally:
                connection.execute(sa.text("SELECT pg_advisory_unlock(:key)"), {"key": _ADVISORY_MIGRATE})
                connection.commit()


def serialise(tx: Connection) -> None:
    """Let one transaction at a time past this point. SQLite's write transactions already are; PostgreSQL takes an advisory lock."""
    if tx.dialect.name == "postgresql":
        tx.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LEDGER})


def insert_new(tx: Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert the rows whose primary key is not there yet; the number of rows that were new."""
    return sum(tx.execute(_insert(tx.dialect.name, table, tuple(row), replace=False), row).rowcount for row in rows)


def upsert(tx: Connection, table: sa.Table, row: Mapping[str, Any]) -> None:
    """Insert the row, or replace the columns of the one with its primary key."""
    tx.execute(_insert(tx.dialect.name, table, tuple(row), replace=True), row)


@cache
def _insert(dialect: str, table: sa.Table, names: tuple[str, ...], *, replace: bool) -> sa.Executable:
    """Built once: building costs more than executing."""
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import insert
    else:
        from sqlalchemy.dialects.sqlite import insert
    statement = insert(table).values({name: sa.bindparam(name) for name in names})
    if not replace:
        return statement.on_conflict_do_nothing().execution_options(preserve_rowcount=True)
    keys = [column.name for column in table.primary_key]
    return statement.on_conflict_do_update(index_elements=keys, set_={name: statement.excluded[name] for name in names if name not in keys})


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        known = parsed.get_backend_name() in ("sqlite", "postgresql") and parsed.get_dialect() is not None
    except (ArgumentError, NoSuchModuleError):
        parsed, known = None, False
    if parsed is None or not known:
        # Not the URL itself: it may hold a password.
        raise BadInput(
            f"The database URL {url.partition(':')[0]!r}… is not one that everloop knows. "
            "EVERLOOP_DATABASE_URL is sqlite:////path/to/file.db or postgresql+psycopg://user@host/database."
        )
    return parsed


def _create(url: URL) -> Engine:
    options: dict[str, Any] = {}
    if url.get_backend_name() == "postgresql":
        options["pool_pre_ping"] = True
        if "options" not in url.query:
            # SQLite has its busy_timeout; without this one PostgreSQL would wait for a lock for ever.
            options["connect_args"] = {"options": f"-c lock_timeout={LOCK_TIMEOUT_S * 1000}"}
    try:
        engine = sa.create_engine(url, **options)
    except ModuleNotFoundError as error:
        raise Missing(
            f"The database URL {url.render_as_string()} needs {error.name!r}. Install it: pip install 'everloop[postgres]'"
        ) from error
    event.listen(engine, "handle_error", _translate)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # BEGIN is ours, see _begin_sqlite
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={int(LOCK_TIMEOUT_S * 1000)}")
    cursor.execute("PRAGMA journal_mode=WAL")
    # A commit survives a killed process; the last ones before a power cut may be lost, but never half of one.
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get("everloop_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _translate(context: ExceptionContext) -> EverloopError | None:
    """Raised in place of the driver's error when a person can do something about it."""
    text = str(context.original_exception).lower()
    where = context.engine.url.render_as_string() if context.engine is not None else "the database"
    if "locked" in text or "busy" in text or "lock timeout" in text:
        return Busy(
            f"The database {where} stayed locked for {LOCK_TIMEOUT_S} s by another process. Wait for it, or stop it, and try again."
        )
    if "not a database" in text or "malformed" in text or "disk image" in text:
        return Broken(
            f"The database {where} is damaged ({context.original_exception}). Restore it from a backup, or move it away to start anew."
        )
    if "readonly" in text or "read-only" in text or "unable to open" in text:
        return Broken(
            f"The database {where} cannot be written ({context.original_exception}). Make its folder writable, or set EVERLOOP_HOME."
        )
    if "disk is full" in text or "no space left" in text or "disk full" in text:
        return Broken(f"There is no space left for the database {where}. Free some and run again; nothing was lost.")
    if context.dialect.name == "postgresql" and context.connection is None:
        reason = str(context.original_exception).strip().splitlines()[0]
        return Busy(f"The database {where} could not be reached ({reason}). Check that the server is up, and EVERLOOP_DATABASE_URL.")
    if context.dialect.name == "postgresql" and context.is_disconnect:
        return Busy(f"The connection to {where} was lost. Check that the server is up, and try again.")
    return None

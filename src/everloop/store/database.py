"""One database that SQLite and PostgreSQL serve alike, opened ready to use: with the tables of this release, and with our errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from everloop.core.errors import BadInput, Broken
from everloop.store.transaction import Rows, Transaction

if TYPE_CHECKING:
    import sqlalchemy as sa
    from sqlalchemy.engine import URL

    from everloop.store.postgres import AdvisoryLocks, Postgres
    from everloop.store.sqlite import Sqlite

__all__ = ["HEAD", "Database", "Rows", "Transaction", "insert_new", "serialise", "sqlite_path", "sqlite_url", "upsert"]

# The newest migration in `migrations/versions`; a test compares the two.
HEAD = "0004"

LOCK_TIMEOUT_S = 30
_ADVISORY_LEDGER = 0x65766C6F


class Database:
    """`read()` and `write()` give transactions. A write excludes other writers from its first statement on (SQLite: BEGIN IMMEDIATE), so
    that what it reads stays true until it commits."""

    def __init__(self, url: str) -> None:
        self.address = url
        self._at: Sqlite | Postgres = _open(url)
        try:
            self._migrate()
        except BaseException:
            self.close()
            raise

    @cached_property
    def url(self) -> URL:
        from sqlalchemy.engine import make_url

        return make_url(self.address)

    @property
    def is_sqlite(self) -> bool:
        return sqlite_path(self.address) is not None

    def read(self) -> AbstractContextManager[Transaction]:
        return self._at.transaction(write=False)

    def write(self) -> AbstractContextManager[Transaction]:
        return self._at.transaction(write=True)

    def advisory_locks(self) -> AdvisoryLocks:
        """Locks that a PostgreSQL server keeps for as long as this process is connected."""
        from everloop.store.postgres import AdvisoryLocks, Postgres

        assert isinstance(self._at, Postgres), "only a server has them"
        return AdvisoryLocks(self._at.engine)

    def close(self) -> None:
        self._at.close()

    def _migrate(self) -> None:
        """Bring the tables to HEAD, one process at a time; others wait and find it done."""
        if self._at.revision() == HEAD:
            return
        with self._at.migrating():
            found = self._at.revision()
            if found == HEAD or (found is None and self._at.create()):
                return
            if found is not None and found > HEAD:
                raise Broken(
                    f"The database {self.url.render_as_string()} has schema {found}, newer than the {HEAD} that this everloop knows. "
                    "Upgrade everloop, or open another workspace."
                )
            from everloop.store.migrations import upgrade

            with self.write() as tx:
                upgrade(tx.connection)


def serialise(tx: Transaction) -> None:
    """Let one transaction at a time past this point. SQLite's write transactions already are; PostgreSQL takes an advisory lock."""
    if not tx.is_sqlite:
        tx.sql("SELECT pg_advisory_xact_lock(:key)", {"key": _ADVISORY_LEDGER})


def insert_new(tx: Transaction, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert the rows whose primary key is not there yet; the number of rows that were new."""
    return sum(tx.execute(_insert(tx.is_sqlite, table, tuple(row), replace=False), row).rowcount for row in rows)


def upsert(tx: Transaction, table: sa.Table, row: Mapping[str, Any]) -> None:
    """Insert the row, or replace the columns of the one with its primary key."""
    tx.execute(_insert(tx.is_sqlite, table, tuple(row), replace=True), row)


@cache
def _insert(is_sqlite: bool, table: sa.Table, names: tuple[str, ...], *, replace: bool) -> sa.Executable:
    """Built once: building costs more than executing."""
    from sqlalchemy import bindparam
    from sqlalchemy.dialects import postgresql, sqlite

    insert = sqlite.insert if is_sqlite else postgresql.insert
    statement = insert(table).values({name: bindparam(name) for name in names})
    if not replace:
        return statement.on_conflict_do_nothing().execution_options(preserve_rowcount=True)
    keys = [column.name for column in table.primary_key]
    return statement.on_conflict_do_update(index_elements=keys, set_={name: statement.excluded[name] for name in names if name not in keys})


def _open(url: str) -> Sqlite | Postgres:
    path = sqlite_path(url)
    if path is not None:
        from everloop.store.sqlite import Sqlite

        return Sqlite(path, lock_timeout_s=LOCK_TIMEOUT_S)

    from everloop.store.postgres import Postgres

    return Postgres(_server_url(url), lock_timeout_s=LOCK_TIMEOUT_S)


def sqlite_path(url: str) -> Path | None:
    """The file that `sqlite:///path` names, as SQLAlchemy reads such a URL; None for everything else."""
    kind, found, path = url.partition(":///")
    if not found or kind not in ("sqlite", "sqlite+pysqlite") or "?" in path or path in ("", ":memory:"):
        return None
    return Path(unquote(path)).absolute()


def sqlite_url(path: Path) -> str:
    return f"sqlite:///{quote(str(path))}"


def _server_url(url: str) -> URL:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    try:
        parsed = make_url(url)
        known = parsed.get_backend_name() == "postgresql" and parsed.get_dialect() is not None
    except (ArgumentError, NoSuchModuleError):
        parsed, known = None, False
    if parsed is None or not known:
        # Not the URL itself: it may hold a password.
        raise BadInput(
            f"The database URL {url.partition(':')[0]!r}… is not one that everloop knows. "
            "EVERLOOP_DATABASE_URL is sqlite:////path/to/file.db or postgresql+psycopg://user@host/database."
        )
    return parsed

"""A PostgreSQL server, used through SQLAlchemy."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from everloop.core.errors import Busy, EverloopError, Missing
from everloop.store.transaction import NONE, OVER, Parameters, Rows, Transaction
from everloop.store.trouble import told

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection, Engine, ExceptionContext

_ADVISORY_MIGRATE = 0x65766C70
# A quoted text or name, a cast, a percent sign, a parameter.
_PIECE = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|::|%|:([A-Za-z_]\w*)")


class Postgres:
    def __init__(self, url: URL, *, lock_timeout_s: float) -> None:
        import sqlalchemy as sa
        from sqlalchemy import event

        self._where = url.render_as_string()
        self._lock_timeout_s = lock_timeout_s
        options: dict[str, Any] = {"pool_pre_ping": True}
        if "options" not in url.query:
            # SQLite has its busy timeout; without this one PostgreSQL would wait for a lock for ever.
            options["connect_args"] = {"options": f"-c lock_timeout={int(lock_timeout_s * 1000)}"}
        try:
            self.engine: Engine = sa.create_engine(url, **options)
        except ModuleNotFoundError as error:
            raise Missing(f"The database URL {self._where} needs {error.name!r}. Install it: pip install 'everloop[postgres]'") from error
        event.listen(self.engine, "handle_error", self._translate)
        _open.add(self)

    @contextmanager
    def transaction(self, *, write: bool) -> Iterator[Transaction]:
        with self.engine.connect() as connection, connection.begin():
            yield _PostgresTransaction(connection)

    def revision(self) -> str | None:
        with self.transaction(write=False) as tx:
            if tx.sql("SELECT to_regclass('alembic_version')").value() is None:
                return None
            return tx.sql("SELECT version_num FROM alembic_version").value()

    @contextmanager
    def migrating(self) -> Iterator[None]:
        """One process at a time."""
        with self.engine.connect() as connection:
            connection.exec_driver_sql(f"SELECT pg_advisory_lock({_ADVISORY_MIGRATE})")
            connection.commit()
            try:
                yield
            finally:
                connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_ADVISORY_MIGRATE})")
                connection.commit()

    def create(self) -> bool:
        """Left to the migrations."""
        return False

    def close(self) -> None:
        self.engine.dispose()

    def _translate(self, context: ExceptionContext) -> EverloopError | None:
        error = context.original_exception
        known = told(error, self._where, lock_timeout_s=self._lock_timeout_s)
        if known is not None:
            return known
        if context.connection is None:
            reason = str(error).strip().splitlines()[0]
            return Busy(
                f"The database {self._where} could not be reached ({reason}). Check that the server is up, and EVERLOOP_DATABASE_URL."
            )
        if context.is_disconnect:
            return Busy(f"The connection to {self._where} was lost. Check that the server is up, and try again.")
        return None


class _PostgresTransaction(Transaction):
    is_sqlite = False

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def sql(self, text: str, params: Parameters = NONE) -> Rows:
        result = self.connection.exec_driver_sql(driver_text(text), dict(params))
        return Rows(map(tuple, result) if result.returns_rows else (), result.rowcount)

    def many(self, text: str, rows: Sequence[Parameters]) -> None:
        if rows:
            self.connection.exec_driver_sql(driver_text(text), [dict(row) for row in rows])

    @property
    def connection(self) -> Connection:
        if self._connection.closed:
            raise RuntimeError(OVER)
        return self._connection


class AdvisoryLocks:
    """Locks on a connection of their own, which end with it. Numbers are 64 bits, signed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._connection: Connection | None = None
        self._held: set[int] = set()
        _locks.add(self)

    def take(self, number: int) -> bool:
        """Never waits. The server would give a lock again to who has it; the caller must not ask for that."""
        taken = self._ask("SELECT pg_try_advisory_lock(%(number)s)", number)
        if taken:
            self._held.add(number)
        return taken

    def give(self, number: int) -> None:
        if number in self._held:
            self._held.remove(number)
            self._ask("SELECT pg_advisory_unlock(%(number)s)", number)

    def close(self) -> None:
        if self._connection is not None:
            # Back to the pool it would take its locks along.
            self._connection.detach()
            self._connection.close()
            self._connection = None
        self._held.clear()

    def after_fork(self) -> None:
        """In the child: it has the socket, too, and would keep the locks beyond its parent's death."""
        if self._connection is not None:
            driver: Any = self._connection.connection.driver_connection
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.dup2(nowhere, driver.fileno(), inheritable=False)
            os.close(nowhere)
            _inherited.append(self._connection)
            self._connection = None
        self._held.clear()

    def _ask(self, text: str, number: int) -> bool:
        if self._connection is None:
            self._connection = self._engine.connect()
        try:
            return bool(self._connection.exec_driver_sql(text, {"number": number}).scalar())
        except BaseException:
            # Whether the server still has our locks is not known; without the connection it has none.
            connection, self._connection = self._connection, None
            self._held.clear()
            connection.invalidate()
            connection.close()
            raise


_open: WeakSet[Postgres] = WeakSet()
_locks: WeakSet[AdvisoryLocks] = WeakSet()
_inherited: list[Connection] = []


def _after_fork() -> None:
    """In the child: the connections are the parent's, and stay open for it."""
    for database in list(_open):
        database.engine.dispose(close=False)
    for locks in list(_locks):
        locks.after_fork()


os.register_at_fork(after_in_child=_after_fork)


@cache
def driver_text(text: str) -> str:
    """`:name` as the driver writes it, `%(name)s`; a percent sign of the statement's own is doubled for it."""

    def piece(match: re.Match[str]) -> str:
        return f"%({match[1]})s" if match[1] else match[0].replace("%", "%%")

    return _PIECE.sub(piece, text)

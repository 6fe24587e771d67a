"""A SQLite file, used through Python's own driver. SQLAlchemy joins a transaction only when somebody speaks to it in SQLAlchemy's words."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakSet

from everloop.core.errors import Broken, EverloopError
from everloop.store.fresh import make
from everloop.store.locks import file_lock
from everloop.store.transaction import NONE, OVER, Parameters, Rows, Transaction
from everloop.store.trouble import told

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine, ExceptionContext

# More threads than this at once open and close connections of their own.
_IDLE = 8
_STATEMENTS = 256


class Sqlite:
    """`transaction()` lends a connection out of a few that stay open, each to one thread at a time."""

    def __init__(self, path: Path, *, lock_timeout_s: float) -> None:
        self.path = path
        self._lock_timeout_s = lock_timeout_s
        self._idle: list[_Link] = []
        self._alchemy = _Alchemy(self)
        _open.add(self)

    @contextmanager
    def transaction(self, *, write: bool) -> Iterator[Transaction]:
        """A write excludes other writers from its beginning on."""
        link = self._borrow()
        try:
            self.run(link.raw, "BEGIN IMMEDIATE" if write else "BEGIN")
            tx = _SqliteTransaction(self, link)
            try:
                yield tx
                self.run(link.raw, "COMMIT")
            except BaseException:
                if link.raw.in_transaction:
                    with suppress(sqlite3.Error):
                        link.raw.execute("ROLLBACK")
                raise
            finally:
                tx.over()
        finally:
            self._give_back(link)

    def revision(self) -> str | None:
        """What alembic noted in the file; None when there is no file, or no note in it."""
        if not self.path.exists():
            return None
        try:
            with self.transaction(write=False) as tx:
                return tx.sql("SELECT version_num FROM alembic_version").value()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return None
            raise

    @contextmanager
    def migrating(self) -> Iterator[None]:
        """One process at a time."""
        if not self.path.parent.is_dir():
            raise Broken(f"The database {self.path} cannot be written: its folder is not there. Make the folder, or set EVERLOOP_HOME.")
        with file_lock(self.path.with_name(f"{self.path.name}.lock"), timeout_s=self._lock_timeout_s):
            yield

    def create(self) -> bool:
        """Make the file, unless it is there; false when it is. The caller holds the lock of `migrating`."""
        if self.path.exists():
            return False
        try:
            make(self.path)
        except sqlite3.Error as error:
            self.complain(error)
            raise
        return True

    def close(self) -> None:
        while self._idle:
            with suppress(IndexError):
                self._idle.pop().close()

    def run(self, raw: sqlite3.Connection, text: str, params: Parameters = NONE) -> Rows:
        try:
            cursor = raw.execute(text, params)
            return Rows(cursor.fetchall(), cursor.rowcount)
        except sqlite3.Error as error:
            self.complain(error)
            raise

    def told(self, error: BaseException) -> EverloopError | None:
        return told(error, str(self.path), lock_timeout_s=self._lock_timeout_s)

    def complain(self, error: sqlite3.Error) -> None:
        """Raise what a person can do something about; return when there is nothing to say."""
        known = self.told(error)
        if known is not None:
            raise known from error

    def attach(self, link: _Link) -> Connection:
        """SQLAlchemy's connection over a connection that is open."""
        return self._alchemy.attach(link)

    def after_fork(self) -> None:
        """In the child: what the parent's other threads were using is not ours."""
        _inherited.extend(self._idle)
        self._idle = []
        self._alchemy = _Alchemy(self)

    def _borrow(self) -> _Link:
        try:
            return self._idle.pop()
        except IndexError:
            return self._connect()

    def _give_back(self, link: _Link) -> None:
        if len(self._idle) < _IDLE and link.process == os.getpid() and not link.raw.in_transaction:
            self._idle.append(link)
        else:
            link.close()

    def _connect(self) -> _Link:
        raw = None
        try:
            # mode=rw: a file that somebody deleted is missed, not replaced by an empty one.
            raw = sqlite3.connect(
                f"{self.path.as_uri()}?mode=rw", uri=True, timeout=self._lock_timeout_s, isolation_level=None,
                check_same_thread=False, factory=_Raw, cached_statements=_STATEMENTS,
            )  # fmt: skip
            raw.execute("PRAGMA journal_mode=WAL")
            # A commit survives a killed process; the last ones before a power cut may be lost, but never half of one.
            raw.execute("PRAGMA synchronous=NORMAL")
            return _Link(raw)
        except sqlite3.Error as error:
            if raw is not None:
                raw.hang_up()
            self.complain(error)
            raise


class _Raw(sqlite3.Connection):
    """Its transactions begin and end by SQL of ours; when SQLAlchemy believes that it ends one, or closes, nothing happens."""

    def commit(self) -> None: ...

    def rollback(self) -> None: ...

    def close(self) -> None: ...

    def hang_up(self) -> None:
        super().close()


class _Link:
    """An open connection, and SQLAlchemy's over it once there is one."""

    __slots__ = ("alchemy", "process", "raw")

    def __init__(self, raw: _Raw) -> None:
        self.raw = raw
        self.alchemy: Connection | None = None
        self.process = os.getpid()

    def close(self) -> None:
        if self.process != os.getpid():
            # SQLite forbids to close, too, what was open when the process forked.
            _inherited.append(self)
            return
        if self.alchemy is not None:
            self.alchemy.close()
        self.raw.hang_up()


class _SqliteTransaction(Transaction):
    is_sqlite = True

    def __init__(self, database: Sqlite, link: _Link) -> None:
        self._database = database
        self._link: _Link | None = link

    def sql(self, text: str, params: Parameters = NONE) -> Rows:
        return self._database.run(self._held.raw, text, params)

    def many(self, text: str, rows: Sequence[Parameters]) -> None:
        try:
            self._held.raw.executemany(text, rows)
        except sqlite3.Error as error:
            self._database.complain(error)
            raise

    @property
    def connection(self) -> Connection:
        link = self._held
        if link.alchemy is None:
            link.alchemy = self._database.attach(link)
        if not link.alchemy.in_transaction():
            link.alchemy.begin()
        return link.alchemy

    def over(self) -> None:
        """The file's transaction has ended: SQLAlchemy forgets what it knows of it, and nobody goes on by mistake."""
        link, self._link = self._held, None
        if link.alchemy is not None:
            link.alchemy.rollback()

    @property
    def _held(self) -> _Link:
        if self._link is None:
            raise RuntimeError(OVER)
        return self._link


class _Alchemy:
    """SQLAlchemy's engine, which gets its connections from us instead of opening any."""

    def __init__(self, database: Sqlite) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._handed: sqlite3.Connection | None = None

    def attach(self, link: _Link) -> Connection:
        with self._lock:
            if self._engine is None:
                self._engine = self._make()
            self._handed = link.raw
            try:
                return self._engine.connect()
            finally:
                self._handed = None

    def _make(self) -> Engine:
        import sqlalchemy as sa
        from sqlalchemy import event

        engine = sa.create_engine("sqlite://", creator=lambda: self._handed, poolclass=sa.NullPool)
        event.listen(engine, "handle_error", self._translate)
        return engine

    def _translate(self, context: ExceptionContext) -> EverloopError | None:
        return self._database.told(context.original_exception)


_open: WeakSet[Sqlite] = WeakSet()
_inherited: list[_Link] = []


def _before_fork() -> None:
    for database in list(_open):
        database.close()


def _after_fork() -> None:
    for database in list(_open):
        database.after_fork()


os.register_at_fork(before=_before_fork, after_in_child=_after_fork)

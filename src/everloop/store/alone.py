"""Having the store to oneself: for the length of a collection among collectors, and for one transaction among all who write."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from everloop.core.errors import Busy
from everloop.store.database import LOCK_TIMEOUT_S, Transaction, serialise
from everloop.store.locks import file_lock
from everloop.store.workspace import Workspace

T = TypeVar("T")

_ADVISORY_COLLECT = 0x65766C71
# Every table whose rows say that something is needed.
_TABLES = "runs, steps, cache, records, links, versions, pins, cursors, mentions"
# Less than PostgreSQL takes to look for a deadlock (1 s): of two that wait for each other it is always us who step back.
_STEP_BACK_MS = 300


@contextmanager
def one_collection(workspace: Workspace) -> Iterator[None]:
    """One collection at a time, on this machine and on this database. Raises Busy while another goes on."""
    with file_lock(workspace.home / "locks" / "collector.lock"):
        if workspace.database.is_sqlite:
            yield
            return
        with workspace.read() as tx:
            if not tx.sql("SELECT pg_try_advisory_xact_lock(:key)", {"key": _ADVISORY_COLLECT}).value():
                raise Busy("Another machine is collecting. Wait for it to end, and try again.")
            yield


def exclusively(workspace: Workspace, work: Callable[[Transaction], T]) -> T:
    """Do `work` in a write transaction while nobody else writes: on SQLite every one is so, PostgreSQL's tables must be locked."""
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        ours = False
        try:
            with workspace.write() as tx:
                if not tx.is_sqlite:
                    tx.sql(f"SET LOCAL lock_timeout = '{_STEP_BACK_MS}ms'")
                    serialise(tx)
                    tx.sql(f"LOCK TABLE {_TABLES} IN SHARE ROW EXCLUSIVE MODE")
                    tx.sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'")
                ours = True
                return work(tx)
        except Busy:
            if ours or time.monotonic() >= deadline:
                raise
        time.sleep(random.uniform(0.01, 0.1))  # noqa: S311  # others shall come in between

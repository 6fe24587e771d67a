"""A lease per key: the same work, asked for twice at once, runs once. A lease ends with the process that has it, however that ends."""

from __future__ import annotations

import fcntl
import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from weakref import WeakSet

from everloop.core.errors import Broken
from everloop.store.database import sqlite_path

if TYPE_CHECKING:
    from everloop.store.postgres import AdvisoryLocks
    from everloop.store.workspace import Workspace


class Leases:
    """What one coordinator has leased; used from one thread at a time.

    Where the database is a file, whoever can open it is on this machine, and locks on files in the workspace's home do. Where it is a
    PostgreSQL server, coordinators may be on several machines, and the server keeps the locks.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._held: set[str] = set()
        self._locks: _Locks
        if sqlite_path(workspace.database_url) is not None:
            self._locks = _FileLocks(workspace.home / "locks")
        else:
            self._locks = _ServerLocks(workspace)

    def take(self, key: str) -> bool:
        """Lease a key, a text that can be a file's name. False when somebody else has it, another object of this process included."""
        if key in self._held:
            raise RuntimeError(f"The lease {key!r} is ours already: whoever takes it must remember that.")
        if not self._locks.take(key):
            return False
        self._held.add(key)
        return True

    def give(self, key: str) -> None:
        """Give a lease back that `take` gave."""
        self._held.remove(key)
        self._locks.give(key)

    def close(self) -> None:
        """Give all back."""
        for key in list(self._held):
            self.give(key)
        self._locks.close()


class _Locks(Protocol):
    def take(self, key: str) -> bool: ...
    def give(self, key: str) -> None: ...
    def close(self) -> None: ...


class _FileLocks:
    """Kernel locks on files that are there only while they are held."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._handles: dict[str, int] = {}
        _open.add(self)

    def take(self, key: str) -> bool:
        path = self._folder / f"{key}.lock"
        while True:
            handle = self._opened(path)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                return False
            if _is_at(handle, path):
                self._handles[key] = handle
                return True
            # Its holder gave it back, and removed the file, after we had opened it: the lock that counts is on a newer file.
            os.close(handle)

    def give(self, key: str) -> None:
        handle = self._handles.pop(key)
        with suppress(FileNotFoundError):
            os.unlink(self._folder / f"{key}.lock")
        os.close(handle)

    def close(self) -> None: ...

    def forget(self) -> None:
        """In the child of a fork, which has the handles, too, and would keep the locks beyond its parent's death. Closing does not unlock."""
        for handle in self._handles.values():
            os.close(handle)
        self._handles = {}

    def _opened(self, path: Path) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            try:
                return os.open(path, flags, 0o644)
            except FileNotFoundError:
                self._folder.mkdir(parents=True, exist_ok=True)
                return os.open(path, flags, 0o644)
        except OSError as error:
            raise Broken(f"{self._folder} cannot be written ({error.strerror}). Make the folder writable, or set EVERLOOP_HOME.") from error


class _ServerLocks:
    """Advisory locks of the database server, which end with the connection that took them."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._locks: AdvisoryLocks | None = None

    def take(self, key: str) -> bool:
        if self._locks is None:
            self._locks = self._workspace.database.advisory_locks()
        return self._locks.take(_number(key))

    def give(self, key: str) -> None:
        if self._locks is not None:
            self._locks.give(_number(key))

    def close(self) -> None:
        if self._locks is not None:
            self._locks.close()


def _number(key: str) -> int:
    """64 bits of a key, signed as PostgreSQL wants them."""
    return int.from_bytes(hashlib.sha256(f"everloop lease {key}".encode()).digest()[:8], "big", signed=True)


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


_open: WeakSet[_FileLocks] = WeakSet()


def _after_fork() -> None:
    for locks in list(_open):
        locks.forget()


os.register_at_fork(after_in_child=_after_fork)

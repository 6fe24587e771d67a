"""Both sides of one race: a put that finds its content there already, and a collector that is about to delete it.

Content that is put again counts as new from that moment, and the collector deletes only what is old. For the two looks at the age to
agree, they exclude each other. In a folder both hold a lock on one file for some microseconds, which the kernel releases when its
holder dies. In an object store, which has no locks, the collector puts up a notice while it deletes; who has put something again looks
for the notice afterwards, waits until it is gone, and looks whether what was put is still there.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

LOCK = ".collecting"
NOTICES = "collecting"
# What is younger than this is no collector's business for long enough, and need not be put again.
RENEW_AFTER_S = 600.0
# A notice that stays longer was left by a collector that is gone.
_NOTICE_S = 60.0


@contextmanager
def sharing(folder: str) -> Iterator[None]:
    """For whoever puts: nothing in `folder` is deleted meanwhile."""
    with _locked(folder, fcntl.LOCK_SH):
        yield


@contextmanager
def deleting(folder: str) -> Iterator[None]:
    """For the collector: nothing in `folder` is renewed, or gets its name, meanwhile."""
    with _locked(folder, fcntl.LOCK_EX):
        yield


def renewed(folder: str, path: str) -> bool:
    """Make `path` young. False when it is gone, or another user's file: then it must be written. Another user's folder stays as old as
    it is: nobody else can replace it."""
    with sharing(folder):
        try:
            os.utime(f"{folder}/{path}")
        except FileNotFoundError:
            return False
        except PermissionError:
            return os.path.isdir(f"{folder}/{path}")
        return True


def is_young(found: Any) -> bool:
    """`found` is what an object store says of an object that is there."""
    return time.time() - found["last_modified"].timestamp() < RENEW_AFTER_S


def notice(path: str) -> str:
    """The notice for `ab/abc…` is that of all blobs that begin so; each folder has its own."""
    first, _, rest = path.partition("/")
    return f"{NOTICES}/{rest if first == 'trees' else first}"


def put_again(remote: Any, store: Any, path: str, write: Callable[[], None], *, whole: Callable[[], bool]) -> None:
    """Write what may be old and about to be deleted, until it is there and nobody is deleting."""
    write()
    while True:
        _wait(remote, store, notice(path))
        if whole():
            return
        write()


@contextmanager
def noticed(remote: Any, store: Any, path: str) -> Iterator[None]:
    """For the collector: the notice is up. What is old by a look from within may be deleted within."""
    remote.put(store, notice(path), b"")
    try:
        yield
    finally:
        remote.delete(store, notice(path))


def _wait(remote: Any, store: Any, path: str) -> None:
    deadline = time.monotonic() + _NOTICE_S
    while time.monotonic() < deadline:
        try:
            remote.head(store, path)
        except FileNotFoundError:
            return
        time.sleep(0.05)


@contextmanager
def _locked(folder: str, how: int) -> Iterator[None]:
    handle = os.open(f"{folder}/{LOCK}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(handle, how)
        yield
    finally:
        os.close(handle)

"""One process at a time, by a lock on a file that the kernel releases when its holder dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from everloop.core.errors import Broken, Busy

# Most locks are held for a moment, a few for hours.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.001, 0.05


@contextmanager
def file_lock(path: Path, *, timeout_s: float = 0.0) -> Iterator[None]:
    """Hold an exclusive lock on `path`. Raises Busy when another process still has it after `timeout_s`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise Broken(f"{path.parent} cannot be written ({error.strerror}). Make the folder writable, or set EVERLOOP_HOME.") from error
    try:
        _acquire(handle, path, time.monotonic() + timeout_s)
        # Padded, not truncated: some file systems flush a truncated file to the disk when it is closed.
        os.pwrite(handle, f"{os.getpid():<20}".encode(), 0)
        yield
    finally:
        os.close(handle)


def _acquire(handle: int, path: Path, deadline: float) -> None:
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                holder = os.pread(handle, 20, 0).decode(errors="replace").strip() or "?"
                raise Busy(f"{path} is held by process {holder}. Wait for it to end, or stop it, and try again.") from None
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)

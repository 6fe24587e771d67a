"""What outlives a Ray worker that was killed or crashed: the processes that a body started. A guard beside each worker ends them.

Without it they would hold the worker's sockets open, and Ray would not even notice that the worker is gone.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys

# Waits for the worker's end; then kills its process group, and what carries the mark in its environment (a child with a session
# of its own). It detaches itself, because Ray kills the children of a worker that it kills. Standard library only: 10 ms to start.
_GUARD = """
import os, select, signal, sys, time
worker, mark = int(sys.argv[1]), sys.argv[2].encode()
def fd_of(pid):
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    except (AttributeError, OSError):
        return -1
fd = fd_of(worker)
if os.fork():
    os._exit(0)
if fd is not None and fd >= 0:
    select.select([fd], [], [])
elif fd is not None:
    try:
        while True:
            os.kill(worker, 0)
            time.sleep(0.2)
    except ProcessLookupError:
        pass
def marked():
    try:
        names = os.listdir("/proc")
    except OSError:
        return
    for name in names:
        if name.isdigit() and int(name) != os.getpid():
            try:
                with open(f"/proc/{name}/environ", "rb") as file:
                    if mark in file.read().split(b"\\0"):
                        yield int(name)
            except OSError:
                pass
for _ in range(3):
    try:
        os.killpg(worker, signal.SIGKILL)
    except OSError:
        pass
    for pid in marked():
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
    time.sleep(0.05)
"""

_guarded = 0


def guard() -> None:
    """Set a guard beside this process, once. A child that the body forked and that made a session of its own escapes it."""
    global _guarded  # noqa: PLW0603
    if _guarded == os.getpid() or os.getpgrp() != os.getpid():
        return
    _guarded = os.getpid()
    mark = f"{_guarded}-{secrets.token_hex(8)}"
    subprocess.run(
        [sys.executable, "-I", "-S", "-c", _GUARD, str(_guarded), f"EVERLOOP_WORKER={mark}"],
        start_new_session=True,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.environ["EVERLOOP_WORKER"] = mark

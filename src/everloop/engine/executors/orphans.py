"""No process is left behind: what Linux lets a process ask for its children and its parent's end. Elsewhere these do nothing."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

LINUX = sys.platform == "linux"
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
# Loaded before any fork, so that a child need not.
_libc = ctypes.CDLL(None) if LINUX else None


def end_with(parent: int) -> None:
    """Have the kernel kill this process as soon as its parent is gone, in whatever way."""
    if _libc is None:
        return
    _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def adopt() -> None:
    """Become the parent of all descendants whose own parent ends, also of those that left for a session of their own."""
    if _libc is not None:
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children() -> set[int]:
    """The children of this process, adopted ones too. Empty where the kernel does not tell."""
    found: set[int] = set()
    if LINUX:
        for listed in Path("/proc/self/task").glob("*/children"):
            with suppress(OSError):
                found.update(int(pid) for pid in listed.read_text().split())
    return found


def has_children() -> bool:
    """Whether this process has children, running or ended; none of them is touched. False where the system cannot say."""
    if not hasattr(os, "waitid"):
        return False
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def signal_group(leader: int, number: int) -> bool:
    """To all of a process group, False when there is none; a leader that has not founded its group yet gets it alone."""
    for kill in (os.killpg, os.kill):
        try:
            kill(leader, number)
        except ProcessLookupError:
            continue
        except PermissionError:
            return True
        return True
    return False


def group_lives(leader: int) -> bool:
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

"""Processes, named so that none can be mistaken for a later one with the same number."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def this_process() -> str:
    """host:pid:start, with the start in seconds since the epoch (UTC)."""
    return f"{socket.gethostname()}:{os.getpid()}:{_start(os.getpid())}"


def is_gone(process: str) -> bool:
    """True when the process certainly ended: it was on this host, and no process has its number and start time."""
    host, _, rest = process.partition(":")
    number, _, started = rest.partition(":")
    if host != socket.gethostname() or not number:
        return False
    return _start(int(number)) != started


def _start(pid: int) -> str:
    """When a process began, empty when it has ended. A zombie has: only its parent has not asked yet."""
    try:
        return _start_in_proc(pid)
    except (OSError, ValueError, IndexError):
        return _start_by_psutil(pid)


def _start_in_proc(pid: int) -> str:
    """The number that psutil gives, for a fiftieth of the cost of importing it. See proc_pid_stat(5)."""
    boot = next(line for line in Path("/proc/stat").read_bytes().splitlines() if line.startswith(b"btime"))
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    # The name stands in parentheses, and may hold some itself.
    fields = stat[stat.rindex(b")") + 2 :].split()
    if fields[0] in (b"Z", b"X"):
        return ""
    return f"{int(fields[19]) / os.sysconf('SC_CLK_TCK') + int(boot.split()[1]):.2f}"


def _start_by_psutil(pid: int) -> str:
    import psutil

    try:
        found = psutil.Process(pid)
        return "" if found.status() == psutil.STATUS_ZOMBIE else f"{found.create_time():.2f}"
    except psutil.NoSuchProcess:
        return ""

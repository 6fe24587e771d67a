"""What a program tells the benchmark of its own work: CPU and wall seconds once everything is imported and read, and its peak memory.

Imports nothing that a peer could be charged for.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

facts: dict[str, float] = {}


@contextmanager
def metered(name: str = "") -> Iterator[None]:
    """Note `<name>wall_s` and `<name>cpu_s` of what is done inside, children that ended included."""
    wall, cpu = time.perf_counter(), _cpu_s()
    yield
    facts[f"{name}wall_s"], facts[f"{name}cpu_s"] = time.perf_counter() - wall, _cpu_s() - cpu


def report(**more: float) -> None:
    """Write what was metered, the process' peak memory, and what it found, as `name value` lines."""
    with open(os.environ["BENCH_REPORT"], "w", encoding="utf-8") as file:
        for name, fact in {**facts, "peak_mb": peak_mb(), **more}.items():
            file.write(f"{name} {fact:.9g}\n")


def peak_mb() -> float:
    """Most memory at once of this program alone. Linux' `ru_maxrss` would begin with that of the process which started it."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1000
    except (OSError, StopIteration):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / (1e6 if os.uname().sysname == "Darwin" else 1000)


def _cpu_s() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)

"""What all benchmarks share: a bar, and what a finished process cost."""

from __future__ import annotations

import ctypes
import json
import math
import os
import platform
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

UNMEASURED = 1e9  # JSON has no NaN


@dataclass(frozen=True)
class Bar:
    """`value` must be at most `limit`; what could not be told from noise is UNMEASURED, and holds nothing."""

    name: str
    value: float
    limit: float
    holds: bool


def bar(name: str, value: float, limit: float) -> Bar:
    return Bar(name, UNMEASURED if math.isnan(value) else float(f"{value:.4g}"), limit, value <= limit)


def show(bars: Sequence[Bar], *, as_json: bool) -> int:
    """Print them; the exit code."""
    if as_json:
        print(json.dumps({"bars": [asdict(one) for one in bars]}))
    else:
        for one in bars:
            print(f"{'holds' if one.holds else 'FAILS':6} {one.name:68} {one.value:>9.4g} (at most {one.limit:g})")
    return 0 if all(one.holds for one in bars) else 1


def machine() -> str:
    return f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


@dataclass(frozen=True)
class Cost:
    """Seconds; `cpu_s` is user and system time of the process and all that it started."""

    wall_s: float
    cpu_s: float


class Failed(Exception):
    """A process ended with an error; the text is its last line."""


def cost(command: Sequence[str], *, env: Mapping[str, str] | None = None, folder: Path | None = None, timeout_s: float = 300) -> Cost:
    """Run a command to its end, and end what it leaves behind. Failed when it fails; what it prints goes nowhere else."""
    adopt_orphans()
    before = _children_cpu_s()
    with tempfile.TemporaryFile() as printed:
        begun = time.perf_counter()
        # A file, not a pipe: a server that outlives its parent would hold the pipe open.
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.STDOUT, env=env, cwd=folder)
        # wait(timeout) asks every 50 ms and would round the wall time up to that; so somebody else watches the clock.
        late = threading.Timer(timeout_s, process.kill)
        late.start()
        try:
            code = process.wait()
            wall_s = time.perf_counter() - begun
        finally:
            in_time = late.is_alive()
            late.cancel()
            end_children()
        if code and not in_time:
            raise Failed(f"not done after {timeout_s:g} s")
        if code:
            printed.seek(0)
            lines = [line.strip() for line in printed.read().decode(errors="replace").splitlines() if line.strip()]
            raise Failed(lines[-1] if lines else f"exit code {code}")
    return Cost(wall_s, _children_cpu_s() - before)


def adopt_orphans() -> None:
    """On Linux, processes whose parents are gone become this one's children, so that their CPU is counted and they can be ended."""
    if sys.platform == "linux":
        set_child_subreaper = 36
        ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)


def end_children() -> None:
    """Wait for the processes that this one has, a moment of their own will, then by force."""
    import psutil

    me = psutil.Process()
    for how in ("wait", "terminate", "kill"):
        children = me.children(recursive=True)
        for child in children:
            try:
                if how != "wait":
                    getattr(child, how)()
            except psutil.NoSuchProcess:
                pass
        _, alive = psutil.wait_procs(children, timeout=3 if how == "terminate" else 1)
        if not alive and not me.children():
            return


def _children_cpu_s() -> float:
    """Of those that ended and were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime

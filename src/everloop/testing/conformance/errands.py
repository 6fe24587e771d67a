"""The work of the port's checks: what a task asks for, in JSON. Runs in a worker, so it can be imported by its name."""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from everloop.testing.conformance.under import PATIENCE_S


def task(kind: str, **more: object) -> bytes:
    return json.dumps({"kind": kind, **more}).encode()


def perform(task: bytes, tell: Callable[[bytes], None]) -> bytes:
    """`Work` of the port."""
    if task[:1] == b"\0":
        return task[::-1]
    asked = json.loads(task)
    match asked["kind"]:
        case "echo":
            return str(asked["value"]).encode()
        case "pid":
            return str(os.getpid()).encode()
        case "tell":
            for number in range(asked["times"]):
                tell(f"{number}".encode())
            return b"told"
        case "meet":
            return _meet(Path(asked["folder"]), asked["name"], asked["others"])
        case "linger":
            _family(Path(asked["file"]))
            time.sleep(600)
        case "die":
            if "file" in asked:
                _family(Path(asked["file"]))
            die(asked["how"])
        case kind:
            raise ValueError(kind)
    return b""


def die(how: str) -> None:
    if how == "exit":
        os._exit(3)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "segfault":
        faulthandler.disable()
        ctypes.string_at(0)
    time.sleep(600)


def _meet(folder: Path, name: str, others: list[str]) -> bytes:
    """Ends when the others are at work too: only at the same time can it end at all."""
    (folder / name).touch()
    deadline = time.monotonic() + PATIENCE_S
    while not all((folder / other).exists() for other in others):
        if time.monotonic() > deadline:
            return b"alone"
        time.sleep(0.005)
    return b"met"


def _family(file: Path) -> None:
    write_pids(file, [os.getpid(), *children()])


def children() -> list[int]:
    """Start some that would outlive this process: a child, a grandchild, and one in a session of its own."""
    sleep = "import time; time.sleep(600)"
    nested = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {sleep!r}]); print(p.pid, flush=True); p.wait()"
    child = subprocess.Popen([sys.executable, "-S", "-c", nested], stdout=subprocess.PIPE)
    apart = subprocess.Popen([sys.executable, "-S", "-c", sleep], start_new_session=True)
    assert child.stdout is not None
    return [child.pid, int(child.stdout.readline()), apart.pid]


def write_pids(file: Path, pids: list[int]) -> None:
    beside = file.with_suffix(".tmp")
    beside.write_text(" ".join(map(str, pids)))
    beside.rename(file)


def read_pids(file: Path) -> list[int]:
    return [int(pid) for pid in file.read_text().split()]

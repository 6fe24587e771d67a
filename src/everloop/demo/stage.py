"""The processes of the story, and what its driver may see: the product from outside, over HTTP and its own store."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import psutil

from everloop.core.errors import Broken

T = TypeVar("T")

PATIENCE_S = 180.0
_SERVERS = ("EVERLOOP_HOME", "EVERLOOP_DATABASE_URL", "EVERLOOP_BLOBS", "EVERLOOP_TRACKING_URI", "EVERLOOP_TOKEN")


def environment() -> dict[str, str]:
    """The demo keeps to its own folder, wherever the team's servers are, and its processes to a thread or two."""
    return {
        **{name: value for name, value in os.environ.items() if name not in _SERVERS},
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


class Stage:
    """`everloop up` in `folder`, on free ports, its talk in `up.log`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.control_port = _free_ports(2)
        self.log = folder / "up.log"
        self.memory = Memory()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Stage:
        command = [
            sys.executable,
            "-m",
            "everloop",
            "up",
            "--port",
            str(self.port),
            "--control-port",
            str(self.control_port),
            "--tick",
            "0.2",
        ]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, env=environment(), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.memory.start()
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self.memory.stop()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def command(self, *words: str) -> subprocess.Popen[str]:
        """Start an everloop command as a person would, in the project's folder; `communicate()` has what it printed."""
        command = [sys.executable, "-m", "everloop", *words]
        return subprocess.Popen(
            command, cwd=self.folder, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def wait(self, what: str, look: Callable[[], T | None], *, meanwhile: Callable[[], None] | None = None) -> T:
        """What `look` finds, as soon as it finds something. Broken, with the last lines of the log, when it does not in time."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            found = look()
            if found is not None and found is not False:
                return found
            if self.process.poll() is not None:
                raise Broken(f"'everloop up' ended with {self.process.returncode} while the demo waited for {what}:\n{self._tail()}")
            if meanwhile is not None:
                meanwhile()
            else:
                time.sleep(0.05)
        raise Broken(f"The demo waited {PATIENCE_S:g} s for {what}, in vain. The end of {self.log}:\n{self._tail()}")

    def _tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])


class Memory(threading.Thread):
    """The largest memory of this process and all its descendants together. Pages that processes share count once (PSS) where the kernel tells."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_bytes = 0
        self._stopped = threading.Event()

    def run(self) -> None:
        me = psutil.Process()
        while not self._stopped.wait(0.5):
            self.peak_bytes = max(self.peak_bytes, sum(_memory(process) for process in [me, *me.children(recursive=True)]))

    def stop(self) -> None:
        self._stopped.set()
        self.join()


def _memory(process: psutil.Process) -> int:
    try:
        full = process.memory_full_info()
        return int(getattr(full, "pss", 0) or full.rss)
    except psutil.Error:
        return 0


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for entry in sockets:
            entry.bind(("127.0.0.1", 0))
        return [int(entry.getsockname()[1]) for entry in sockets]
    finally:
        for entry in sockets:
            entry.close()

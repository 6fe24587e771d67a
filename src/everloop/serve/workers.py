"""Several worker processes on one port: started, watched, restarted when they die, stopped together."""

from __future__ import annotations

import logging
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from everloop.core.errors import Broken
from everloop.serve import listen
from everloop.serve.limits import Limits
from everloop.serve.worker import Order
from everloop.store.workspace import Workspace

log = logging.getLogger("everloop.serve")

_TICK_S = 0.1
_FIRST_WAIT_S, _LAST_WAIT_S = 0.1, 10.0
_SETTLED_S = 30.0
"""A worker that lived so long and then dies is restarted at once."""
_TRIES = 5
"""A worker that never became ready in so many tries cannot: the server ends with its reason."""


class _Worker:
    """One place among the workers, held by one process after another."""

    def __init__(self, order: bytes, folder: Path) -> None:
        self._order = order
        self._folder = folder
        self._wait_s = _FIRST_WAIT_S
        self._start_at = 0.0
        self.ready = False
        self.tries = 0
        self.said = ""
        self.process: subprocess.Popen[bytes] | None = None

    def tend(self, now: float) -> None:
        """Start it when it is time; notice that it is ready, or that it died."""
        if self.process is None:
            if now >= self._start_at:
                self._start(now)
            return
        self._listen()
        code = self.process.poll()
        if code is None:
            return
        self._listen()
        if now - self._started > _SETTLED_S:
            self._wait_s = _FIRST_WAIT_S
        log.warning("Worker %d ended with %d. Another is started in %.1f s.", self.process.pid, code, self._wait_s)
        self.forget()
        self._start_at = now + self._wait_s
        self._wait_s = min(self._wait_s * 2, _LAST_WAIT_S)

    def forget(self) -> None:
        """Close what belongs to a process that has ended."""
        if self.process is None:
            return
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        for path in self._folder.glob(f"gauge_live*_{self.process.pid}.db"):
            path.unlink(missing_ok=True)
        self.process = None

    def _start(self, now: float) -> None:
        self.tries += 1
        self._started = now
        environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(self._folder)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "everloop.serve.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it died at once, which the next look notices
            self.process.stdin.write(self._order)
            self.process.stdin.flush()

    def _listen(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        if select.select([self.process.stdout], [], [], 0)[0]:
            line = self.process.stdout.readline().decode(errors="replace").strip()
            if line == "ready":
                self.ready = True
            elif line:
                self.said = line


def run_workers(
    workspace: Workspace, *, host: str, port: int, workers: int, loops: Sequence[str] | None, ready: Callable[[str], None] | None
) -> None:
    """Blocks until SIGINT or SIGTERM. Broken when the workers cannot start at all, with what they said."""
    with listen.bind(host, port, shared=True) as held, _signals() as stopping, _metrics_folder() as folder:
        order = Order(
            project=str(workspace.project),
            home=str(workspace.home),
            database_url=workspace.database_url,
            blobs=workspace.blobs.location,
            host=host,
            port=held.getsockname()[1],
            loops=None if loops is None else tuple(loops),
            log_level=logging.getLogger().getEffectiveLevel(),
        )
        line = msgspec.json.encode(order) + b"\n"
        crew = [_Worker(line, folder) for _ in range(workers)]
        try:
            _watch(crew, stopping, lambda: ready(listen.url(host, held.getsockname()[1])) if ready is not None else None)
        finally:
            _end(crew)


def _watch(crew: Sequence[_Worker], stopping: threading.Event, ready: Callable[[], None]) -> None:
    told = False
    while not stopping.is_set():
        now = time.monotonic()
        for worker in crew:
            worker.tend(now)
            if worker.process is None and not worker.ready and worker.tries >= _TRIES:
                raise Broken(f"The workers cannot start: {worker.said or 'they end at once; their log above says why'}")
        if not told and all(worker.ready for worker in crew):
            told = True
            ready()
        stopping.wait(_TICK_S)


def _end(crew: Sequence[_Worker]) -> None:
    for worker in crew:
        if worker.process is not None:
            worker.process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + Limits().drain_s + 5
    for worker in crew:
        if worker.process is None:
            continue
        try:
            worker.process.wait(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.warning("Worker %d did not end in time and is killed.", worker.process.pid)
            worker.process.kill()
            worker.process.wait()
        worker.forget()


@contextmanager
def _signals() -> Generator[threading.Event, None, None]:
    stopping = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopping
        return

    def stop(_signal: int, _frame: object) -> None:
        stopping.set()

    before = {kind: signal.signal(kind, stop) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopping
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


@contextmanager
def _metrics_folder() -> Generator[Path, None, None]:
    """Where the workers' counters meet; gone with the server, since counters begin anew."""
    folder = Path(tempfile.mkdtemp(prefix="everloop-metrics-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)

"""The scheduler as a process: watches the loops, starts the runs that decisions queued, one process a run, and not too many at once.

`python -m everloop.server.scheduler FOLDER TICK_S [RUNS]`. One scheduler at a time in a workspace. A run's process is forked from a server that has the
libraries loaded already, so that a run begins in milliseconds, and a run that crashes takes nothing with it. What a run prints is in
`.everloop/logs/<run>.log`.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Collection, Mapping, Sequence
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from types import FrameType

from everloop.core.errors import BadProject, EverloopError
from everloop.core.runs import Run
from everloop.loop import watch
from everloop.project import Loop, load
from everloop.runner import perform, settle
from everloop.server.supervisor import BAD_PROJECT, RELOAD, STARTED_BEFORE
from everloop.store import approvals, runs
from everloop.store.locks import file_lock
from everloop.store.workspace import Workspace

ACTOR = "scheduler"
_ALL = 1_000_000
PRELOAD = ["everloop.adapters.preload", "everloop.loop"]


def startable(queued: Sequence[Run], *, busy: Collection[str], room: int, started_at: Mapping[str, float]) -> list[Run]:
    """Which of the queued runs start now: at most `room`, and one a loop, whose oldest it is. `busy` are loops with a run going on.

    The loop whose last start (`started_at`) is the longest ago comes first, of those that never started the one whose run was queued first.
    """
    first: dict[str, Run] = {}
    for run in sorted(queued, key=lambda run: (run.queued_at, run.id)):
        if run.loop not in busy:
            first.setdefault(run.loop, run)
    turn = sorted(first.values(), key=lambda run: (started_at.get(run.loop, 0.0), run.queued_at, run.id))
    return turn[: max(0, room)]


class Scheduler:
    """One tick: what was watched, decided and started. At most `most` runs at once, by default one a core."""

    def __init__(self, workspace: Workspace, loops: dict[str, Loop], context: ForkServerContext, *, most: int | None = None) -> None:
        self.workspace = workspace
        self.loops = loops
        self.children: dict[str, ForkServerProcess] = {}
        self.context = context
        self.most = most or max(1, os.cpu_count() or 1)
        self._started_at: dict[str, float] = {}

    def tick(self) -> None:
        for loop in self.loops.values():
            # One loop's trouble must not keep the others from being watched.
            try:
                watch(self.workspace, loop, now=time.time(), actor=ACTOR)
            except EverloopError as error:
                print(f"watching {loop.name!r}: {error}", file=sys.stderr, flush=True)
            except Exception:
                traceback.print_exc()
        self._reap()
        self._attend()
        self._start()

    def _reap(self) -> None:
        for id, child in list(self.children.items()):
            if not child.is_alive():
                child.join()
                del self.children[id]
        settle(self.workspace)

    def _attend(self) -> None:
        """Questions whose time is over are answered by their policy; runs whose question was answered are queued again."""
        now = time.time()
        with self.workspace.read() as tx:
            due = approvals.is_due(tx, now=now)
        if due:
            with self.workspace.write() as tx:
                approvals.expire(tx, now=now, actor=ACTOR)
                approvals.resume(tx)

    def _start(self) -> None:
        with self.workspace.read() as tx:
            queued = [run for run in runs.find(tx, status="queued", limit=_ALL) if run.loop in self.loops]
            busy = {run.loop for run in runs.find(tx, status="running")}
        # What was started and is not claimed yet is queued still.
        busy |= {run.loop for run in queued if run.id in self.children}
        for run in startable(queued, busy=busy, room=self.most - len(self.children), started_at=self._started_at):
            child = self.context.Process(target=_run_in_child, args=(str(self.workspace.project), run.id), name=run.id)
            child.start()
            self.children[run.id] = child
            self._started_at[run.loop] = time.time()


def _run_in_child(project: str, id: str) -> None:
    with Workspace(project) as workspace:
        _log_to(workspace.home / "logs" / f"{id}.log")
        with workspace.write() as tx:
            run = runs.claim(tx, id)
        if run is None:
            return
        try:
            loops = load(project)
            if run.loop not in loops:
                raise BadProject(f"loop.py declares no loop {run.loop!r} any more.")
        except EverloopError as error:
            with workspace.write() as tx:
                runs.finish(tx, id, "failed", error=str(error))
            raise
        perform(workspace, loops[run.loop], run)


def _log_to(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)


def _stamp(project: Path) -> list[tuple[str, int]]:
    """Changes when the user's code does."""
    found: list[tuple[str, int]] = []
    for path in sorted(project.glob("**/*.py")):
        if not any(part.startswith(".") or part in ("node_modules", "site-packages") for part in path.relative_to(project).parts):
            with contextlib.suppress(OSError):
                found.append((str(path), path.stat().st_mtime_ns))
    return found


def main(project: str, tick_s: float, *, most: int | None = None, again: bool) -> int:
    """Until SIGTERM: 0. RELOAD when the user's code changed and must be imported anew.

    When that code does not import: BAD_PROJECT the first time; later (`again`) it is waited for a change, the data plane goes on meanwhile.
    """
    stopping: list[int] = []

    def stop(received: int, _frame: FrameType | None) -> None:
        stopping.append(received)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    with Workspace(project) as workspace, file_lock(workspace.home / "scheduler.lock", timeout_s=5):
        stamp = _stamp(workspace.project)
        # It loads its libraries while this process loads the user's.
        forkserver.ensure_running()
        try:
            scheduler = Scheduler(workspace, load(project), context, most=most)
        except EverloopError as error:
            if not again:
                print(f"everloop: {error}", file=sys.stderr, flush=True)
                return BAD_PROJECT
            print(f"{error}\n\nWaiting for a change to try again.", file=sys.stderr, flush=True)
            scheduler = None
        while not stopping:
            if scheduler is not None:
                scheduler.tick()
            time.sleep(tick_s)
            if _stamp(workspace.project) != stamp and not (scheduler and scheduler.children):
                return RELOAD
    return 0


def _runs(words: list[str]) -> int | None:
    """How many runs at once, when the caller said so."""
    return int(words[0]) if words else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2]), most=_runs(sys.argv[3:]), again=bool(os.environ.get(STARTED_BEFORE))))

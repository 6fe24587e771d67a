"""`kill -9` at every stage boundary of a cycle: the next run finishes, repeats no finished step, and leaves nothing behind."""

from __future__ import annotations

import multiprocessing
import shutil
import signal
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
from ring_project import child, write_project

from everloop.store import ledger, records, registry, runs
from everloop.store.workspace import Workspace

EFFECTS = {"register", "release", "nothing_new", "stop", "refuse"}


@pytest.fixture(scope="module")
def processes() -> Iterator[ForkServerContext]:
    """Processes forked from one that has the libraries loaded: each is killed for real, none has to import for seconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["everloop.adapters.preload", "everloop.loop", "everloop.runner", "ring_project"])
    return context


def run(processes: ForkServerContext, project: Path, kill_at: int | None) -> tuple[int | None, tuple[str, list[tuple[str, str]]] | None]:
    """(exit code, what the run answered, None when it was killed)."""
    answers = processes.Queue()
    process = processes.Process(target=child, args=(str(project), kill_at, answers))
    process.start()
    answer = None if kill_at is not None else answers.get(timeout=120)
    process.join(120)
    return process.exitcode, answer


def test_a_cycle_survives_kill_9_at_every_boundary(tmp_path: Path, processes: ForkServerContext) -> None:
    sound = write_project(tmp_path / "sound")
    code, answer = run(processes, sound, None)
    assert code == 0
    assert answer is not None
    status, boundaries = answer
    assert status == "done"
    names = [name for kind, name in boundaries if kind == "finished"]
    assert {"ingest", "profile", "validate", "prepare", "fit", "score", "judge", "register", "prove", "release"} <= set(names)

    for kill_at in range(len(boundaries)):
        project = write_project(tmp_path / f"killed-{kill_at}")
        code, _ = run(processes, project, kill_at)
        assert code == -signal.SIGKILL, f"boundary {kill_at} {boundaries[kill_at]}"
        code, answer = run(processes, project, None)
        assert code == 0
        assert answer is not None, f"the run after boundary {kill_at} {boundaries[kill_at]} did not end"
        check(project, kill_at, boundaries, answer[0])
        shutil.rmtree(project)


def check(project: Path, kill_at: int, boundaries: list[tuple[str, str]], status: str) -> None:
    where = f"killed at boundary {kill_at} {boundaries[kill_at]}"
    assert status == "done", where
    with Workspace(project) as workspace, workspace.read() as tx:
        found = runs.find(tx, loop="cells")
        assert sorted(one.status for one in found) == ["crashed", "done"], where
        after, before = found
        finished = {step.name for step in runs.steps_of(tx, before.id) if step.status == "done"} - EFFECTS
        repeated = {step.name for step in runs.steps_of(tx, after.id) if step.status == "done"} & finished
        assert not repeated, f"{where}: {repeated} ran again"
        assert records.dangling(tx) == [], where
        assert ledger.verify(tx) == [], where
        assert [entry.number for entry in registry.find(tx, loop="cells")] == [1], where
        assert registry.deployment(tx, "cells").champion == 1, where
        assert len(ledger.find(tx, loop="cells", action="register")) == 1, where
        assert len(ledger.find(tx, loop="cells", action="promote")) == 1, where
        for step in runs.steps_of(tx, after.id):
            assert step.status in ("done", "hit"), where

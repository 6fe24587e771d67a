"""`kill -9` at every stage boundary of a cycle: the next run finishes, repeats no finished step, and leaves nothing behind."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ring_project import write_project

from everloop.store import ledger, records, registry, runs
from everloop.store.workspace import Workspace

EFFECTS = {"enter", "register", "release", "nothing_new", "stop", "refuse"}


class Forker:
    """A process that forks a run for each question."""

    def __init__(self) -> None:
        command = [sys.executable, str(Path(__file__).with_name("ring_project.py"))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, project: Path, kill_at: int | None) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps({"project": str(project), "kill_at": kill_at}), file=self.process.stdin, flush=True)
        return dict(json.loads(self.process.stdout.readline()))


@pytest.fixture
def forker() -> Iterator[Forker]:
    forker = Forker()
    yield forker
    with forker.process:
        forker.process.kill()


def test_a_cycle_survives_kill_9_at_every_boundary(tmp_path: Path, forker: Forker) -> None:
    sound = forker.run(write_project(tmp_path / "sound"), None)
    assert (sound["exit"], sound["status"]) == (0, "done")
    boundaries = sound["boundaries"]
    names = {name for kind, name in boundaries if kind == "finished"}
    assert {"ingest", "profile", "validate", "prepare", "fit", "score", "judge", "register", "prove", "release"} <= names

    for kill_at, boundary in enumerate(boundaries):
        where = f"killed at boundary {kill_at} {boundary}"
        project = write_project(tmp_path / f"killed-{kill_at}")
        assert forker.run(project, kill_at)["exit"] == -signal.SIGKILL, where
        after = forker.run(project, None)
        assert (after["exit"], after["status"]) == (0, "done"), where
        check(project, where)
        shutil.rmtree(project)


def check(project: Path, where: str) -> None:
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

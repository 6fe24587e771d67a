"""A small real project for tests of the whole ring, and the process that runs it and dies where it is told to."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import polars as pl

from everloop.core.runs import Run
from everloop.engine.events import Event

LOOP_PY = """
from sklearn.linear_model import LogisticRegression
from everloop import Feedback, Files, Loop, gates

loop = Loop(
    "cells",
    source=Files("data/*.csv") + Feedback(),
    target="kind",
    model=LogisticRegression(max_iter=200),
    metrics=["accuracy"],
    gates=[gates.at_least("accuracy", 0.6), gates.no_worse_than_champion("accuracy", by=0.05)],
)
"""


def rows(count: int = 240, *, seed: int = 0) -> pl.DataFrame:
    """Two groups that a straight line nearly tells apart."""
    import numpy as np

    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 2, count)
    return pl.DataFrame(
        {
            "size": np.round(rng.normal(2.0 * kind, 1.0), 4),
            "shape": np.round(rng.normal(-1.0 * kind, 1.0), 4),
            "place": np.array(["north", "south", "west"])[rng.integers(0, 3, count)],
            "kind": np.array(["benign", "malign"])[kind],
        }
    )


def write_project(folder: Path, *, loop: str = LOOP_PY, table: pl.DataFrame | None = None) -> Path:
    (folder / "data").mkdir(parents=True)
    (folder / "loop.py").write_text(loop)
    (rows() if table is None else table).write_csv(folder / "data" / "001.csv")
    return folder


def run_once(project: str, kill_at: int | None, params: dict[str, Any] | None = None) -> tuple[Run, list[tuple[str, str]]]:
    """One cycle in this process. With `kill_at`, SIGKILL to itself at that stage boundary (a step's beginning or end), counted from 0."""
    from everloop.project import load
    from everloop.runner import perform, request, settle
    from everloop.store.workspace import Workspace

    seen: list[tuple[str, str]] = []

    def boundary(event: Event) -> None:
        if len(seen) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        seen.append((event.kind, event.step.name))

    with Workspace(project) as workspace:
        settle(workspace)
        loop = load(project)["cells"]
        run = request(workspace, loop.name, options={"params": params or {}}, foreground=True)
        return perform(workspace, loop, run, observers=[boundary]), seen


def make_old(project: Path, *, seconds: float = 48 * 3600.0) -> None:
    """As if nothing had happened in it for so long: a collector leaves alone what is too new to tell."""
    from everloop.store.workspace import Workspace

    for path in project.rglob("*"):
        os.utime(path, (path.stat().st_mtime - seconds, path.stat().st_mtime - seconds))
    with Workspace(project) as workspace, workspace.write() as tx:
        tx.sql("UPDATE records SET created_at = created_at - :seconds", {"seconds": seconds})
        tx.sql("UPDATE runs SET started_at = started_at - :seconds, ended_at = ended_at - :seconds", {"seconds": seconds})


def fork_runs() -> None:
    """Reads `project` and `kill_at` a line, forks a process for each, and writes how it ended: {"exit", "status", "boundaries"}.

    The libraries are loaded once, here: each forked process is killed for real, and none has to import for seconds.
    """
    import everloop.adapters.preload
    import everloop.runner  # noqa: F401

    for line in sys.stdin:
        asked = json.loads(line)
        answer, told = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(answer)
            try:
                run, seen = run_once(asked["project"], asked["kill_at"])
                with os.fdopen(told, "w") as file:
                    json.dump({"status": run.status, "boundaries": seen}, file)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        os.close(told)
        with os.fdopen(answer) as file:
            text = file.read()
        _, status = os.waitpid(pid, 0)
        print(
            json.dumps({"exit": os.waitstatus_to_exitcode(status), "status": "", "boundaries": [], **json.loads(text or "{}")}), flush=True
        )


if __name__ == "__main__":
    fork_runs()

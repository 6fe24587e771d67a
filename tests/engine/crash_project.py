"""What test_engine_crash.py runs in processes: a pipeline of four steps that kills its process at the n-th event; with 0 it finishes.

Each body leaves a line in bodies.txt, so that repetitions are seen; the answer goes to answer.txt.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from everloop.core.verdict import Finding, Verdict
from everloop.engine.events import Event
from everloop.engine.pipeline import pipeline
from everloop.engine.run import execute
from everloop.engine.step import step
from everloop.store import records, runs
from everloop.store.workspace import Workspace


def note(name: str) -> None:
    with Path("bodies.txt").open("a") as file:
        file.write(name + "\n")
    time.sleep(float(os.environ.get("PAUSE_S", "0")))


@step
def table(rows: int):
    import polars as pl

    note("table")
    return pl.DataFrame({"x": range(rows)})


@step
def record(frame):
    note("record")
    return Verdict(question="data", about="", findings=(Finding(check="rows", passed=True, message=f"{frame.height} rows"),))


@step
def files(frame):
    note("files")
    path = Path("out.txt")
    path.write_text(str(frame["x"].sum()))
    return path


@step
def last(verdict, path, numbers):
    note("last")
    return [verdict.sentence(), path.read_text(), numbers]


@pipeline
def four(rows: int):
    frame = table(rows)
    verdict = record(frame)
    return last(verdict, files(frame), (1, 2.0)), verdict


def main(folder: str, kill_at: int, pause_s: float) -> None:
    os.chdir(folder)
    os.environ["PAUSE_S"] = str(pause_s)
    seen = 0

    def observe(event: Event) -> None:
        nonlocal seen
        seen += 1
        if seen == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    with Workspace(".") as workspace:
        with workspace.write() as tx:
            run = runs.claim(tx, runs.queue(tx, "", "four", decision="").id)
        assert run is not None
        value, verdict = execute(four, 5, workspace=workspace, run=run, observers=[observe])
        with workspace.read() as tx:
            answer = [value, verdict.id, runs.get(tx, run.id).status, records.dangling(tx)]
    Path(f"answer-{os.getpid()}.txt").write_text(repr(answer))

"""What test_engine_kills.py runs in processes: a pipeline over every kind of artifact, killed with SIGKILL at a random moment.

`at`: the n-th time that Python opens, renames, links or removes a file, or makes a folder, in the workspace. `body`: within the n-th body.
`row`: as the n-th row of a step or cache entry is about to be written. With 0 nothing happens, and the answer goes to a file.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from everloop.core.verdict import Finding, Verdict
from everloop.engine.pipeline import pipeline
from everloop.engine.run import execute
from everloop.engine.step import step
from everloop.store import runs
from everloop.store.workspace import Workspace


def body(name: str) -> None:
    """Leaves a line, so that repetitions are seen; dies where it is told to, once."""
    with Path("bodies.txt").open("a") as file:
        file.write(name + "\n")
    if os.environ.get("KILL_BODY") == name:
        try:
            os.close(os.open(f"killed-{name}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


@step(retries=1)
def table(rows: int) -> Any:
    import polars as pl

    body("table")
    return pl.DataFrame({"x": range(rows), "k": [index % 3 for index in range(rows)]})


@step(retries=1)
def parts(frame: Any) -> Any:
    body("parts")
    return {str(key[0]): part for key, part in sorted(frame.partition_by("k", as_dict=True).items())}


@step(retries=1)
def total(part: Any) -> int:
    body(f"total{part['k'][0]}")
    return int(part["x"].sum())


@step(retries=1)
def judge(frame: Any) -> Verdict:
    body("judge")
    return Verdict(question="data", about="", findings=(Finding(check="rows", passed=True, message=f"{frame.height} rows"),))


@step(retries=1)
def write(totals: dict[str, int]) -> Path:
    body("write")
    folder = Path(f"out-{os.getpid()}")
    folder.mkdir(exist_ok=True)
    for name, value in totals.items():
        (folder / name).write_text(str(value) * 100)
    return folder


@step(retries=1)
def last(verdict: Verdict, folder: Path, array: Any) -> list[object]:
    body("last")
    return [verdict.sentence(), sorted((path.name, path.read_text()) for path in folder.iterdir()), array.tolist()]


@step(retries=1)
def array(frame: Any) -> Any:
    body("array")
    return frame["x"].to_numpy()[:5].copy()


@pipeline
def whole(rows: int) -> Any:
    frame = table(rows)
    return last(judge(frame), write(total.map(parts(frame))), array(frame))


def main(folder: str, executor: str, kind: str, count: int) -> None:
    os.chdir(folder)
    if kind == "body" and count:
        os.environ["KILL_BODY"] = ["table", "parts", "total0", "total1", "total2", "judge", "write", "last", "array"][count % 9]
    left = itertools.count(1)

    def fall(_event: str = "", _args: object = ()) -> None:
        if next(left) == count:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(event: str, args: tuple[Any, ...]) -> None:
        if event in ("open", "os.rename", "os.link", "os.remove", "os.mkdir", "os.utime") and ".everloop" in str(args[0]):
            fall()

    def call(frame: FrameType, event: str, _arg: object) -> None:
        if (
            event == "call"
            and frame.f_code.co_name in ("put_step", "put_steps", "put_cached", "keep", "finish")
            and "store" in frame.f_code.co_filename
        ):
            fall()

    if kind == "at" and count:
        sys.addaudithook(audit)
    if kind == "row" and count:
        sys.setprofile(call)
        threading.setprofile(call)
    with Workspace(".") as workspace:
        with workspace.write() as tx:
            run = runs.claim(tx, runs.queue(tx, "", "whole", decision="").id)
        assert run is not None
        value = execute(whole, 9, workspace=workspace, run=run, executor=executor, workers=2)
        with workspace.read() as tx:
            rows = sorted((row.name, row.status in ("hit", "done"), row.output) for row in runs.steps_of(tx, run.id))
            answer = [value, runs.get(tx, run.id).status, rows]
    sys.setprofile(None)
    Path("answer.txt").write_text(repr(answer))

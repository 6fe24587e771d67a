"""What test_engine_approval.py runs in processes: a pipeline that asks a person in the middle, and people who answer.

Each body leaves a line in bodies.txt, so that repetitions are seen; the answer goes to answer.txt.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from everloop.core.errors import Conflict
from everloop.engine.approval import approval
from everloop.engine.pipeline import pipeline
from everloop.engine.run import execute
from everloop.engine.step import step
from everloop.store import approvals, ledger, runs
from everloop.store.workspace import Workspace


def note(name: str) -> None:
    with Path("bodies.txt").open("a") as file:
        file.write(name + "\n")


@step
def candidate(value: int) -> list[int]:
    note("candidate")
    return [value]


@step
def release(made: list[int], verdict: str) -> str:
    note("release")
    return f"released {made}: {verdict}"


@pipeline
def asking(value: int, question: str = "Release it?", timeout: str | float | None = None, on_timeout: str = "reject"):
    made = candidate(value)
    verdict = approval(question, about=made, timeout=timeout, on_timeout=on_timeout)  # type: ignore[arg-type]
    if not verdict.passed:
        return verdict.sentence()
    return release(made, verdict.findings[0].observed)


def in_the_foreground(workspace: Workspace, value: int = 1, **kwargs: object) -> str:
    with workspace.write() as tx:
        run = runs.claim(tx, runs.queue(tx, "", "asking", decision="", options={"foreground": True}).id)
    assert run is not None
    return execute(asking, value, workspace=workspace, run=run, **kwargs)


def main(what: str, folder: str, url: str) -> None:
    os.chdir(folder)
    with Workspace(folder, database_url=url) as workspace:
        if what == "run":
            Path("answer.txt").write_text(in_the_foreground(workspace))
            return
        with workspace.read() as tx:
            (asked,) = approvals.find(tx)
        if what == "die":
            # As if the process were killed when its answer is written, and the decision is not.
            ledger.append = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
        Path(f"ready-{os.getpid()}").touch()
        while what == "answer" and not Path("gate").exists():
            time.sleep(0.001)
        try:
            with workspace.write() as tx:
                approvals.answer(tx, asked.id, "approved", reason="", by=f"person {os.getpid()}", now=time.time())
            print("won")
        except Conflict as error:
            print(error)


if __name__ == "__main__":
    main(*sys.argv[1:])

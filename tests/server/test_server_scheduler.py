"""The scheduler as a real process: runs that die, code that changes, projects that do not import."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ring_project import LOOP_PY, write_project

from everloop.runner import request
from everloop.store import ledger, runs
from everloop.store.workspace import Workspace

PATIENCE_S = 120.0

DEADLY = """
import os, pathlib

def train(train, valid, params):
    deaths = pathlib.Path(__file__).parent / "deaths"
    if len(list(deaths.glob("*"))) < params["deaths"]:
        (deaths / str(os.getpid())).write_text("")
        os.kill(os.getpid(), 9)
    return LogisticRegression(max_iter=200).fit(train.features, train.target)

loop = Loop("""


@pytest.fixture
def schedule() -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(project: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "everloop.server.scheduler", str(project), "0.1"]
        started.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
        if process.stderr is not None:
            process.stderr.close()


def deadly(folder: Path, deaths: int) -> Path:
    text = LOOP_PY.replace("LogisticRegression(max_iter=200)", f'train,\n    params={{"deaths": {deaths}}}').replace(
        "\nloop = Loop(", DEADLY
    )
    project = write_project(folder, loop=text)
    (project / "deaths").mkdir()
    return project


def ended(workspace: Workspace, count: int, schedule: subprocess.Popen[str]) -> list[str]:
    """The states of the runs, oldest first, once there are `count` and none is under way."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with workspace.read() as tx:
            states = [run.status for run in reversed(runs.find(tx))]
        if len(states) >= count and not {"queued", "running"} & set(states):
            return states
        assert schedule.poll() is None, schedule.stderr and schedule.stderr.read()
        time.sleep(0.1)
    pytest.fail("the runs did not end")


def test_a_run_whose_process_is_killed_starts_again_and_finishes(tmp_path: Path, schedule: Callable[[Path], subprocess.Popen[str]]) -> None:
    project = deadly(tmp_path / "p", 1)
    with Workspace(project) as workspace:
        request(workspace, "cells")
        assert ended(workspace, 2, schedule(project)) == ["crashed", "done"]
        with workspace.read() as tx:
            assert len(ledger.find(tx, action="resume")) == 1
            assert ledger.verify(tx) == []
            first, second = reversed(runs.find(tx))
            before = {step.name for step in runs.steps_of(tx, first.id) if step.status == "done"}
            again = {step.name for step in runs.steps_of(tx, second.id) if step.status == "done"}
        assert {"ingest", "prepare"} <= before
        assert not before & again


def test_a_run_that_always_kills_its_process_is_given_up(tmp_path: Path, schedule: Callable[[Path], subprocess.Popen[str]]) -> None:
    project = deadly(tmp_path / "p", 99)
    with Workspace(project) as workspace:
        request(workspace, "cells")
        assert ended(workspace, runs.MAX_ATTEMPTS, schedule(project)) == ["crashed"] * runs.MAX_ATTEMPTS
        with workspace.read() as tx:
            assert [decision.action for decision in ledger.find(tx, rule="crashed run")] == ["resume", "resume", "give_up"]


def test_a_run_that_fails_calls_a_person(tmp_path: Path, schedule: Callable[[Path], subprocess.Popen[str]]) -> None:
    text = LOOP_PY.replace("LogisticRegression(max_iter=200)", "train").replace(
        "\nloop = Loop(", "\ndef train(train):\n    raise ValueError('no such luck')\n\nloop = Loop("
    )
    project = write_project(tmp_path / "p", loop=text)
    with Workspace(project) as workspace:
        run = request(workspace, "cells")
        scheduler = schedule(project)
        assert ended(workspace, 1, scheduler) == ["failed"]
        pages = project / ".everloop" / "pages.jsonl"
        deadline = time.monotonic() + 30
        while not pages.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert "no such luck" in pages.read_text()
        assert "ValueError: no such luck" in (project / ".everloop" / "logs" / f"{run.id}.log").read_text()


def test_changed_code_asks_for_a_new_start(tmp_path: Path, schedule: Callable[[Path], subprocess.Popen[str]]) -> None:
    project = write_project(tmp_path / "p")
    with Workspace(project) as workspace:
        request(workspace, "cells")
        scheduler = schedule(project)
        assert ended(workspace, 1, scheduler) == ["done"]
    (project / "loop.py").write_text(LOOP_PY + "\n# another thought\n")
    assert scheduler.wait(30) == 75


def test_a_project_that_does_not_import_is_said_so_at_once(tmp_path: Path, schedule: Callable[[Path], subprocess.Popen[str]]) -> None:
    project = write_project(tmp_path / "p", loop="1 / 0\n")
    scheduler = schedule(project)
    assert scheduler.wait(60) == 4
    assert scheduler.stderr is not None
    assert "ZeroDivisionError" in scheduler.stderr.read()

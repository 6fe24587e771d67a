"""The scheduler as a real process: runs that die, code that changes, projects that do not import."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ring_project import LOOP_PY, write_project

from everloop.core.runs import Run
from everloop.runner import request
from everloop.server.scheduler import startable
from everloop.store import approvals, ledger, runs
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

# Gates are checked by the pipeline itself, so that one may ask a person.
ASKING = """
from everloop.engine.approval import approval
from everloop.evaluate.gates import AtLeast

class Asked(AtLeast, frozen=True):
    def check(self, known_metrics, known_columns):
        if not approval("Train on it?", timeout="1h" if self.limit == 0.6 else 0.2, on_timeout="fail").passed:
            raise ValueError("not allowed")

loop = Loop("""


@pytest.fixture
def schedule() -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(project: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "everloop.server.scheduler", str(project), "0.1", "1"]
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
        # Writing down what the dataset is now is an effect, and always runs.
        assert not (before & again) - {"enter"}


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


def test_a_run_that_waits_for_a_person_goes_on_when_there_is_an_answer(
    tmp_path: Path, schedule: Callable[[Path], subprocess.Popen[str]]
) -> None:
    text = LOOP_PY.replace("gates.at_least(", "Asked(").replace("\nloop = Loop(", ASKING)
    project = write_project(tmp_path / "p", loop=text)
    with Workspace(project) as workspace:
        run = request(workspace, "cells")
        scheduler = schedule(project)
        assert ended(workspace, 1, scheduler) == ["waiting"]
        with workspace.write() as tx:
            (asked,) = approvals.find(tx)
            assert approvals.answer(tx, asked.id, "approved", reason="", by="ada", now=time.time())[2] == [run.id]
        assert ended(workspace, 1, scheduler) == ["done"]
        with workspace.read() as tx:
            names = [step.name for step in runs.steps_of(tx, run.id) if step.status == "done"]
            assert "approval" in names
            assert "register" in names


def test_when_nobody_answers_the_scheduler_applies_the_policy(tmp_path: Path, schedule: Callable[[Path], subprocess.Popen[str]]) -> None:
    text = LOOP_PY.replace('gates.at_least("accuracy", 0.6)', 'Asked("accuracy", 0.5)').replace("\nloop = Loop(", ASKING)
    project = write_project(tmp_path / "p", loop=text)
    with Workspace(project) as workspace:
        request(workspace, "cells")
        scheduler = schedule(project)
        deadline = time.monotonic() + PATIENCE_S
        while ended(workspace, 1, scheduler) != ["failed"] and time.monotonic() < deadline:
            time.sleep(0.1)
        with workspace.read() as tx:
            assert "Nobody answered" in runs.find(tx)[0].error
            (decision,) = ledger.find(tx, rule="approval timeout")
            assert decision.actor == "scheduler"
            assert ledger.verify(tx) == []


def queued(loops: list[str]) -> list[Run]:
    return [Run(id=f"run-{at:03}", loop=loop, pipeline="cycle", status="queued", queued_at=float(at)) for at, loop in enumerate(loops)]


@given(st.lists(st.sampled_from("abcd"), max_size=20), st.sets(st.sampled_from("abcd")), st.integers(-1, 5), st.randoms())
def test_what_starts_is_the_oldest_of_each_idle_loop_as_far_as_there_is_room(
    loops: list[str], busy: set[str], room: int, random: object
) -> None:
    waiting = queued(loops)
    shuffled = waiting.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    chosen = startable(shuffled, busy=busy, room=room, started_at={})
    oldest = {run.loop: run for run in reversed(waiting) if run.loop not in busy}
    assert chosen == sorted(oldest.values(), key=lambda run: run.queued_at)[: max(0, room)]


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=40))
def test_a_loop_with_many_runs_does_not_starve_the_others(loops: list[str]) -> None:
    """With room for one, the loops that have runs take turns, whoever queued how many before."""
    waiting, started_at, order = queued(loops), dict[str, float](), list[str]()
    while waiting:
        (run,) = startable(waiting, busy=(), room=1, started_at=started_at)
        waiting.remove(run)
        started_at[run.loop] = float(len(order) + 1)
        order.append(run.loop)
    at = 0
    while at < len(order):
        rest = order[at:]
        round_ = rest[: len(set(rest))]
        assert set(round_) == set(rest), "each that has a run left gets one in each round"
        at += len(round_)


def test_no_more_runs_at_once_than_asked_for(tmp_path: Path, schedule: Callable[[Path], subprocess.Popen[str]]) -> None:
    text = LOOP_PY + LOOP_PY[LOOP_PY.index("loop = Loop(") :].replace("loop = Loop(", "other = Loop(").replace('"cells"', '"others"')
    project = write_project(tmp_path / "p", loop=text)
    with Workspace(project) as workspace:
        for name in ("cells", "cells", "cells", "others"):
            request(workspace, name)
        assert ended(workspace, 4, schedule(project)) == ["done"] * 4
        with workspace.read() as tx:
            spans = sorted((run.started_at or 0.0, run.ended_at or 0.0, run.loop) for run in runs.find(tx))
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans)), spans
    assert [loop for _, _, loop in spans].index("others") == 1, "it was queued last, and its loop was served least"

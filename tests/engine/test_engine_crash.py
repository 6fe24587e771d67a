"""Killed at every moment between two transactions, a run continues behind the last finished step. Two processes share the work."""

from __future__ import annotations

import collections
import multiprocessing
import signal
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import crash_project
import pytest

from everloop.store import records, runs
from everloop.store.workspace import Workspace

EVENTS = 8
# Each is a new process, forked from one that has only imported: a start costs milliseconds.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["polars", "everloop.engine.run", "everloop.store.tables"])


def start(folder: Path, kill_at: int = 0, pause_s: float = 0.0) -> ForkServerProcess:
    folder.mkdir(exist_ok=True)
    process = SERVER.Process(target=crash_project.main, args=(str(folder), kill_at, pause_s))
    process.start()
    return process


def finish(folder: Path, process: ForkServerProcess) -> str:
    process.join(60)
    assert process.exitcode == 0
    return (folder / f"answer-{process.pid}.txt").read_text()


def die(process: ForkServerProcess) -> None:
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


def bodies(folder: Path) -> collections.Counter[str]:
    path = folder / "bodies.txt"
    return collections.Counter(path.read_text().split() if path.exists() else [])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("undisturbed")
    return finish(folder, start(folder))


def test_killed_at_every_event_and_run_again(tmp_path: Path, undisturbed: str) -> None:
    """One folder an event, so that each kill meets a fresh workspace. Event 2k-1 is a step's start, 2k its end."""
    assert "'done', []" in undisturbed
    folders = {kill_at: tmp_path / str(kill_at) for kill_at in range(1, EVENTS + 1)}
    for process in [start(folder, kill_at) for kill_at, folder in folders.items()]:
        die(process)
    finished: dict[int, list[str]] = {}
    before: dict[int, collections.Counter[str]] = {}
    for kill_at, folder in folders.items():
        with Workspace(folder) as workspace, workspace.read() as tx:
            (run,) = runs.find(tx)
            assert run.status == "running"
            finished[kill_at] = [step.name for step in runs.steps_of(tx, run.id) if step.status == "done"]
            assert len(finished[kill_at]) == kill_at // 2
            assert records.dangling(tx) == []
        before[kill_at] = bodies(folder)
    again = {kill_at: start(folder) for kill_at, folder in folders.items()}
    for kill_at, folder in folders.items():
        assert finish(folder, again[kill_at]) == undisturbed
        after = bodies(folder)
        assert all(after[name] == before[kill_at][name] for name in finished[kill_at])
        assert all(after[name] <= 2 for name in after)


def test_killed_again_and_again_in_one_folder(tmp_path: Path, undisturbed: str) -> None:
    """Each time one step more is done: those before it are hits, with one event each."""
    for kill_at in range(2, 6):
        die(start(tmp_path, kill_at))
    assert finish(tmp_path, start(tmp_path)) == undisturbed
    assert set(bodies(tmp_path).values()) == {1}


def test_killed_within_a_body_by_somebody_else(tmp_path: Path, undisturbed: str) -> None:
    process = start(tmp_path, pause_s=60)
    while not bodies(tmp_path):
        assert process.is_alive()
    process.kill()
    die(process)
    assert finish(tmp_path, start(tmp_path)) == undisturbed
    assert bodies(tmp_path) == {"table": 2, "record": 1, "files": 1, "last": 1}


def test_processes_that_ask_the_same_at_once_run_each_body_once(tmp_path: Path, undisturbed: str) -> None:
    together = [start(tmp_path, pause_s=0.1) for _ in range(8)]
    assert {finish(tmp_path, process) for process in together} == {undisturbed}
    assert bodies(tmp_path) == {"table": 1, "record": 1, "files": 1, "last": 1}
    assert list((tmp_path / ".everloop" / "locks").iterdir()) == []

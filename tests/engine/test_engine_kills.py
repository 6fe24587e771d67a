"""Random `kill -9` of coordinator and workers: in the middle of a write, between a blob and its row, within a body. The next run finishes,
with equal results, and the store is sound."""

from __future__ import annotations

import collections
import multiprocessing
import random
import signal
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import kills_project
import pytest

from everloop.engine import artifacts
from everloop.store import records, runs
from everloop.store.soundness import unsound
from everloop.store.workspace import Workspace

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["polars", "numpy", "everloop.engine.run", "everloop.store.tables"])
# How many file events, rows and bodies a whole run has, about; more simply finishes.
MOST = {"at": 130, "row": 45, "body": 9}


def run(folder: Path, executor: str, kind: str, count: int) -> ForkServerProcess:
    folder.mkdir(exist_ok=True)
    process = SERVER.Process(target=kills_project.main, args=(str(folder), executor, kind, count))
    process.start()
    process.join(120)
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return process


def finished(folder: Path, executor: str) -> str:
    (folder / "answer.txt").unlink(missing_ok=True)
    assert run(folder, executor, "none", 0).exitcode == 0
    return (folder / "answer.txt").read_text()


def check_sound(folder: Path) -> None:
    if not (folder / ".everloop" / "everloop.db").exists():
        return
    with Workspace(folder) as workspace:
        assert unsound(workspace, artifacts.reached) == []
        with workspace.read() as tx:
            assert records.dangling(tx) == []


def done_steps(folder: Path) -> set[str]:
    """Names of steps whose result was kept, of those with one call a run."""
    if not (folder / ".everloop" / "everloop.db").exists():
        return set()
    with Workspace(folder) as workspace, workspace.read() as tx:
        return {row.name for found in runs.find(tx) for row in runs.steps_of(tx, found.id) if row.status == "done"} - {"total"}


def bodies(folder: Path) -> collections.Counter[str]:
    path = folder / "bodies.txt"
    return collections.Counter(path.read_text().split() if path.exists() else [])


def round_of_kills(folder: Path, chance: random.Random, executor: str, undisturbed: str, kills: int) -> int:
    """Up to `kills` killed runs in one folder, then one that must finish; how many were really killed."""
    killed = 0
    for _ in range(kills):
        kind = chance.choice(["at", "at", "row", "body"])
        before, counted = done_steps(folder), bodies(folder)
        marks = len(list(folder.glob("killed-*")))
        ended = run(folder, executor, kind, chance.randint(1, MOST[kind] if executor == "inline" else MOST[kind] // 2))
        # A worker's death does not end the run: its step is tried again.
        killed += ended.exitcode != 0 or len(list(folder.glob("killed-*"))) > marks
        check_sound(folder)
        after = bodies(folder)
        assert all(after[name] == counted[name] for name in before), (kind, before, counted, after)
    assert finished(folder, executor) == undisturbed
    check_sound(folder)
    return killed


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    answer = finished(tmp_path_factory.mktemp("undisturbed"), "inline")
    assert "'done'" in answer
    return answer


@pytest.mark.parametrize(("executor", "rounds", "kills"), [("inline", 6, 4), ("processes", 2, 4)])
def test_killed_at_random(tmp_path: Path, undisturbed: str, executor: str, rounds: int, kills: int) -> None:
    chance = random.Random(f"{executor} short")
    killed = sum(round_of_kills(tmp_path / str(number), chance, executor, undisturbed, kills) for number in range(rounds))
    assert killed >= rounds


@pytest.mark.full
@pytest.mark.parametrize(("executor", "wanted"), [("inline", 800), ("processes", 200)])
def test_killed_a_thousand_times(tmp_path: Path, undisturbed: str, executor: str, wanted: int) -> None:
    chance = random.Random()
    seed = chance.randrange(2**32)
    print(f"seed {seed}")
    chance.seed(seed)
    killed = number = 0
    while killed < wanted:
        killed += round_of_kills(tmp_path / str(number), chance, executor, undisturbed, 5)
        number += 1

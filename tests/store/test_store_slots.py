"""Several coordinators on one machine: the table behind the rule of core/fairness.py, with real processes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slots_program import CAPACITY, hold, work_off

from everloop.core.work import Resources
from everloop.store.slots import Slots
from everloop.store.workspace import Workspace

ONE = Resources(1.0)


def rows(workspace: Workspace) -> int:
    with workspace.read() as tx:
        return tx.sql("SELECT count(*) FROM slots").value()


def slots(workspace: Workspace, run: str, capacity: Resources = CAPACITY) -> Slots:
    return Slots(workspace, run, capacity)


def until(condition: Callable[[], bool], patience_s: float = 30) -> bool:
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.005)
    return True


def test_asking_granting_and_giving_back(workspace: Workspace) -> None:
    mine = slots(workspace, "run-a")
    assert mine.settle() == set()
    assert rows(workspace) == 0, "who wants nothing leaves no trace"
    assert mine.settle({1: ONE, 2: ONE, 3: ONE}) == {1, 2}
    assert mine.waits
    assert mine.settle({1: ONE, 3: ONE}) == {1, 2}, "asked again, it is the same ticket"
    assert mine.settle({4: ONE}, [1]) == {2, 3}
    assert mine.settle(returned=[4]) == {2, 3}, "a wish taken back"
    assert mine.settle({3: CAPACITY}, [3]) == {2}, "given back and asked for anew"
    assert mine.settle({3: ONE}, [3]) == {2, 3}
    assert not mine.waits
    assert mine.settle(returned=[2, 3]) == set()
    assert mine.settle({1: Resources(9.0), 2: ONE}) == {2}, "larger than the machine: never, and in nobody's way"
    mine.close()
    mine.close()
    assert rows(workspace) == 0


def test_what_one_gives_back_goes_to_who_holds_the_least(workspace: Workspace) -> None:
    first, second, third = (slots(workspace, f"run-{name}") for name in "abc")
    assert first.settle({1: ONE, 2: ONE, 3: ONE}) == {1, 2}
    assert second.settle({1: ONE}) == third.settle({1: ONE, 2: ONE}) == set()
    assert first.settle(returned=[1]) == {2}
    assert second.settle() == {1}
    assert third.settle() == set()
    assert first.settle({4: ONE}, [2]) == {3}, "it holds no more than the third, and was here before it"
    assert second.settle(returned=[1]) == set()
    assert third.settle() == {1}
    third.close()
    assert first.settle() == {3, 4}


def test_the_largest_capacity_that_somebody_sees_counts_for_all(workspace: Workspace) -> None:
    small, large = slots(workspace, "run-a", Resources(1.0)), slots(workspace, "run-b", Resources(3.0))
    assert small.settle({1: ONE, 2: ONE}) == {1}
    assert large.settle({1: ONE}) == {1}
    assert small.settle() == {1, 2}
    large.close()
    assert small.settle({3: ONE}, [1]) == {2}


def test_a_large_ticket_is_not_passed_by_for_ever(workspace: Workspace) -> None:
    many, one = slots(workspace, "run-a"), slots(workspace, "run-b")
    granted = many.settle(dict.fromkeys(range(100), ONE))
    assert one.settle({1: CAPACITY}) == set()
    for _ in range(4):
        if not one.settle():
            granted = many.settle(returned=[min(granted)])
    assert one.settle() == {1}
    assert many.settle() == set()


def test_rows_that_somebody_removed_by_mistake_are_written_again(workspace: Workspace) -> None:
    mine, other = slots(workspace, "run-a"), slots(workspace, "run-b")
    assert mine.settle({1: ONE, 2: ONE}) == {1, 2}
    with workspace.write() as tx:
        tx.sql("DELETE FROM slots")
    assert mine.settle({3: ONE}) == {1, 2}
    assert other.settle({1: ONE}) == set(), "what runs still counts"


def test_rows_of_other_machines_are_left_alone(workspace: Workspace) -> None:
    here = slots(workspace, "run-a")
    there = slots(workspace, "run-b")
    there._machine = "elsewhere"
    there._process = there._process.replace(there._process.partition(":")[0], "elsewhere")
    assert there.settle({1: ONE, 2: ONE}) == {1, 2}
    assert here.settle({1: ONE, 2: ONE}) == {1, 2}
    here.close()
    assert rows(workspace) == 3


def test_three_coordinators_share_two_slots(tmp_path: Path, database_url: str, spawn: Callable[..., Any]) -> None:
    home, gate = tmp_path / "home", tmp_path / "gate"
    runs = [f"run-{name}" for name in "abc"]
    programs = [spawn(work_off, database_url, home, run, 20, 0.01, gate) for run in runs]
    for program in programs:
        assert program.hear() == "ready"
    gate.touch()
    for program in programs:
        program.done()
    running, finished, peak, lines = Counter[str](), Counter[str](), 0, (home / "bodies.txt").read_text().splitlines()
    first_done: dict[str, int] = {}
    for line in lines:
        what, run = line.split()
        running[run] += 1 if what == "start" else -1
        finished[run] += what == "end"
        peak = max(peak, running.total())
        if finished[run] == 20 and what == "end":
            first_done = first_done or dict(finished)
    assert finished == dict.fromkeys(runs, 20)
    assert peak == 2
    assert min(first_done.get(run, 0) for run in runs) >= 10, f"when the first had finished, the others had had {first_done}"
    with Workspace(home, home=home, database_url=database_url) as workspace:
        assert rows(workspace) == 0


def test_the_slots_of_a_killed_process_are_free_again(tmp_path: Path, database_url: str, spawn: Callable[..., Any]) -> None:
    home = tmp_path / "home"
    holder = spawn(hold, database_url, home, 2.0)
    assert holder.hear() == "held"
    with Workspace(home, home=home, database_url=database_url) as workspace:
        waiting = slots(workspace, "run-b")
        assert waiting.settle({1: ONE}) == set()
        assert not until(lambda: bool(waiting.settle()), 0.3), "it lives"
        holder.kill()
        assert until(lambda: waiting.settle() == {1}, 10)
        assert rows(workspace) == 2

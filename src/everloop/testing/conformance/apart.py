"""Pipelines whose bodies run in processes of their own, several at once: deaths, resources, cancellation."""

from __future__ import annotations

import itertools
import os
from typing import Any

from everloop.core.errors import BadInput, Lost, Stopped
from everloop.core.runs import Run
from everloop.engine import logs
from everloop.testing.conformance import bodies, errands
from everloop.testing.conformance.under import Under, aside, equal, failed_with, gone, holds, notes, ran, until


def bodies_run_at_the_same_time_elsewhere(under: Under) -> None:
    folder = str(under.folder)
    names = [f"at-work-{number}" for number in range(under.workers)]

    def pipeline() -> Any:
        return [bodies.process(folder, 1), *(bodies.meet(folder, name, names) for name in names)]

    found = ran(under, pipeline)
    pid, *met = found.good()
    equal("names of steps that wait for each other", met, names)
    holds(pid != os.getpid(), "a body ran in the process of the pipeline")
    holds(found.steps[0].worker.endswith(f":{pid}"), f"the row names {found.steps[0].worker!r} as worker, expected host:{pid}")


def a_dead_process_fails_its_step_alone(under: Under) -> None:
    folder = str(under.folder)
    for how in ("exit", "kill", "segfault"):

        def pipeline(how: str = how) -> Any:
            dead = bodies.dying(how)
            return bodies.nested([dead], {}), bodies.doubled(bodies.number(folder, len(how)), folder)

        found = ran(under, pipeline)
        failed_with(found, Lost, "'dying'", "run again")
        equal("rows", found.rows, [("dying", "failed"), ("nested", "skipped"), ("number", found.rows[2][1]), ("doubled", found.rows[3][1])])
        holds({status for _, status in found.rows[2:]} <= {"done", "hit"}, f"the other branch ended as {found.rows[2:]}")
        log = logs.path_of(under.folder / ".everloop", found.run.id, 1, "dying")
        holds(log.exists() and "last words" in log.read_text(), f"{log} lacks what the body printed before its end")


def a_dead_process_is_tried_again(under: Under) -> None:
    folder = str(under.folder)
    found = ran(under, lambda: bodies.dies_once(folder))
    equal("the value", found.good(), "alive")
    equal("attempts", (found.steps[0].attempts, notes(folder)), (2, ["dies_once", "dies_once"]))


def children_print_into_the_steps_log(under: Under) -> None:
    found = ran(under, lambda: bodies.with_child("spoken"))
    equal("the value", found.good(), 0)
    log = logs.path_of(under.folder / ".everloop", found.run.id, 1, "with_child")
    equal("the log", log.read_text() if log.exists() else None, "spoken by a child\n")


def resources_are_respected(under: Under) -> None:
    """On two cpus, what needs two runs alone."""
    folder = str(under.folder)

    def pipeline() -> Any:
        return [bodies.wide(folder, n // 2) if n % 2 else bodies.narrow(folder, n // 2) for n in range(8)]

    found = ran(Under(under.executor, under.folder, workers=2), pipeline)
    equal("the value", found.good(), [0, 0, 1, 1, 2, 2, 3, 3])
    spells = [(name, float(begun), float(ended)) for name, _, begun, ended in (line.split() for line in notes(folder))]
    together = [
        (one, other)
        for one, other in itertools.combinations(spells, 2)
        if "wide" in (one[0], other[0]) and one[1] < other[2] and other[1] < one[2]
    ]
    equal("bodies for two cpus at the same time as another", together, [])


def more_than_there_is_is_refused(under: Under) -> None:
    folder = str(under.folder)
    found = ran(under, lambda: [bodies.immense(folder), bodies.number(folder, 1)])
    failed_with(found, BadInput, "'immense'", "100000 cpus", "there is only")
    equal("rows", found.rows, [("immense", "failed"), ("number", "done")])
    equal("bodies", notes(folder), ["number 1"])


def cancelled_from_another_process(under: Under) -> None:
    """`runs.cancel` in the store is all that anybody else has to do: bodies end with their children, the run is `cancelled`."""
    folder = str(under.folder)
    found: list[BaseException] = []

    def begun(run: Run) -> None:
        def cancel() -> None:
            from everloop.store import runs
            from everloop.store.workspace import Workspace

            try:
                for name in ("a", "b"):
                    until((under.folder / f"family-{name}").exists, f"the body {name} did not begin", within_s=under.patience_s)
                with Workspace(under.folder, home=under.folder / ".everloop") as workspace, workspace.write() as tx:
                    runs.cancel(tx, run.id, "the check")
            except BaseException as error:
                found.append(error)

        aside(cancel)

    def pipeline() -> Any:
        first = bodies.number(folder, 1)
        first.result()
        long = [bodies.lingering(folder, "a"), bodies.lingering(folder, "b")]
        return bodies.nested(long, {}), bodies.lingering(folder, "never")

    ended = ran(Under(under.executor, under.folder, workers=2), pipeline, begun=begun)
    equal("errors of whoever cancelled", found, [])
    failed_with(ended, Stopped, "cancelled", "the check")
    equal("the run", (ended.run.status, ended.run.cancelled_by), ("cancelled", "the check"))
    expected = [
        ("number", "done"),
        ("lingering", "cancelled"),
        ("lingering", "cancelled"),
        ("nested", "skipped"),
        ("lingering", "cancelled"),
    ]
    holds(
        ended.rows == expected or ended.rows == [*expected[:3], ("nested", "cancelled"), expected[4]],
        f"rows are {ended.rows}, expected {expected}",
    )
    pids = [*errands.read_pids(under.folder / "family-a"), *errands.read_pids(under.folder / "family-b")]
    gone(pids, within_s=under.patience_s)
    holds(not (under.folder / "family-never").exists(), "a body began after the run was cancelled")


CHECKS = (
    bodies_run_at_the_same_time_elsewhere,
    a_dead_process_fails_its_step_alone,
    a_dead_process_is_tried_again,
    children_print_into_the_steps_log,
    resources_are_respected,
    more_than_there_is_is_refused,
    cancelled_from_another_process,
)

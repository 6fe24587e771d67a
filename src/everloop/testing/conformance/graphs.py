"""Pipelines that go well: what they give, what is written of them, and what is not executed again."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from everloop.engine import logs
from everloop.testing.conformance import bodies
from everloop.testing.conformance.under import Ran, Under, equal, holds, notes, ran

_WIDE = 12
_MANY = 150


def _twice(under: Under, pipeline: Callable[..., Any], *args: Any) -> tuple[Ran, Ran]:
    """Run it, and again: the second time everything hits, no body is executed, and the value is the same."""
    first = ran(under, pipeline, *args)
    value, noted = first.good(), notes(under.folder)
    second = ran(under, pipeline, *args)
    equal("the second run's value", second.good(), value)
    equal("the second run's rows", second.rows, [(name, "hit") for name, _ in first.rows])
    equal("notes after the second run", notes(under.folder), noted)
    return first, second


def chain(under: Under) -> None:
    folder = str(under.folder)

    def pipeline() -> Any:
        value = bodies.number(folder, 3)
        for _ in range(3):
            value = bodies.add(folder, value, value)
        return value

    first, second = _twice(under, pipeline)
    equal("the value", first.value, 24)
    equal("rows", first.rows, [("number", "done"), ("add", "done"), ("add", "done"), ("add", "done")])
    equal("bodies", notes(folder), ["number 3", "add 3 3", "add 6 6", "add 12 12"])
    for before, row in zip(first.steps, first.steps[1:], strict=False):
        equal("inputs of a step's row", row.inputs, {"a": before.output, "b": before.output})
        holds(row.started_at >= before.started_at and row.ended_at is not None, f"times of {row} are not in order")
    equal("outputs of the second run", [row.output for row in second.steps], [row.output for row in first.steps])
    equal("attempts", [row.attempts for row in first.steps], [1, 1, 1, 1])


def diamond(under: Under) -> None:
    folder = str(under.folder)

    def pipeline() -> Any:
        top = bodies.number(folder, 5)
        left, right = bodies.doubled(top, folder), bodies.add(folder, top, 1)
        return {"all": [bodies.add(folder, left, right)], "top": top}

    first, _ = _twice(under, pipeline)
    equal("the value", first.value, {"all": [16], "top": 5})
    equal("bodies", sorted(notes(folder)), ["add 10 6", "add 5 1", "doubled 5", "number 5"])


def fan_out_by_a_loop(under: Under) -> None:
    folder = str(under.folder)

    def pipeline() -> Any:
        return bodies.total(folder, [bodies.doubled(value, folder) for value in range(_WIDE)])

    first, _ = _twice(under, pipeline)
    equal("the value", first.value, _WIDE * (_WIDE - 1))
    equal("bodies", sorted(notes(folder)), sorted([*(f"doubled {value}" for value in range(_WIDE)), "total"]))


def fan_out_by_map(under: Under) -> None:
    """Over a list that is there, one that a step makes, and a mapping that a step makes."""
    folder = str(under.folder)

    def pipeline(n: int) -> Any:
        plain = bodies.total(folder, bodies.doubled.map([1, 2], folder=folder))
        made = bodies.total(folder, bodies.doubled.map(bodies.upto(folder, n), folder=folder))
        mapped = bodies.doubled.map(bodies.named(folder, n), folder=folder)
        return plain, made, mapped

    first, _ = _twice(under, pipeline, 4)
    equal("the value", first.value, (6, 12, {"item-0": 0, "item-1": 2, "item-2": 4, "item-3": 6}))
    noted = len(notes(folder))
    more = ran(under, pipeline, 5)
    equal("the value with one more", more.good()[1:], (20, {"item-0": 0, "item-1": 2, "item-2": 4, "item-3": 6, "item-4": 8}))
    equal("bodies for one more", sorted(notes(folder)[noted:]), ["doubled 4", "named 5", "total", "upto 5"])


def an_equal_output_runs_nothing_below(under: Under) -> None:
    folder = str(under.folder)

    def pipeline(value: float) -> Any:
        return bodies.doubled(bodies.rounded(folder, value), folder)

    equal("the first value", ran(under, pipeline, 2.1).good(), 4)
    second = ran(under, pipeline, 2.2)
    equal("the second value", second.good(), 4)
    equal("rows", second.rows, [("rounded", "done"), ("doubled", "hit")])
    equal("bodies", notes(folder), ["rounded 2.1", "doubled 2", "rounded 2.2"])


def the_same_call_twice_at_once_runs_once(under: Under) -> None:
    folder = str(under.folder)

    def pipeline() -> Any:
        return [bodies.number(folder, 7), bodies.number(folder, 7), bodies.number(folder, value=7)]

    found = ran(under, pipeline)
    equal("the value", found.good(), [7, 7, 7])
    equal("bodies", notes(folder), ["number 7"])
    equal("rows", sorted(found.rows), [("number", "done"), ("number", "hit"), ("number", "hit")])
    equal("outputs", len({row.output for row in found.steps}), 1)


def results_of_all_kinds_pass_between_steps(under: Under) -> None:
    """A table, an Arrow table, an array, a file, a pickled object, a record, plain data; twice, so that they are loaded again too."""
    folder = str(under.folder)

    def pipeline() -> Any:
        frame = bodies.table(9)
        values = bodies.array(bodies.arrow(frame))
        point = bodies.point(bodies.file(values, folder))
        verdict = bodies.verdict(point)
        numbers = {"sum": bodies.summed(values), "plain": (1, 2.5, None, "x", b"y", True)}
        return bodies.answer(verdict, point, numbers), verdict, point, values.result().tolist(), frame.result().height

    first, _ = _twice(under, pipeline)
    value, verdict, point, values, height = first.value
    equal("the value", value, [True, 18, {"sum": 18.0, "plain": (1, 2.5, None, "x", b"y", True)}])
    equal("the pickled object", point, bodies.Point(4, 18))
    equal("the array and the table", (values, height), ([0.5 * x for x in range(9)], 9))
    (row,) = [row for row in first.steps if row.name == "verdict"]
    equal("the record's id in the row", row.output, verdict.id)
    from everloop.core.verdict import Verdict
    from everloop.store import records
    from everloop.store.workspace import Workspace

    with Workspace(under.folder, home=under.folder / ".everloop") as workspace, workspace.read() as tx:
        equal("the record in the store", records.load(tx, verdict.id, Verdict), verdict)
        equal("rows that name what is not there", records.dangling(tx), [])


def large_parameters_pass(under: Under) -> None:
    import numpy as np

    values = np.arange(500_000, dtype=np.float64)

    def pipeline() -> Any:
        return [bodies.summed(values), bodies.summed(values[::2])]

    equal("sums", ran(under, pipeline).good(), [float(values.sum()), float(values[::2].sum())])


def handles_pass_at_any_depth(under: Under) -> None:
    folder = str(under.folder)

    def pipeline() -> Any:
        one, two = bodies.number(folder, 1), bodies.number(folder, 2)
        return bodies.nested([one, (two, 5)], {"k": {"deep": one}}, two, last=one)

    equal("the value", ran(under, pipeline).good(), [[1, (2, 5)], {"k": {"deep": 1}}, [2], {"last": 1}])


def a_value_decides_the_way(under: Under) -> None:
    folder = str(under.folder)

    def pipeline(n: int) -> Any:
        size = bodies.number(folder, n)
        beside = bodies.upto(folder, 3)
        return bodies.total(folder, beside) if size.result() > 5 else beside

    equal("the one way", ran(under, pipeline, 9).good(), 3)
    equal("the other", ran(under, pipeline, 1).good(), [0, 1, 2])


def effects_happen_here_in_order_and_always(under: Under) -> None:
    """In the coordinator, in the order of the calls, whatever is under way beside them."""
    folder = str(under.folder)

    def pipeline() -> Any:
        slow = [bodies.doubled(value, folder) for value in range(6)]
        places = [bodies.tell(folder, slow[5]), bodies.tell(folder, "b"), bodies.tell(folder, slow[0])]
        return [place.result() for place in places]

    for _ in range(2):
        equal("processes of effects", ran(under, pipeline).good(), [os.getpid()] * 3)
    told = [line for line in notes(folder) if line.startswith("tell")]
    here = f"({os.getpid()})"
    equal("effects", told, [f"tell 10 {here}", f"tell b {here}", f"tell 0 {here}"] * 2)
    equal("other bodies", len(notes(folder)) - len(told), 6)


def prints_land_in_the_steps_log(under: Under) -> None:
    word = under.folder.name

    def pipeline() -> Any:
        return bodies.talkative(word), bodies.number(str(under.folder), 1)

    found = ran(under, pipeline)
    found.good()
    paths = [logs.path_of(under.folder / ".everloop", found.run.id, row.seq, row.name) for row in found.steps]
    holds(paths[0].exists(), f"there is no {paths[0]}, expected what step 'talkative' printed")
    equal("the log", sorted(paths[0].read_text().splitlines()), sorted([f"{word} by print", f"{word} as error"]))
    holds(not paths[1].exists() or not paths[1].read_text(), "the log of a silent step has something in it")


def progress_is_told(under: Under) -> None:
    found = ran(under, lambda: bodies.counting(40))
    equal("the value", found.good(), 40)
    kinds = [event.kind for event in found.events]
    told = [(event.done, event.of) for event in found.events if event.kind == "progress"]
    holds(kinds[0] == "started" and kinds[-1] == "finished", f"events are {kinds}, expected started, progress, finished")
    holds(told and told[-1] == (40, 40) and told == sorted(told), f"progress is {told}, expected it to rise to (40, 40)")


def variables_and_folder_are_the_coordinators(under: Under) -> None:
    folder = str(under.folder)
    for value in ("one", "two"):
        os.environ["EVERLOOP_CONFORMANCE"] = value
        try:
            found = ran(under, lambda: bodies.environment(folder))
        finally:
            del os.environ["EVERLOOP_CONFORMANCE"]
        equal("the variable and the working folder in the body", found.good(), [value, os.getcwd()])
        equal("rows", found.rows, [("environment", "done")])


def many_small_steps(under: Under) -> None:
    folder = str(under.folder)

    def pipeline() -> Any:
        layer = [bodies.doubled(value, folder) for value in range(_MANY)]
        return bodies.total(folder, layer)

    first, _ = _twice(under, pipeline)
    equal("the value", first.value, _MANY * (_MANY - 1))
    equal("bodies", len(notes(folder)), _MANY + 1)
    equal("rows", [row.seq for row in first.steps], list(range(1, _MANY + 2)))


CHECKS = (
    chain,
    diamond,
    fan_out_by_a_loop,
    fan_out_by_map,
    an_equal_output_runs_nothing_below,
    the_same_call_twice_at_once_runs_once,
    handles_pass_at_any_depth,
    a_value_decides_the_way,
    effects_happen_here_in_order_and_always,
    prints_land_in_the_steps_log,
    progress_is_told,
    variables_and_folder_are_the_coordinators,
    many_small_steps,
)

# With heavy libraries, which each run's workers import too from then on: better last.
HEAVY = (results_of_all_kinds_pass_between_steps, large_parameters_pass)

"""Pipelines that fail: with an error that names the step and is the user's own, and without loss of what else was to be done."""

from __future__ import annotations

import itertools
from typing import Any

from everloop.core.errors import BadInput, Lost, Stopped
from everloop.testing.conformance import bodies, errands
from everloop.testing.conformance.under import Under, equal, failed_with, gone, holds, notes, ran


def a_failed_branch_leaves_the_others(under: Under) -> None:
    """Steps that need it are skipped, all else finishes, and is a hit when what failed is mended."""
    folder = str(under.folder)

    def pipeline(mended: bool) -> Any:
        bad = bodies.number(folder, 3) if mended else bodies.refuse(folder, 3)
        below = bodies.add(folder, bad, 1)
        last = bodies.total(folder, [below, bodies.number(folder, 1)])
        good = bodies.doubled(bodies.number(folder, 4), folder)
        return good, last

    failed = ran(under, pipeline, False)
    failed_with(failed, bodies.Refused, "on purpose")
    equal("the run's status", failed.run.status, "failed")
    holds(
        "refuse" in failed.run.error and "Refused" in failed.run.error, f"the run's error is {failed.run.error!r}, expected the step in it"
    )
    expected = [("refuse", "failed"), ("add", "skipped"), ("number", "done"), ("total", "skipped"), ("number", "done"), ("doubled", "done")]
    equal("rows", failed.rows, expected)
    holds("refuse" in failed.steps[1].error, f"the skipped step says {failed.steps[1].error!r}, expected the name of the step that failed")
    mended = ran(under, pipeline, True)
    equal("the value", mended.good(), (8, 5))
    equal(
        "bodies of the mended run",
        sorted(notes(folder)),
        sorted(["refuse", "number 1", "number 4", "doubled 4", "number 3", "add 3 1", "total"]),
    )


def an_exception_comes_out_as_itself(under: Under) -> None:
    """With its class, what it holds, and where it was raised; whoever asks for the result may handle it."""
    folder = str(under.folder)
    error = failed_with(ran(under, lambda: bodies.refuse(folder, 5)), bodies.Refused, "on purpose", "refuse")
    assert isinstance(error, bodies.Refused)
    equal("what the exception holds", (error.what, error.amount), ("on purpose", 5))
    import traceback

    shown = "".join(traceback.format_exception(error))
    holds("bodies.py" in shown and 'raise Refused("on purpose", amount)' in shown, f"the traceback does not lead to the body: {shown}")

    def handling() -> Any:
        try:
            bodies.refuse(folder, 6).result()
        except bodies.Refused as refused:
            return bodies.number(folder, refused.amount)

    handled = ran(under, handling)
    equal("the value of a pipeline that handles it", handled.good(), 6)
    equal("rows", handled.rows, [("refuse", "failed"), ("number", "done")])


def retries_come_to_an_end(under: Under) -> None:
    folder = str(under.folder)
    found = ran(under, lambda: bodies.flaky(folder))
    equal("the value", found.good(), "at last")
    equal("attempts", (found.rows, found.steps[0].attempts), ([("flaky", "done")], 3))
    times = [float(line.rpartition(" ")[2]) for line in notes(folder)]
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    holds(
        len(times) == 3 and pauses[0] >= 0.01 and pauses[1] >= 0.02,
        f"pauses between attempts are {pauses}, expected 0.01 and 0.02 s at least",
    )
    hopeless = ran(under, lambda: bodies.hopeless(folder))
    failed_with(hopeless, ConnectionError, "never")
    equal("attempts", (hopeless.steps[0].attempts, notes(folder).count("hopeless")), (2, 2))


def a_timeout_stops_the_body_with_its_children(under: Under) -> None:
    folder = str(under.folder)
    family = under.folder / "family"
    for limit, endless in bodies.ENDLESS.items():

        def pipeline(endless: Any = endless) -> Any:
            late = endless(folder)
            return bodies.doubled(bodies.number(folder, 4), folder), late

        found = ran(under, pipeline)
        failed_with(found, Stopped, "endless", f"timeout_s={limit:g}")
        equal("the step's row", found.rows[0], ("endless", "failed"))
        holds({status for _, status in found.rows[1:]} <= {"done", "hit"}, f"the other branch ended as {found.rows[1:]}")
        # On a machine so slow that the body could not begin, it is given longer.
        if family.exists():
            break
    gone(errands.read_pids(family), within_s=under.patience_s)


def what_cannot_be_kept_is_refused(under: Under) -> None:
    for kind in ("generator", "lock"):
        found = ran(under, lambda kind=kind: [bodies.unkeepable(kind), bodies.number(str(under.folder), 1)])
        failed_with(found, BadInput, "'unkeepable'", "cannot be kept", "Return")
        equal("rows", found.rows, [("unkeepable", "failed"), ("number", "done" if kind == "generator" else "hit")])


def a_step_that_calls_itself_is_refused(under: Under) -> None:
    failed_with(ran(under, lambda: bodies.itself(2)), BadInput, "'itself' calls itself")
    failed_with(ran(under, lambda: bodies.deep(0)), RecursionError, "deep")


def a_body_that_exits_is_lost(under: Under) -> None:
    found = ran(under, lambda: [bodies.leaving(), bodies.number(str(under.folder), 1)])
    failed_with(found, Lost, "'leaving'", "sys.exit(4)")
    equal("rows", found.rows, [("leaving", "failed"), ("number", "done")])


def a_parameter_that_changes_after_the_call(under: Under) -> None:
    """The step sees it as it was, or the run says so: never a result of other values than the key names."""
    folder = str(under.folder)
    gate = under.folder / "gate"

    def pipeline() -> Any:
        values = [1, 2, 3]
        waited = bodies.after(0, str(gate)) if under.executor != "inline" else 0
        sized = bodies.nested(values, {}, waited)
        values.append(4)
        gate.touch()
        return sized.result()[0], bodies.total(folder, [1, 2, 3]), bodies.total(folder, [1, 2, 3, 4])

    found = ran(under, pipeline)
    if found.error is not None:
        failed_with(found, BadInput, "'nested'", "items", "copy")
    else:
        equal("the value", found.value, ([1, 2, 3], 6, 10))


CHECKS = (
    a_failed_branch_leaves_the_others,
    an_exception_comes_out_as_itself,
    retries_come_to_an_end,
    a_timeout_stops_the_body_with_its_children,
    what_cannot_be_kept_is_refused,
    a_step_that_calls_itself_is_refused,
    a_body_that_exits_is_lost,
    a_parameter_that_changes_after_the_call,
)

"""Steps, handles, runs: what a pipeline sees, what is written down, how it fails."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from everloop.core.errors import BadInput
from everloop.core.runs import Run, Step
from everloop.core.verdict import Verdict
from everloop.engine.events import Event
from everloop.engine.handle import Handle
from everloop.engine.pipeline import pipeline
from everloop.engine.run import conclude, execute
from everloop.engine.step import step
from everloop.store import records, runs
from everloop.store.workspace import Workspace, using


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace(tmp_path) as opened, using(opened):
        yield opened


def newest(workspace: Workspace) -> tuple[Run, list[Step]]:
    with workspace.read() as tx:
        run = runs.find(tx, limit=1)[0]
        return run, runs.steps_of(tx, run.id)


def statuses(workspace: Workspace) -> list[tuple[str, str]]:
    return [(step.name, step.status) for step in newest(workspace)[1]]


bodies: list[str] = []


@pytest.fixture(autouse=True)
def no_bodies() -> None:
    bodies.clear()


@step
def numbers(n: int) -> list[int]:
    note("numbers")
    return list(range(n))


@step
def total(values: list[int], extra: int = 0) -> int:
    note("total")
    return sum(values) + extra


@step
def spoil(values: list[Any]) -> int:
    values.append(100)
    return len(values)


@step
def frame_of(n: int) -> pl.DataFrame:
    return pl.DataFrame({"x": range(n)})


@step
def array_of(n: int) -> Any:
    return np.arange(n)


@step
def judge(values: list[int]) -> Verdict:
    return Verdict(question=f"{len(values)} values", about="")


@step
def about(verdict: Verdict) -> str:
    return verdict.question


@step(effect=True)
def tell(value: object) -> Any:
    note("tell")
    return (item for item in [value])


@step
def fail(kind: str) -> None:
    note("fail")
    raise {"key": KeyError, "interrupt": KeyboardInterrupt}[kind]("on purpose")


def note(name: str) -> None:
    """Reaches the list by a computed name: as a plain global its content would be part of the keys."""
    sys.modules[__name__].__dict__["bodies"].append(name)


def test_outside_a_run_a_step_is_a_function() -> None:
    assert total(numbers(4), extra=1) == 7
    assert total.name == "total"
    assert total.__doc__ is None


def test_values_are_resolved_and_the_second_run_hits(workspace: Workspace) -> None:
    @pipeline
    def both(n: int) -> Any:
        values = numbers(n)
        assert isinstance(values, Handle)
        return {"all": [total(values), total([values], 1) if n < 0 else None], "values": values}

    assert both(4) == {"all": [6, None], "values": [0, 1, 2, 3]}
    assert bodies == ["numbers", "total"]
    assert statuses(workspace) == [("numbers", "done"), ("total", "done")]
    assert both(4) == {"all": [6, None], "values": [0, 1, 2, 3]}
    assert bodies == ["numbers", "total"]
    run, steps = newest(workspace)
    assert (run.status, run.pipeline, run.loop, run.decision) == ("done", "both", "", "")
    assert run.ended_at is not None
    assert [(step.seq, step.name, step.status, step.because) for step in steps] == [
        (1, "numbers", "hit", "hit"),
        (2, "total", "hit", "hit"),
    ]
    assert steps[1].inputs == {"values": steps[0].output}


def test_default_arguments_and_keywords_give_the_same_key(workspace: Workspace) -> None:
    @pipeline
    def ways() -> list[Any]:
        return [total([1]), total([1], 0), total(values=[1], extra=0), total(extra=0, values=[1])]

    assert ways() == [1, 1, 1, 1]
    assert bodies == ["total"]


def test_handles_in_lists_tuples_and_dicts(workspace: Workspace) -> None:
    @step
    def gather(items: list[Any], named: dict[str, Any], *rest: Any, **more: Any) -> list[Any]:
        return [items, named, rest, more]

    @pipeline
    def nested() -> Any:
        one, two = numbers(1), numbers(2)
        return gather([one, (two, 5)], {"k": {"deep": one}}, two, last=one)

    assert nested() == [[[0], ([0, 1], 5)], {"k": {"deep": [0]}}, ([0, 1],), {"last": [0]}]
    _, steps = newest(workspace)
    assert set(steps[2].inputs) == {"items[0]", "items[1][0]", "named['k']['deep']", "rest[0]", "more['last']"}


def test_a_body_that_changes_its_input_changes_nobody_elses(workspace: Workspace) -> None:
    @step
    def widen(frame: pl.DataFrame) -> int:
        frame.insert_column(0, pl.Series("y", [0] * frame.height))
        return frame.width

    @step
    def zero(array: Any) -> int:
        array[:] = 0
        return 0

    @step
    def look(values: Any) -> str:
        return str(values.columns if isinstance(values, pl.DataFrame) else np.asarray(values).tolist())

    @pipeline
    def spoiling() -> Any:
        values, frame, array = numbers(2), frame_of(2), array_of(2)
        array.result(), frame.result(), values.result()
        spoiled = [spoil(values), widen(frame), zero(array)]
        return spoiled, [look(values), look(frame), look(array)]

    assert spoiling() == ([3, 2, 0], ["[0, 1]", "['x']", "[0, 1]"])


def test_result_is_loaded_once(workspace: Workspace) -> None:
    @pipeline
    def twice() -> Any:
        values = numbers(3)
        assert values.result() is values.result()
        return values.output, values.step.name, repr(values)

    assert twice()[1:] == ("numbers", "<handle of numbers: json " + twice()[0][:32] + ">")


def test_a_record_is_kept_and_passes_as_itself_or_as_its_handle(workspace: Workspace) -> None:
    @pipeline
    def judged(as_value: bool) -> Any:
        verdict = judge([1, 2])
        return verdict, about(verdict.result() if as_value else verdict)

    verdict, text = judged(False)
    assert (verdict.question, text) == ("2 values", "2 values")
    judged(True)
    assert statuses(workspace) == [("judge", "hit"), ("about", "hit")]
    with workspace.read() as tx:
        assert records.load(tx, verdict.id, Verdict) == verdict
        assert [step.name for step in newest(workspace)[1] if step.output == verdict.id] == ["judge"]


def test_an_effect_always_runs_and_may_return_anything(workspace: Workspace) -> None:
    @pipeline
    def telling() -> list[Any]:
        told = tell(numbers(1))
        return list(told.result())

    assert telling() == telling() == [[0]]
    assert bodies == ["numbers", "tell", "tell"]
    assert statuses(workspace) == [("numbers", "hit"), ("tell", "done")]
    assert newest(workspace)[1][1].because == "an effect always runs"


def test_result_of_an_effect_that_cannot_be_kept_is_no_input(workspace: Workspace) -> None:
    @pipeline
    def telling() -> Any:
        return total(tell(1))

    with pytest.raises(BadInput, match="result of step 'tell' could not be stored"):
        telling()


def test_a_lost_blob_is_made_again(workspace: Workspace) -> None:
    @pipeline
    def one() -> Any:
        return numbers(3)

    one()
    with workspace.read() as tx:
        entry = runs.last_cached(tx, "numbers")
    assert entry is not None
    (workspace.home / "blobs" / entry.blob[:2] / entry.blob).unlink()
    assert one() == [0, 1, 2]
    assert newest(workspace)[1][0].because == "its stored result is gone"


def test_a_failing_step_gives_the_users_own_error_and_marks_step_and_run(workspace: Workspace) -> None:
    @pipeline
    def failing(kind: str) -> Any:
        return fail(kind)

    for kind, expected, status in (("key", KeyError, "failed"), ("interrupt", KeyboardInterrupt, "cancelled")):
        with pytest.raises(expected, match="on purpose") as caught:
            failing(kind)
        assert type(caught.value) is expected
        run, steps = newest(workspace)
        assert any("in step 'fail'" in note for note in caught.value.__notes__)
        assert (run.status, [step.status for step in steps]) == (status, [status])
        assert run.error.startswith(f"step 'fail': {expected.__name__}: ")
        assert "on purpose" in steps[0].error
    assert bodies == ["fail", "fail"]


def test_an_error_of_the_pipeline_itself(workspace: Workspace) -> None:
    @pipeline
    def broken() -> None:
        numbers(2)
        raise ValueError("between steps")

    with pytest.raises(ValueError, match="between steps"):
        broken()
    run, _ = newest(workspace)
    assert (run.status, run.error) == ("failed", "ValueError: between steps")


def test_retries(workspace: Workspace) -> None:
    tries: list[int] = []

    def attempt(name: str) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise OSError(name)

    @step(retries=2)
    def flaky() -> str:
        attempt("flaky")
        return "done"

    @step(retries=1)
    def hopeless() -> None:
        raise OSError("always")

    @pipeline
    def tough() -> Any:
        return flaky()

    assert tough() == "done"
    assert len(tries) == 3
    with pytest.raises(OSError, match="always"):
        pipeline(hopeless)()


def test_observers_see_each_boundary_after_it_was_written(workspace: Workspace) -> None:
    seen: list[tuple[str, str, str]] = []

    def observe(event: Event) -> None:
        with workspace.read() as tx:
            (kept,) = [row for row in runs.steps_of(tx, event.step.run) if row.seq == event.step.seq]
        assert kept == event.step
        seen.append((event.kind, event.step.name, event.step.status))

    @pipeline
    def observed(kind: str) -> Any:
        numbers(1), tell(1)
        return fail(kind)

    with workspace.write() as tx:
        run = runs.claim(tx, runs.queue(tx, "l", "observed", decision="decision-1").id)
    assert run is not None
    with pytest.raises(KeyError):
        execute(observed, "key", workspace=workspace, run=run, observers=[observe])
    assert seen == [
        ("started", "numbers", "running"),
        ("finished", "numbers", "done"),
        ("started", "tell", "running"),
        ("finished", "tell", "done"),
        ("started", "fail", "running"),
        ("finished", "fail", "failed"),
    ]


def test_conclude_says_how_the_run_ended(workspace: Workspace) -> None:
    @pipeline
    def stopping() -> str:
        numbers(1)
        conclude("stopped", {"verdict": "verdict-1"})
        return "stopped early"

    assert stopping() == "stopped early"
    run, _ = newest(workspace)
    assert (run.status, run.result) == ("stopped", {"verdict": "verdict-1"})
    with pytest.raises(BadInput, match="no run to conclude"):
        conclude("stopped")


def test_a_pipeline_within_a_pipeline_and_a_step_within_a_step(workspace: Workspace) -> None:
    @pipeline
    def inner(n: int) -> Any:
        return numbers(n)

    @step
    def outer(n: int) -> list[int]:
        return [*numbers(n), -1]

    @pipeline
    def whole() -> list[Any]:
        return [inner(2), outer(1)]

    assert whole() == [[0, 1], [0, -1]]
    assert statuses(workspace) == [("numbers", "done"), ("outer", "done")]


def test_without_a_workspace_the_one_of_the_folder_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    @pipeline(name="here")
    def somewhere() -> Any:
        return numbers(2)

    assert somewhere() == [0, 1]
    with Workspace(tmp_path) as workspace:
        assert newest(workspace)[0].pipeline == "here"


# Refusals: each names the step and the cure.


def refusing(body: Callable[[], Any], match: str) -> None:
    with pytest.raises(BadInput, match=match):
        pipeline(body)()


def test_refused_when_declared() -> None:
    with pytest.raises(BadInput, match=r"is a lambda .*Write it as a `def`"):
        step(lambda x: x)

    def yields() -> Iterator[int]:
        yield 1

    async def waits() -> None: ...

    with pytest.raises(BadInput, match=r"'yields' is a generator.*return a list"):
        step(yields)
    with pytest.raises(BadInput, match="'waits' is `async`"):
        step(waits)
    with pytest.raises(BadInput, match="no function"):
        step(len)


def test_refused_results_and_parameters(workspace: Workspace) -> None:
    @step
    def leaky() -> Any:
        return (x for x in [1])

    refusing(leaky, r"'leaky' \(.*test_engine_run.py:\d+\) returned what cannot be kept: a builtins.generator.*effect=True")
    assert statuses(workspace) == [("leaky", "failed")]
    refusing(lambda: total(x for x in [1]), r"'total'.*'values' cannot be part of a key.*Pass a list of what it gives")
    refusing(lambda: total({object()}), "'values' cannot be part of a key")


def test_refused_use_of_handles(workspace: Workspace) -> None:
    kept: list[Handle[Any]] = []
    pipeline(lambda: kept.append(numbers(1)))()
    refusing(lambda: total(kept[0]), r"'total': values is a handle of step 'numbers' from another run.*\.result\(\)")
    refusing(lambda: "yes" if numbers(1) else "no", r"'numbers' has no truth value\. Call \.result\(\)")
    refusing(lambda: list(numbers(1)), "cannot be iterated")
    refusing(lambda: numbers(1)[0], "has no items")
    refusing(lambda: about(Holder(numbers(1))), "lies inside an object")
    with pytest.raises(AttributeError, match=r"no attribute 'height'. Call \.result\(\)"):
        pipeline(lambda: frame_of(1).height)()


class Holder:
    def __init__(self, held: object) -> None:
        self.held = held


def test_refused_recursion_and_doubles(workspace: Workspace) -> None:
    @step
    def again(n: int) -> Any:
        return again(n - 1) if n else 0

    refusing(lambda: again(2), "'again' calls itself")

    def make(n: int) -> Any:
        @step(name="made")
        def made() -> int:
            return n

        return made

    refusing(lambda: [make(1)(), make(2)()], r"Two steps of this run are called 'made'.*@step\(name=")
    assert pipeline(lambda: [make(1)(), make(1)()])() == [1, 1]


def test_wrong_arguments_are_pythons_own_error(workspace: Workspace) -> None:
    with pytest.raises(TypeError, match="missing a required argument: 'values'"):
        pipeline(total)()


def test_decorators_load_nothing_heavy() -> None:
    code = (
        "import sys; from everloop.engine.step import step; from everloop.engine.pipeline import pipeline, execute\n"
        "print([m for m in ('numpy', 'polars', 'pyarrow', 'sqlalchemy', 'msgspec', 'cloudpickle', 'obstore') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ))
    assert done.stdout.strip() == "[]"

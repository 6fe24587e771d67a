"""`@pipeline`: a function that calls steps; calling it is a run."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar, overload

from everloop.core.errors import BadInput
from everloop.engine import scope

P = ParamSpec("P")
R = TypeVar("R")


class Pipeline(Generic[P, R]):
    """Called without a run going on: opens the current workspace (or the one of this folder), runs, and returns the value with its
    handles resolved. Called from another pipeline: a plain function, whose steps belong to that run."""

    def __init__(self, function: Callable[P, R], *, name: str, executor: str | None, workers: int | None) -> None:
        self.function = function
        self.executor = executor
        self.workers = workers
        self.name = name or getattr(function, "__name__", "pipeline")
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if scope.execution.get() is not None or scope.bodies.get():
            return self.function(*args, **kwargs)
        from everloop.engine.run import run_here

        return run_here(self, args, kwargs)

    def __canonical__(self, inside_object: bool, form: Callable[[object], object]) -> object:
        return ["pipeline", form(self.function)]

    def __repr__(self) -> str:
        return f"<pipeline {self.name}>"


@overload
def pipeline(function: Callable[P, R], /) -> Pipeline[P, R]: ...
@overload
def pipeline(*, name: str = "", executor: str | None = None, workers: int | None = None) -> Callable[[Callable[P, R]], Pipeline[P, R]]: ...
def pipeline(
    function: Callable[P, R] | None = None, /, *, name: str = "", executor: str | None = None, workers: int | None = None
) -> Pipeline[P, R] | Callable[[Callable[P, R]], Pipeline[P, R]]:
    """Make a function a pipeline. Control flow is Python's own; to branch on a step's value, ask its handle for `.result()`.

    `executor` says where bodies run: `inline` (the default: here, one after the other), `processes` or `ray` (as many at once as there
    are `workers`). The environment variable EVERLOOP_EXECUTOR and whoever starts the run may say otherwise.
    """

    def make(function: Callable[P, R]) -> Pipeline[P, R]:
        if not callable(function):
            raise BadInput(f"@pipeline was put on {function!r}, which cannot be called.")
        return Pipeline(function, name=name, executor=executor, workers=workers)

    return make(function) if function is not None else make


def execute(function: Callable[..., Any], /, *args: Any, workspace: Any, run: Any, observers: Any = (), **kwargs: Any) -> Any:
    """See `everloop.engine.run.execute`."""
    from everloop.engine import run as runs

    return runs.execute(function, *args, workspace=workspace, run=run, observers=observers, **kwargs)

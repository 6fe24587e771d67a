"""A pipeline -> a run: opened, executed by a coordinator, and ended in the run's row, however it ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from everloop.core.errors import BadInput, Stopped
from everloop.core.runs import Run, RunStatus
from everloop.engine import scope, work
from everloop.engine.coordinator import Execution, Parked
from everloop.engine.events import Observer
from everloop.engine.handle import Handle, resolve
from everloop.store import runs
from everloop.store.workspace import Workspace, current, using

if TYPE_CHECKING:
    from everloop.core.work import Executor
    from everloop.engine.pipeline import Pipeline

__all__ = ["Parked", "conclude", "execute", "run_here"]

_ERROR_CHARACTERS = 500


def execute(
    pipeline: Callable[..., Any] | Pipeline[..., Any],
    /,
    *args: Any,
    workspace: Workspace,
    run: Run,
    observers: Iterable[Observer] = (),
    executor: str | None = None,
    workers: int | None = None,
    **kwargs: Any,
) -> Any:
    """Execute a claimed run here; the pipeline's value with its handles resolved.

    `executor` is inline, processes, ray or another of the entry-point group `executors`; by default what EVERLOOP_EXECUTOR says, else
    what the pipeline was declared with. `workers` is how many bodies run at once, by default one a core.

    An exception of the pipeline or of a step comes out as it is, and the run is failed; steps that do not need what failed finish before.
    A parked run gives None.
    """
    chosen = executor or os.environ.get("EVERLOOP_EXECUTOR") or getattr(pipeline, "executor", None) or "inline"
    factory = partial(_executor, chosen, workers or getattr(pipeline, "workers", None), workspace)
    execution = Execution(workspace, run, tuple(observers), executor_name=chosen, executor=None if chosen == "inline" else factory)
    function = cast("Callable[..., Any]", getattr(pipeline, "function", pipeline))
    with using(workspace), _scope(execution):
        try:
            if chosen != "inline":
                _check_executor(chosen, factory.args[1])
            value = _value(execution, function, args, kwargs)
        except Parked:
            with workspace.write() as tx:
                runs.finish(tx, run.id, "waiting", result=execution.result)
            return None
        except BaseException as error:
            _record_end(execution, error)
            raise
    with workspace.write() as tx:
        runs.finish(tx, run.id, execution.status, result=execution.result)
    return value


def _value(execution: Execution, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> object:
    try:
        try:
            value = resolve(function(*args, **kwargs), Handle[Any].result)
        except (Exception, Parked):
            execution.drain()
            raise
        execution.drain()
    except Stopped:
        if execution.was_cancelled_by:
            execution.cancel(execution.was_cancelled_by)
        raise
    except (KeyboardInterrupt, SystemExit) as error:
        execution.cancel("a signal" if isinstance(error, KeyboardInterrupt) else "sys.exit()")
        raise
    finally:
        execution.close()
    failure = execution.first_failure()
    if failure is not None:
        raise failure
    return value


def run_here(pipeline: Pipeline[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """A run of its own, for a pipeline that was simply called: in the current workspace, else in that of the working directory."""
    if _has_workspace():
        return _run_in(current(), pipeline, args, kwargs)
    with Workspace(".") as workspace:
        return _run_in(workspace, pipeline, args, kwargs)


def conclude(status: RunStatus, result: Mapping[str, object] | None = None) -> None:
    """Say how the run that is going on ends (`stopped`, `refused`, ...), with what result, unless it fails after this."""
    execution = scope.execution.get()
    if execution is None:
        raise BadInput(f"There is no run to conclude as {status!r} here. Call conclude() from a pipeline.")
    execution.status = status
    execution.result = dict(result or {})


@contextmanager
def _scope(execution: Execution) -> Generator[None]:
    run_token, body_token = scope.execution.set(execution), scope.bodies.set(())
    try:
        yield
    finally:
        scope.bodies.reset(body_token)
        scope.execution.reset(run_token)


def _check_executor(name: str, workers: int | None) -> None:
    from everloop.core.errors import unknown
    from everloop.core.plugins import names

    known = names("executors")
    if name not in known:
        raise unknown("Executor", name, ["inline", *known])
    if workers is not None and workers < 1:
        raise BadInput(f"workers={workers}: at least one is needed.")


def _executor(name: str, workers: int | None, workspace: Workspace) -> Executor:
    """Made when the first call needs it: a run of hits starts no process."""
    from everloop.core.plugins import find

    made = cast("Callable[..., Executor]", find("executors", name))
    return made(work.perform, workers=workers, folder=workspace.home)


def _run_in(workspace: Workspace, pipeline: Pipeline[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    with workspace.write() as tx:
        queued = runs.queue(tx, "", pipeline.name, decision="", options={"foreground": True})
        run = runs.claim(tx, queued.id)
    assert run is not None
    chosen = partial(execute, executor=pipeline.executor, workers=pipeline.workers)
    return chosen(partial(pipeline.function, *args, **kwargs), workspace=workspace, run=run)


def _has_workspace() -> bool:
    try:
        current()
    except BadInput:
        return False
    return True


def _record_end(execution: Execution, error: BaseException) -> None:
    """Say in the run's row how it ended. When even that cannot be written, the user's own error is what counts."""
    interrupted = bool(execution.was_cancelled_by)
    text = f"{type(error).__name__}: {error}"[:_ERROR_CHARACTERS]
    try:
        with execution.workspace.write() as tx:
            status: RunStatus = "cancelled" if interrupted else "failed"
            runs.finish(tx, execution.run.id, status, error=execution.place_of(error) + text, result=execution.result)
    except Exception as second:
        error.add_note(f"(and the run could not be marked as ended: {second})")

"""The coordinator of a run: decides hit or miss for each call of a step, executes the body, and alone writes what is known of it.

What survives a kill at any moment: blobs come first, then records, cache row and the step's `done` in one transaction. So a row
never names what is not there, and running again continues behind the last step that is done.
"""

from __future__ import annotations

import itertools
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from functools import partial
from inspect import BoundArguments
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec

from everloop.core.errors import BadInput, EverloopError
from everloop.core.runs import Run, RunStatus, Step
from everloop.engine import artifacts, scope
from everloop.engine.artifacts import MEMORY, Artifact
from everloop.engine.code import code_digest
from everloop.engine.events import Event, Observer
from everloop.engine.handle import Handle, handles, resolve
from everloop.engine.keys import Key, because, key
from everloop.store import records, runs
from everloop.store.locks import file_lock
from everloop.store.runs import Cached
from everloop.store.workspace import Workspace, current, using

if TYPE_CHECKING:
    from everloop.core.record import Record
    from everloop.engine.pipeline import Pipeline
    from everloop.engine.step import StepFunction
    from everloop.store.database import Transaction

# Another process may train for days under the same key; its lock ends with it.
LEASE_TIMEOUT_S = 30 * 24 * 3600.0
_FIRST_RETRY_S, _LONGEST_RETRY_S = 0.1, 30.0
_ERROR_CHARACTERS = 500
_NO_KEY = Key("", "", {})


def execute(
    pipeline: Callable[..., Any] | Pipeline[..., Any],
    /,
    *args: Any,
    workspace: Workspace,
    run: Run,
    observers: Iterable[Observer] = (),
    **kwargs: Any,
) -> Any:
    """Execute a claimed run here; the pipeline's value with its handles resolved. Its exception comes out as it is, and the run is failed."""
    execution = Execution(workspace, run, tuple(observers))
    function = cast("Callable[..., Any]", getattr(pipeline, "function", pipeline))
    with using(workspace), _scope(execution):
        try:
            value = resolve(function(*args, **kwargs), Handle[Any].result)
        except BaseException as error:
            _record_failure(execution, error)
            raise
    with workspace.write() as tx:
        runs.finish(tx, run.id, execution.status, result=execution.result)
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


class _Call(NamedTuple):
    """One call of a step, before it is known whether it hits."""

    step: StepFunction[..., Any]
    arguments: Mapping[str, Any]
    row: Step
    key: Key


class Execution:
    """The run that is going on. One coordinator: every row about it is written here."""

    def __init__(self, workspace: Workspace, run: Run, observers: tuple[Observer, ...]) -> None:
        self.workspace = workspace
        self.run = run
        self.status: RunStatus = "done"
        self.result: dict[str, object] = {}
        self.failing = ""
        self._observers = observers
        self._numbers = itertools.count(1)
        self._known: dict[tuple[str, str], StepFunction[..., Any]] = {}

    def call(self, step: StepFunction[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Handle[Any]:
        self.failing = step.name
        bound = step.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        call = self._prepare(step, bound.arguments)
        if step.settings.effect:
            handle = self._run_effect(call)
        else:
            found = self._found(call)
            handle = found if found is not None else self._run_leased(call)
        self.failing = ""
        return handle

    def _prepare(self, step: StepFunction[..., Any], arguments: Mapping[str, Any]) -> _Call:
        code = code_digest(step)
        self._check_name(step, code.digest)
        inputs: dict[str, str] = {}
        for name, value in arguments.items():
            for where, handle in handles(value, name):
                self._check_own(step, where, handle)
                inputs[where] = handle.output
        try:
            found = key(step.name, code, arguments, inputs=inputs, version=step.settings.version, where=f" ({step.place})")
        except BadInput:
            if not step.settings.effect:
                raise
            found = _NO_KEY
        number = next(self._numbers)
        row = Step(run=self.run.id, seq=number, name=step.name, key=found.digest, status="running", started_at=time.time(), inputs=inputs)
        return _Call(step, arguments, row, found)

    def _found(self, call: _Call) -> Handle[Any] | None:
        """The handle of a result that is there already, its hit written down."""
        with self.workspace.read() as tx:
            artifact = self._artifact(tx, call.key)
        if artifact is None:
            return None
        with self.workspace.write() as tx:
            row = self._put_hit(tx, call, artifact)
        return self._finished(row, artifact)

    def _run_leased(self, call: _Call) -> Handle[Any]:
        """Run the body unless another process, which had the same key under way, has made the result meanwhile."""
        path = self.workspace.home / "locks" / f"{call.key.digest}.lock"
        with file_lock(path, timeout_s=LEASE_TIMEOUT_S):
            with self.workspace.write() as tx:
                artifact = self._artifact(tx, call.key)
                if artifact is not None:
                    row = self._put_hit(tx, call, artifact)
                else:
                    last = runs.last_cached(tx, call.step.name)
                    reason = because(call.key.detail, last.detail if last else None)
                    row = self._put(tx, call.row, because=reason, started_at=time.time())
            handle = self._run(call, row) if artifact is None else self._finished(row, artifact)
            # Whoever waits for this file, or makes it anew, finds the result; after a failure it stays for the next.
            path.unlink(missing_ok=True)
            return handle

    def _run_effect(self, call: _Call) -> Handle[Any]:
        with self.workspace.write() as tx:
            row = self._put(tx, call.row, because="an effect always runs", started_at=time.time())
        return self._run(call, row)

    def _run(self, call: _Call, row: Step) -> Handle[Any]:
        """Execute the body of a step whose row says that it is running, and keep the result."""
        self._tell(Event("started", row))
        try:
            value = self._body(call)
            artifact, kept = self._save(call.step, value)
            with self.workspace.write() as tx:
                records.keep(tx, *kept)
                if not call.step.settings.effect:
                    runs.put_cached(tx, self._cached(call, artifact))
                row = self._put(tx, row, status="done", output=artifact.output, ended_at=time.time())
        except BaseException as error:
            self._failed(row, error)
            raise
        memory = value if artifact.type == MEMORY else artifacts.keepsake(artifact, value)
        return self._finished(row, artifact, *(() if memory is None and artifact.type != MEMORY else (memory,)))

    def _body(self, call: _Call) -> object:
        """The step's function on values of its own, tried again as often as the step allows."""
        token = scope.bodies.set((*scope.bodies.get(), call.step))
        try:
            for attempt in itertools.count(1):
                values = OrderedDict((name, resolve(value, Handle[Any].fresh)) for name, value in call.arguments.items())
                bound = BoundArguments(call.step.signature, values)
                try:
                    return call.step.function(*bound.args, **bound.kwargs)
                except Exception as error:
                    if attempt > call.step.settings.retries or isinstance(error, EverloopError):
                        raise
                    longest = min(_FIRST_RETRY_S * 2 ** (attempt - 1), _LONGEST_RETRY_S)
                    time.sleep(longest * random.uniform(0.5, 1.0))  # noqa: S311  # so that many that failed together come back apart
            raise AssertionError("unreachable")
        finally:
            scope.bodies.reset(token)

    def _save(self, step: StepFunction[..., Any], value: object) -> tuple[Artifact, tuple[Record, ...]]:
        lost = next(handles(value), None)
        try:
            if lost is not None:
                raise BadInput("a handle cannot be stored")
            return artifacts.save(self.workspace.blobs, value)
        except BadInput as error:
            if step.settings.effect:
                return Artifact(MEMORY, "", ""), ()
            raise BadInput(
                f"Step {step.name!r} ({step.place}) returned what cannot be kept: {error}. Return plain data, a table, an array, a record, "
                "the path of a file, or an object that can be pickled; or declare the step with effect=True."
            ) from error

    def _artifact(self, tx: Transaction, wanted: Key) -> Artifact | None:
        """What the cache holds under a key, if all of it is still there."""
        entry = runs.cached(tx, wanted.digest)
        if entry is None:
            return None
        artifact = Artifact(entry.type, entry.output, entry.blob)
        return artifact if artifacts.present(tx, self.workspace.blobs, artifact) else None

    def _cached(self, call: _Call, artifact: Artifact) -> Cached:
        return Cached(
            key=call.key.digest,
            step=call.step.name,
            type=artifact.type,
            output=artifact.output,
            blob=artifact.blob,
            code=call.key.code,
            detail=call.key.detail,
            run=self.run.id,
            created_at=time.time(),
        )

    def _put_hit(self, tx: Transaction, call: _Call, artifact: Artifact) -> Step:
        return self._put(tx, call.row, status="hit", output=artifact.output, because="hit", ended_at=time.time())

    def _put(self, tx: Transaction, row: Step, **changes: Any) -> Step:
        row = msgspec.structs.replace(row, **changes)
        runs.put_step(tx, row)
        return row

    def _finished(self, row: Step, artifact: Artifact, *value: object) -> Handle[Any]:
        self._tell(Event("finished", row))
        return Handle(self.workspace, row, artifact, *value)

    def _failed(self, row: Step, error: BaseException) -> None:
        error.add_note(f"(in step {row.name!r}, number {row.seq} of {row.run})")
        with self.workspace.write() as tx:
            row = self._put(tx, row, status="failed", ended_at=time.time(), error=_text(error))
        self._tell(Event("finished", row))

    def _tell(self, event: Event) -> None:
        for observer in self._observers:
            observer(event)

    def _check_name(self, step: StepFunction[..., Any], code: str) -> None:
        """One name, one step: else the reasons for a miss, and whoever reads the run, would mix two."""
        known = self._known.setdefault((step.function.__module__, step.name), step)
        if known is not step and code_digest(known).digest != code:
            raise BadInput(
                f"Two steps of this run are called {step.name!r}: {known.place} and {step.place}. Rename one, or give it a name: @step(name=...)."
            )

    def _check_own(self, step: StepFunction[..., Any], where: str, handle: Handle[Any]) -> None:
        if handle.step.run != self.run.id:
            raise BadInput(
                f"Step {step.name!r}: {where} is a handle of step {handle.step.name!r} from another run ({handle.step.run}). "
                "Pass its value, .result(), or call that step in this run: its result is found again."
            )


@contextmanager
def _scope(execution: Execution) -> Generator[None]:
    run_token, body_token = scope.execution.set(execution), scope.bodies.set(())
    try:
        yield
    finally:
        scope.bodies.reset(body_token)
        scope.execution.reset(run_token)


def _run_in(workspace: Workspace, pipeline: Pipeline[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    with workspace.write() as tx:
        queued = runs.queue(tx, "", pipeline.name, decision="", options={"foreground": True})
        run = runs.claim(tx, queued.id)
    assert run is not None
    return execute(partial(pipeline.function, *args, **kwargs), workspace=workspace, run=run)


def _has_workspace() -> bool:
    try:
        current()
    except BadInput:
        return False
    return True


def _record_failure(execution: Execution, error: BaseException) -> None:
    """Say in the run's row how it ended. When even that cannot be written, the user's own error is what counts."""
    where = f"step {execution.failing!r}: " if execution.failing else ""
    try:
        with execution.workspace.write() as tx:
            runs.finish(tx, execution.run.id, "failed", error=where + _text(error), result=execution.result)
    except Exception as second:
        error.add_note(f"(and the run could not be marked as failed: {second})")


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:_ERROR_CHARACTERS]

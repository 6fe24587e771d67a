"""What happens with one call of a step in another process: load its inputs, run its body, keep its result, say what came of it.

`Task` goes out, `Outcome` comes back; large data go by way of the store. Nothing about the run is written here.
"""

from __future__ import annotations

import faulthandler
import functools
import io
import os
import pickle
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from importlib import import_module
from inspect import BoundArguments
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from everloop.core.errors import BadInput, Conflict, Lost
from everloop.engine import artifacts, logs, main_module, scope
from everloop.engine.artifacts import MEMORY, Artifact
from everloop.engine.code import code_digest
from everloop.engine.handle import Handle, handles
from everloop.store import records
from everloop.store.workspace import Workspace, using

if TYPE_CHECKING:
    from everloop.core.record import Record
    from everloop.engine.call import Call
    from everloop.engine.step import StepFunction

# Plain parameters beyond go into the store once, instead of to each worker with each call.
_LARGE_BYTES = 256 * 1024


class Task(msgspec.Struct, frozen=True, array_like=True):
    """`step` and `arguments` are pickles, with artifacts in place of handles. `code` is the digest that the key was made of."""

    project: str
    home: str
    database_url: str
    blobs: str
    folder: str
    main: tuple[str | None, str]
    path: list[str]
    env: dict[str, str | None]
    name: str
    step: bytes
    code: str
    arguments: bytes
    effect: bool
    log: str


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """`error` is the pickled exception, empty when there is none; then `artifact` and `records` are what came of it."""

    worker: str
    artifact: tuple[str, str, str] | None = None
    records: list[bytes] = []
    error: bytes = b""
    trace: str = ""


class RemoteTraceback(Exception):
    """The cause of an exception that was raised in a worker: its traceback there, as text."""

    def __str__(self) -> str:
        return f"\n\n{self.args[0]}"


_task_decoder = msgspec.msgpack.Decoder(Task)
_outcome_decoder = msgspec.msgpack.Decoder(Outcome)


def run_body(step: StepFunction[..., Any], arguments: Mapping[str, Any]) -> object:
    """The step's function on values of its own."""
    token = scope.bodies.set((*scope.bodies.get(), step))
    try:
        bound = BoundArguments(step.signature, arguments)  # type: ignore[arg-type]
        return step.function(*bound.args, **bound.kwargs)
    except SystemExit as error:
        raise Lost(f"Step {step.name!r} ({step.place}) ended itself by sys.exit({error.code!r}). Return, or raise an exception.") from error
    finally:
        scope.bodies.reset(token)


def save(workspace: Workspace, step: StepFunction[..., Any], value: object) -> tuple[Artifact, tuple[Record, ...]]:
    """Keep what a body returned. What cannot be kept is an error, or, from an effect, stays in memory."""
    lost = next(handles(value), None)
    try:
        if lost is not None:
            raise BadInput("a handle cannot be stored")
        return artifacts.save(workspace.blobs, value)
    except BadInput as error:
        if step.settings.effect:
            return Artifact(MEMORY, "", ""), ()
        raise BadInput(
            f"Step {step.name!r} ({step.place}) returned what cannot be kept: {error}. Return plain data, a table, an array, a record, "
            "the path of a file, or an object that can be pickled; or declare the step with effect=True."
        ) from error


class Sender:
    """Calls -> tasks, for one run."""

    def __init__(self, workspace: Workspace, run: str) -> None:
        self._workspace = workspace
        self._run = run
        self._steps: dict[tuple[int, str], tuple[StepFunction[..., Any], bytes]] = {}

    def task(self, call: Call) -> bytes:
        """BadInput when a parameter cannot travel to another process."""
        step, workspace = call.step, self._workspace
        assert call.key is not None
        return msgspec.msgpack.encode(
            Task(
                project=str(workspace.project),
                home=str(workspace.home),
                database_url=workspace.database_url,
                blobs=workspace.blobs.location,
                folder=str(Path.cwd()),
                main=main_module.describe(),
                path=[os.path.abspath(entry) for entry in sys.path],
                env={name: os.environ.get(name) for name in step.settings.env},
                name=step.name,
                step=self._step(step, call.key.code),
                code=call.key.code,
                arguments=self._pickled(f"a parameter of step {step.name!r} ({step.place})", dict(call.arguments)),
                effect=step.settings.effect,
                log=str(logs.path_of(workspace.home, self._run, call.row.seq, step.name)),
            )
        )

    def _step(self, step: StepFunction[..., Any], code: str) -> bytes:
        found = self._steps.get((id(step), code))
        if found is None:
            found = step, self._pickled(f"step {step.name!r} ({step.place})", step)
            self._steps[id(step), code] = found
        return found[1]

    def _pickled(self, what: str, value: object) -> bytes:
        pickler: Any = import_module("cloudpickle").Pickler
        keep = self._keep

        class Pickler(pickler):
            def persistent_id(self, obj: object) -> tuple[str, str, str] | None:
                return keep(obj)

        sink = io.BytesIO()
        try:
            Pickler(sink, protocol=5).dump(value)
        except BadInput:
            raise
        except Exception as error:
            raise BadInput(
                f"{what[0].upper()}{what[1:]} cannot be sent to another process: {error}. Pass plain data, tables or objects that can be "
                "pickled, or run this pipeline with executor='inline'."
            ) from error
        return sink.getvalue()

    def _keep(self, value: object) -> tuple[str, str, str] | None:
        """Handles travel as what they hold, and large tables and arrays by way of the store."""
        if isinstance(value, Handle):
            artifact = cast("Handle[Any]", value).artifact
            if artifact.type == MEMORY:
                raise BadInput(f"The result of step {value.step.name!r} lives in memory alone and cannot be sent to another process.")
            return _plain(artifact)
        top = str(type(value).__module__).partition(".")[0]
        if top not in ("numpy", "polars", "pyarrow", "pandas", "torch") or artifacts.size_of(value) < _LARGE_BYTES:
            return None
        # Each time anew: the same object may have been changed since. What is there already is not written again.
        return _plain(artifacts.save(self._workspace.blobs, value)[0])


def perform(task: bytes, tell: Callable[[bytes], None]) -> bytes:
    """Do what a `Task` asks, in a worker; an `Outcome`, whatever happens. `tell` gets msgpack pairs (done, of)."""
    asked = _task_decoder.decode(task)
    worker = f"{os.uname().nodename}:{os.getpid()}"
    try:
        artifact, kept = _perform(asked, tell)
        return msgspec.msgpack.encode(Outcome(worker, _plain(artifact), [records.encode(record) for record in kept]))
    except BaseException as error:
        return msgspec.msgpack.encode(Outcome(worker, error=_pickled_error(error), trace="".join(traceback.format_exception(error))))


def outcome(answer: bytes) -> Outcome:
    return _outcome_decoder.decode(answer)


def error_of(outcome: Outcome) -> BaseException:
    """The exception that a body raised, with its traceback in the worker as the cause."""
    try:
        error = cast("BaseException", pickle.loads(outcome.error))  # noqa: S301  # our own worker sent it
    except Exception:
        last = outcome.trace.strip().rpartition("\n")[2]
        error = RuntimeError(last)
    error.__cause__ = RemoteTraceback(outcome.trace)
    return error


def _perform(asked: Task, tell: Callable[[bytes], None]) -> tuple[Artifact, tuple[Record, ...]]:
    _settle_in(asked)
    workspace = _workspace(asked.project, asked.home, asked.database_url, asked.blobs)
    with logs.redirected(Path(asked.log)), using(workspace):
        step = _loaded_step(asked.step, asked.code, asked.name)
        arguments = cast("dict[str, Any]", _Unpickler(io.BytesIO(asked.arguments), workspace).load())
        token = scope.progress.set(lambda done, of: tell(msgspec.msgpack.encode((done, of))))
        try:
            value = run_body(step, arguments)
            return save(workspace, step, value)
        finally:
            scope.progress.reset(token)


def _settle_in(asked: Task) -> None:
    """Where the coordinator is, with what it finds modules by, and the variables that the step declared."""
    if not faulthandler.is_enabled():
        # A body that crashes Python leaves its traceback in the step's log.
        faulthandler.enable(2)
    main_module.stand_in(main_module.Main(*asked.main))
    if str(Path.cwd()) != asked.folder:
        os.chdir(asked.folder)
    if sys.path != asked.path:
        sys.path[:] = asked.path
    for name, value in asked.env.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@functools.lru_cache(maxsize=4)
def _workspace(project: str, home: str, database_url: str, blobs: str) -> Workspace:
    return Workspace(project, home=Path(home), database_url=database_url, blobs=blobs, lazily=True)


_steps: dict[tuple[bytes, str], StepFunction[..., Any]] = {}


def _loaded_step(data: bytes, code: str, name: str) -> StepFunction[..., Any]:
    """The step, once it is sure that its code here is the code that the key was made of: files may have been edited since."""
    found = _steps.get((sha256(data).digest(), code))
    if found is None:
        found = cast("StepFunction[..., Any]", pickle.loads(data))  # noqa: S301  # our own coordinator sent it
        here = code_digest(found)
        if here.digest != code:
            raise Conflict(
                f"The code that step {name!r} reaches is not the same in the run's process and in its workers: a file was edited after "
                "the run had begun. Nothing wrong was kept; start the run again."
            )
        _steps[sha256(data).digest(), code] = found
    return found


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, workspace: Workspace) -> None:
        super().__init__(file)
        self._place = workspace

    def persistent_load(self, pid: Any) -> object:
        artifact = Artifact(*pid)
        with self._place.read() as tx:
            return artifacts.load(tx, self._place.blobs, artifact)


def _plain(artifact: Artifact) -> tuple[str, str, str]:
    return artifact.type, artifact.output, artifact.blob


def _pickled_error(error: BaseException) -> bytes:
    """Without what cannot travel: an exception whose pickle cannot be read again arrives as its text."""
    with suppress(Exception):
        data = cast("bytes", import_module("cloudpickle").dumps(error))
        pickle.loads(data)  # noqa: S301
        return data
    return b""

"""The coordinator of a run: decides hit or miss for each call of a step, has the body executed, and alone writes what is known of it.

What survives a kill at any moment: blobs come first, then records, cache row and the step's `done` in one transaction. So a row
never names what is not there, and running again continues behind the last step that is done.
"""

from __future__ import annotations

import copy
import itertools
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from everloop.core.errors import BadInput, Lost, Stopped
from everloop.core.runs import Run, RunStatus, Step
from everloop.engine import artifacts, logs, retry, scope, work
from everloop.engine.artifacts import MEMORY, Artifact
from everloop.engine.call import Call
from everloop.engine.code import code_digest
from everloop.engine.dispatch import Dispatcher
from everloop.engine.events import Event, Observer
from everloop.engine.handle import Handle, handles, resolve
from everloop.engine.keys import Key, because, key
from everloop.engine.memory import Memory
from everloop.engine.past import Past, past
from everloop.engine.surroundings import NOTHING, Surroundings, surroundings
from everloop.engine.watch import Watched, changed, watch
from everloop.store import records, runs
from everloop.store.leases import Leases
from everloop.store.runs import Cached
from everloop.store.slots import Slots
from everloop.store.workspace import Workspace

if TYPE_CHECKING:
    from everloop.core.record import Record
    from everloop.core.work import Executor, Resources
    from everloop.engine.step import StepFunction
    from everloop.store.database import Transaction

_ERROR_CHARACTERS = 500
_NO_KEY = Key("", "", {})
# Rows of hits are written together: a killed run may lack the last of them, which nothing depends on.
_ROWS_TOGETHER = 100
_CANCEL_EVERY_S = 1.0
_HELD_POLL_S = 0.02
_LONGEST_POLL_S = 0.05


class Parked(BaseException):
    """Raised in a pipeline or an effect to end the run as `waiting`: nothing runs until somebody queues it again. No error of anybody."""


class Execution:
    """The run that is going on. One coordinator: every row about it is written here.

    The pipeline's thread makes calls and waits for them; with an executor, the dispatcher's thread ends them. `changed` is the lock
    around everything that both see, and wakes whoever waits. A body that is executed in the pipeline's own thread runs outside it.
    """

    def __init__(
        self,
        workspace: Workspace,
        run: Run,
        observers: tuple[Observer, ...],
        *,
        executor_name: str,
        executor: Callable[[], Executor] | None,
    ) -> None:
        self.workspace = workspace
        self.run = run
        self.status: RunStatus = "done"
        self.result: dict[str, object] = {}
        self.changed = threading.Condition(threading.RLock())
        self.inline = executor is None
        self._executor_name = "processes" if executor is None else executor_name
        self._executor = executor
        self._dispatcher: Dispatcher | None = None
        self._sender = work.Sender(workspace, run.id)
        self._leases = Leases(workspace)
        self._memory = Memory()
        self._observers = observers
        # A run that was parked goes on behind the numbers that it had reached.
        self._numbers = itertools.count(1 + int(str(run.options.get("steps_before", 0))))
        self._known: dict[tuple[str, str], StepFunction[..., Any]] = {}
        self._by_key: dict[str, Call] = {}
        self._held: list[Call] = []
        self._pasts: dict[str, Past] = {}
        self._failures: list[Call] = []
        self._open = 0
        self._rows: list[Step] = []
        self._news: deque[Call] = deque()
        self._cancelled_by = ""
        self._broken: BaseException | None = None
        self._looked_at = time.monotonic()

    # What the pipeline's thread does.

    def call(self, step: StepFunction[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Handle[Any]:
        self._check_going_on()
        bound = step.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        row = Step(run=self.run.id, seq=next(self._numbers), name=step.name, key="", status="running", started_at=time.time())
        call = Call(step, bound.arguments, row)
        with self.changed:
            self._open += 1
            try:
                self._enter(call)
            except Exception as error:
                self._fail(call, error)
        if step.settings.effect:
            self._effect(call)
        elif self.inline:
            self._at_once(call)
        return Handle(self, call)

    def artifact_of(self, call: Call) -> Artifact:
        """Waits for the call to end. Raises its error."""
        if not call.ended:
            with self.changed:
                while not call.ended:
                    self._check_going_on()
                    self._flush()
                    self._wait()
        if call.artifact is None:
            call.seen = True
            cause = call.error
            assert cause is not None
            raise cause
        return call.artifact

    def value_of(self, call: Call, artifact: Artifact) -> object:
        if artifact.type == MEMORY:
            return call.value
        value = self._memory.get(artifact)
        return self._load(artifact) if value is None else value

    def fresh_value_of(self, call: Call, artifact: Artifact, known: object | None) -> object:
        """`known` is the value, if somebody has it."""
        if artifact.type == MEMORY:
            return call.value
        value = self._memory.get(artifact)
        return artifacts.duplicate(artifact, known if value is None else value, lambda: self._load(artifact))

    def members_of(self, artifact: Artifact) -> dict[str, Artifact] | list[Artifact] | None:
        return artifacts.members(self.workspace.blobs, artifact)

    def drain(self) -> None:
        """Wait until every call has ended."""
        with self.changed:
            while self._open:
                self._check_going_on()
                self._wait()
            self._flush()

    def _wait(self) -> None:
        """Until something may have changed."""
        if self._dispatcher is not None and self._dispatcher.is_running:
            self.changed.wait()
        else:
            # Nothing of ours runs; what is not done yet, another process does, and nobody else looks for its end.
            self.changed.wait(_HELD_POLL_S)
            self.look()

    def first_failure(self) -> BaseException | None:
        """The error of the first step that failed and that nobody was told of, with a note of the others."""
        failed = sorted((call for call in self._failures if call.state == "failed" and not call.seen), key=lambda call: call.row.seq)
        if not failed:
            return None
        first = failed[0].error
        assert first is not None
        if len(failed) > 1:
            others = ", ".join(f"{call.step.name!r}" for call in failed[1:6])
            first.add_note(f"({len(failed) - 1} more failed: {others}{' ...' if len(failed) > 6 else ''})")
        return first

    def place_of(self, error: BaseException) -> str:
        """`step 'fit': ` when the error is that of a step."""
        name = next((call.step.name for call in self._failures if call.error is error), "")
        return f"step {name!r}: " if name else ""

    def cancel(self, by: str) -> None:
        """End everything that runs or waits; what is done stays done. Returns when no process of ours is left at it.

        `by` is who or what did it, unless the store knows of a person.
        """
        with self.workspace.read() as tx:
            by = runs.cancel_asked(tx, self.run.id) or by
        with self.changed:
            self._cancelled_by = self._cancelled_by or by
            if self._dispatcher is not None:
                self._dispatcher.cancel()
            for call in self._held:
                self._end(call, "cancelled", Stopped(f"cancelled by {by}"))
            self._held.clear()
        if self._dispatcher is not None:
            with self.changed:
                while any(call.state in ("queued", "running") for call in self._by_key.values()) and self._broken is None:
                    self.changed.wait(_LONGEST_POLL_S)

    @property
    def was_cancelled_by(self) -> str:
        return self._cancelled_by

    def close(self) -> None:
        if self._dispatcher is not None:
            self._dispatcher.close()
        with self.changed:
            self._flush()
        self._leases.close()

    # From the call to its key.

    def _enter(self, call: Call) -> None:
        inputs: dict[int, Handle[Any]] = {}
        for name, value in call.arguments.items():
            for where, handle in handles(value, name):
                self._check_own(call.step, where, handle)
                inputs[id(handle)] = handle
        self._check_name(call.step)
        if call.step.settings.effect:
            return
        for waited_for in (handle.call for handle in inputs.values()):
            if waited_for.state in ("failed", "skipped", "cancelled"):
                self._skip(call, waited_for)
                return
            if not waited_for.ended:
                waited_for.dependents.append(call)
                call.missing += 1
        if call.missing:
            call.early = watch(call.arguments)
        else:
            self._decide(call)

    def _key(self, call: Call) -> Key:
        step = call.step
        inputs = {where: handle.output for name, value in call.arguments.items() for where, handle in handles(value, name)}
        found = key(
            step.name,
            code_digest(step),
            call.arguments,
            inputs=inputs,
            version=step.settings.version,
            where=f" ({step.place})",
            surroundings=self._surroundings(step),
        )
        if call.early is not None:
            self._check_unchanged(call, call.early)
        call.row = msgspec.structs.replace(call.row, key=found.digest, inputs=inputs)
        return found

    def _surroundings(self, step: StepFunction[..., Any]) -> Surroundings:
        settings = step.settings
        if not settings.depends_on and not settings.env:
            return NOTHING
        return surroundings(settings.depends_on, settings.env, self.workspace.project, step=step.name, where=f" ({step.place})")

    def _decide(self, call: Call) -> None:
        """All inputs are there: a hit, an equal call that is under way, another process's, or ours to run."""
        call.key = self._key(call)
        twin = self._by_key.get(call.key.digest)
        if twin is not None and not twin.ended:
            twin.twins.append(call)
            call.state = "twin"
            return
        with self.workspace.read() as tx:
            artifact = self._artifact(tx, call.key)
        if artifact is not None:
            self._hit(call, artifact)
            return
        self._by_key[call.key.digest] = call
        if self._leases.take(call.key.digest):
            self._ours(call)
        else:
            call.state = "held"
            self._held.append(call)

    def _ours(self, call: Call) -> None:
        """The lease is ours. Its last holder may have made the result between our look and our lease."""
        assert call.key is not None
        call.state = "queued"
        with self.workspace.write() as tx:
            artifact = self._artifact(tx, call.key)
            if artifact is None:
                self._change(call, because=because(call.key.detail, self._past(call.step.name).closest(call.key.detail)))
                if self._is_inline(call):
                    self._put_begun(tx, call)
        if artifact is not None:
            self._hit(call, artifact)
        elif not self._is_inline(call):
            self._dispatch(call)

    def _past(self, step: str) -> Past:
        if step not in self._pasts:
            self._pasts[step] = past(self.workspace, step, self.run.id)
        return self._pasts[step]

    def _look_at_held(self) -> None:
        """Calls that another process had under way: is the result there, or the lease free?"""
        held, self._held = self._held, []
        for call in held:
            assert call.key is not None
            if self._leases.take(call.key.digest):
                self._ours(call)
            else:
                self._held.append(call)

    # Bodies in this thread.

    def _is_inline(self, call: Call) -> bool:
        """A deadline needs a process that can be killed; an effect may use what only this process has."""
        return call.step.settings.timeout_s is None and (self.inline or call.step.settings.effect)

    def _at_once(self, call: Call) -> None:
        pause_s = 0.001
        while call.state == "held":
            self._check_going_on()
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_POLL_S)
            with self.changed:
                self._look_at_held()
        if call.state == "queued" and self._is_inline(call):
            self._run_here(call)
        elif not call.ended:
            with self.changed:
                while not call.ended:
                    self._check_going_on()
                    self._wait()

    def _effect(self, call: Call) -> None:
        """In the order of the calls, when its inputs are there; what it raises comes out of the call."""
        if call.ended:
            raise self._told_error(call)
        for value in call.arguments.values():
            for _, handle in handles(value):
                try:
                    self.artifact_of(handle.call)
                except Exception:
                    with self.changed:
                        self._skip(call, handle.call)
                    raise
        with self.changed:
            try:
                call.key = self._key(call)
            except BadInput:
                call.key = _NO_KEY._replace(code=code_digest(call.step).digest)
            self._change(call, because="an effect always runs")
            call.state = "queued"
            if not self._is_inline(call):
                self._dispatch(call)
            else:
                with self.workspace.write() as tx:
                    self._put_begun(tx, call)
        self._at_once(call)
        if call.artifact is None:
            raise self._told_error(call)

    def _told_error(self, call: Call) -> BaseException:
        call.seen = True
        assert call.error is not None
        return call.error

    def _run_here(self, call: Call) -> None:
        call.state = "running"
        call.attempt = 1
        self._tell(Event("started", call.row))
        log = logs.path_of(self.workspace.home, self.run.id, call.row.seq, call.step.name)
        token = scope.progress.set(lambda done, of: self._tell(Event("progress", call.row, done, of)))
        try:
            while True:
                try:
                    values = self._values(call)
                    with logs.captured(log):
                        value = work.run_body(call.step, values)
                    break
                except Exception as error:
                    if not retry.again(call.step.settings, attempt=call.attempt, error=error):
                        raise
                    time.sleep(retry.delay_s(call.step.settings, attempt=call.attempt, chance=random.random()))  # noqa: S311
                    call.attempt += 1
            artifact, kept = work.save(self.workspace, call.step, value)
            self._check_kept_inputs(call)
        except Exception as error:
            with self.changed:
                self._fail(call, error)
            return
        except Parked:
            # Its row says that it is running, and so it is: somebody is asked.
            with self.changed:
                call.state = "cancelled"
                self._open -= 1
            raise
        except BaseException as error:
            with self.changed:
                self._end(call, "cancelled", error)
            raise
        finally:
            scope.progress.reset(token)
        with self.changed:
            self._keep([(call, artifact, kept)])
        if artifact.type == MEMORY:
            call.value = value
        else:
            self._memory.put(artifact, value)

    def _values(self, call: Call) -> dict[str, Any]:
        """Arguments of its own for a body, as it would have in a worker: what it changes in place, nobody else sees."""
        values = {name: resolve(value, Handle[Any].fresh) for name, value in call.arguments.items()}
        for name in call.key.watched.forms if call.key is not None else ():
            # Where there is no copy, the original is compared after the body.
            with suppress(Exception):
                values[name] = copy.deepcopy(values[name])
        return values

    # What the dispatcher tells; always under the lock.

    def _dispatch(self, call: Call) -> None:
        if self._dispatcher is None:
            executor = self._open_executor()
            # A cluster shares itself out; this machine is shared by those who run on it.
            local = self._executor_name == "processes"
            self._dispatcher = Dispatcher(
                executor, self, Slots(self.workspace, self.run.id, _of_machine(executor.capacity)) if local else None
            )
        if not self._dispatcher.fits(call.step.settings.resources):
            error = BadInput(
                f"Step {call.step.name!r} ({call.step.place}) asks for {_amount(call.step.settings.resources)}, and there is only "
                f"{_amount(self._dispatcher.executor.capacity)}. Ask for less, or run on a larger machine."
            )
            self._fail(call, error)
        else:
            self._dispatcher.put(call)

    def _open_executor(self) -> Executor:
        if self._executor is not None:
            return self._executor()
        from everloop.engine.executors.processes import Processes

        return Processes(work.perform, workers=None, folder=self.workspace.home)

    def begin(self, calls: list[Call]) -> list[tuple[Call, bytes | None]]:
        """Write that these run; the task of each, None for one that cannot be sent."""
        begun: list[tuple[Call, bytes | None]] = []
        for call in calls:
            try:
                assert call.key is not None
                self._check_unchanged(call, call.key.watched)
                begun.append((call, self._sender.task(call)))
            except Exception as error:
                self._fail(call, error)
                begun.append((call, None))
        sent = [call for call, task in begun if task is not None]
        if sent:
            with self.workspace.write() as tx:
                for call in sent:
                    call.attempt += 1
                    self._change(call, executor=self._executor_name)
                    call.state = "running"
                    self._put_begun(tx, call)
            for call in sent:
                self._tell(Event("started", call.row))
        return begun

    def answered(self, answers: Iterable[tuple[Call, bytes]]) -> None:
        """Workers have answered."""
        made: list[tuple[Call, Artifact, tuple[Record, ...]]] = []
        for call, answer in answers:
            outcome = work.outcome(answer)
            self._change(call, worker=outcome.worker)
            if outcome.artifact is None:
                self._attempt_failed(call, work.error_of(outcome))
                continue
            try:
                # The worker had copies of the parameters; the files were the same.
                self._check_kept_inputs(call, files_only=True)
                kept = tuple(records.decode(body) for body in outcome.records)
            except Exception as error:
                self._fail(call, error)
                continue
            made.append((call, Artifact(*outcome.artifact), kept))
        if made:
            self._keep(made)

    def lost(self, call: Call, reason: str) -> None:
        """The process of a call is gone."""
        self._attempt_failed(
            call,
            Lost(
                f"Step {call.step.name!r} ({call.step.place}): its process {reason}. What it printed is in "
                f"{logs.path_of(self.workspace.home, self.run.id, call.row.seq, call.step.name)}. Give it more memory or mend what crashed, "
                "and run again: finished steps are kept."
            ),
        )

    def late(self, call: Call) -> None:
        """The deadline of a call is over, and its process was ended."""
        limit = call.step.settings.timeout_s
        self._attempt_failed(
            call,
            Stopped(
                f"Step {call.step.name!r} ({call.step.place}) did not end within its timeout_s={limit:g} and was stopped. "
                "Allow it more, or make it do less."
            ),
        )

    def told(self, call: Call, body: bytes) -> None:
        done, of = msgspec.msgpack.decode(body)
        self._tell(Event("progress", call.row, done, of))

    def cancelled(self, calls: Iterable[Call]) -> None:
        for call in calls:
            self._end(call, "cancelled", Stopped(f"Step {call.step.name!r} was cancelled by {self._cancelled_by}."))
        self.changed.notify_all()

    @property
    def waits_for_others(self) -> bool:
        return bool(self._held)

    def look(self) -> None:
        """Now and then: what other processes do."""
        if self._held:
            self._look_at_held()
        self._look_for_cancel()

    def broke(self, error: BaseException) -> None:
        """The dispatcher's thread cannot go on."""
        self._broken = error
        self.changed.notify_all()

    def _attempt_failed(self, call: Call, error: BaseException) -> None:
        if self._cancelled_by:
            self._end(call, "cancelled", error)
        elif retry.again(call.step.settings, attempt=call.attempt, error=error):
            assert self._dispatcher is not None
            call.state = "queued"
            delay_s = retry.delay_s(call.step.settings, attempt=call.attempt, chance=random.random())  # noqa: S311
            self._dispatcher.put(call, delay_s=delay_s)
        else:
            self._fail(call, error)

    # Ends, and what follows from them; always under the lock.

    def _keep(self, made: Iterable[tuple[Call, Artifact, tuple[Record, ...]]]) -> None:
        """Results whose blobs are written become rows, together."""
        made = list(made)
        now = time.time()
        with self.workspace.write() as tx:
            self._flush_in(tx)
            for call, artifact, kept in made:
                assert call.key is not None
                if kept:
                    records.keep(tx, *kept)
                if not call.step.settings.effect:
                    runs.put_cached(tx, self._cached(call, artifact, now))
                self._change(
                    call,
                    status="done",
                    output=artifact.output,
                    type=artifact.type,
                    blob=artifact.blob,
                    ended_at=now,
                    attempts=call.attempt,
                )
                runs.put_step(tx, call.row)
        for call, artifact, _ in made:
            call.artifact = artifact
            self._ended(call, "done")

    def _hit(self, call: Call, artifact: Artifact) -> None:
        self._change(
            call, status="hit", output=artifact.output, type=artifact.type, blob=artifact.blob, because="hit", ended_at=time.time()
        )
        call.artifact = artifact
        self._put_later(call.row)
        self._ended(call, "done")

    def _fail(self, call: Call, error: BaseException) -> None:
        self._end(call, "failed", error)

    def _skip(self, call: Call, cause: Call) -> None:
        call.seen = True
        self._change(call, error=f"step {cause.step.name!r} (number {cause.row.seq}) did not give its result")
        self._end(call, "skipped", cause.error)

    def _end(self, call: Call, state: Any, error: BaseException | None) -> None:
        """An end without a result: failed, skipped or cancelled."""
        call.error = error
        if state != "skipped" and error is not None:
            error.add_note(f"(in step {call.step.name!r}, number {call.row.seq} of {self.run.id})")
            self._failures.append(call)
            self._change(call, error=_text(error))
        self._change(call, status=state, ended_at=time.time(), attempts=call.attempt)
        with self.workspace.write() as tx:
            self._flush_in(tx)
            runs.put_step(tx, call.row)
        self._ended(call, state)

    def _ended(self, call: Call, state: Any) -> None:
        leads = call.state in ("queued", "running") and call.key is not None and not call.step.settings.effect
        call.state = state
        self._open -= 1
        if call.key is not None:
            if leads:
                self._leases.give(call.key.digest)
            if self._by_key.get(call.key.digest) is call:
                del self._by_key[call.key.digest]
        self._tell(Event("finished", call.row))
        # Nobody needs the values from here on; only the handle lives as long as the user wants.
        call.arguments = {}
        self.changed.notify_all()
        self._news.append(call)
        if len(self._news) == 1:
            self._spread()

    def _spread(self) -> None:
        """What an end means for the calls that waited for it. A loop, because a chain of hits may be as long as the run."""
        while self._news:
            call = self._news[0]
            for twin in call.twins:
                if call.artifact is not None:
                    self._hit(twin, call.artifact)
                else:
                    self._skip(twin, call)
            for dependent in call.dependents:
                self._input_ended(dependent, call)
            call.twins = call.dependents = []
            self._news.popleft()

    def _input_ended(self, call: Call, ended: Call) -> None:
        if call.ended:
            return
        if ended.artifact is None:
            self._skip(call, ended)
            return
        call.missing -= 1
        if not call.missing:
            try:
                self._decide(call)
            except Exception as error:
                self._fail(call, error)

    # Rows.

    def _change(self, call: Call, **changes: Any) -> None:
        call.row = msgspec.structs.replace(call.row, **changes)

    def _put_begun(self, tx: Transaction, call: Call) -> None:
        self._flush_in(tx)
        self._change(call, status="running", started_at=time.time(), attempts=max(1, call.attempt))
        runs.put_step(tx, call.row)

    def _put_later(self, row: Step) -> None:
        self._rows.append(row)
        if self._observers or len(self._rows) >= _ROWS_TOGETHER:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            with self.workspace.write() as tx:
                self._flush_in(tx)

    def _flush_in(self, tx: Transaction) -> None:
        if self._rows:
            runs.put_steps(tx, self._rows)
            self._rows = []

    def _artifact(self, tx: Transaction, wanted: Key) -> Artifact | None:
        """What the cache holds under a key, if all of it is still there."""
        entry = runs.cached(tx, wanted.digest)
        if entry is None:
            return None
        artifact = Artifact(entry.type, entry.output, entry.blob)
        return artifact if artifacts.present(tx, self.workspace.blobs, artifact) else None

    def _cached(self, call: Call, artifact: Artifact, now: float) -> Cached:
        assert call.key is not None
        return Cached(
            key=call.key.digest,
            step=call.step.name,
            type=artifact.type,
            output=artifact.output,
            blob=artifact.blob,
            code=call.key.code,
            detail=call.key.detail,
            run=self.run.id,
            created_at=now,
        )

    def _load(self, artifact: Artifact) -> object:
        with self.workspace.read() as tx:
            return artifacts.load(tx, self.workspace.blobs, artifact)

    def _tell(self, event: Event) -> None:
        if self._observers:
            with self.changed:
                for observer in self._observers:
                    observer(event)

    # Checks.

    def _check_going_on(self) -> None:
        if self._broken is not None:
            raise self._broken
        if self.inline and time.monotonic() - self._looked_at >= _CANCEL_EVERY_S:
            self._look_for_cancel()
        if self._cancelled_by:
            raise Stopped(f"Run {self.run.id} was cancelled by {self._cancelled_by}.")

    def _look_for_cancel(self) -> None:
        if self._cancelled_by or time.monotonic() - self._looked_at < _CANCEL_EVERY_S:
            return
        self._looked_at = time.monotonic()
        with self.workspace.read() as tx:
            by = runs.cancel_asked(tx, self.run.id)
        if by:
            self._cancelled_by = by
            if self._dispatcher is not None:
                self._dispatcher.cancel()
            self.changed.notify_all()

    def _check_name(self, step: StepFunction[..., Any]) -> None:
        """One name, one step: else the reasons for a miss, and whoever reads the run, would mix two."""
        known = self._known.setdefault((step.function.__module__, step.name), step)
        if known is not step and code_digest(known).digest != code_digest(step).digest:
            raise BadInput(
                f"Two steps of this run are called {step.name!r}: {known.place} and {step.place}. Rename one, or give it a name: @step(name=...)."
            )

    def _check_unchanged(self, call: Call, watched: Watched) -> None:
        found = changed(watched, call.arguments)
        if found:
            raise BadInput(
                f"Step {call.step.name!r} ({call.step.place}): {found[0]} was changed after the call and before the step could run, so nobody "
                "can say which of the two it should see. Pass a copy, or change it after the run."
            )

    def _check_kept_inputs(self, call: Call, *, files_only: bool = False) -> None:
        """A result is that of its inputs only if they are still what they were."""
        if call.key is None or call.step.settings.effect:
            return
        watched = call.key.watched._replace(forms={}) if files_only else call.key.watched
        found = changed(watched, call.arguments)
        if found:
            raise BadInput(
                f"Step {call.step.name!r} ({call.step.place}): {found[0]} was changed while the step ran, by itself or by somebody else, so its "
                "result is not kept: it would depend on when and how often the step ran. Copy what you change, or write to another file."
            )

    def _check_own(self, step: StepFunction[..., Any], where: str, handle: Handle[Any]) -> None:
        if handle.execution is not self:
            raise BadInput(
                f"Step {step.name!r}: {where} is a handle of step {handle.step.name!r} from another run ({handle.step.run}). "
                "Pass its value, .result(), or call that step in this run: its result is found again."
            )


def _text(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {error}"[:_ERROR_CHARACTERS] if error is not None else ""


def _of_machine(capacity: Resources) -> Resources:
    return capacity._replace(cpus=max(capacity.cpus, float(os.cpu_count() or 1)))


def _amount(needs: Resources) -> str:
    return f"{needs.cpus:g} cpus, {needs.gpus:g} gpus and {needs.memory_mb:,.0f} MB"

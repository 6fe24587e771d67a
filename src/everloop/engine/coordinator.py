"""The coordinator of a run: decides hit or miss for each call of a step, has the body executed, and alone writes what is known of it.

What survives a kill at any moment: blobs come first, then records, cache row and the step's `done` in one transaction. So a row
never names what is not there, and running again continues behind the last step that is done.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from everloop.core.errors import BadInput, Stopped
from everloop.core.runs import Run, RunStatus, Step
from everloop.engine import artifacts, inline, inputs, logs, refusals, work
from everloop.engine.artifacts import MEMORY, Artifact
from everloop.engine.book import Book, Made, change
from everloop.engine.call import Call
from everloop.engine.code import code_digest
from everloop.engine.events import Event, Observer
from everloop.engine.handle import Handle, handles
from everloop.engine.keys import Key
from everloop.engine.remote import Remote
from everloop.store import runs
from everloop.store.leases import Leases
from everloop.store.workspace import Workspace

if TYPE_CHECKING:
    from everloop.core.work import Executor
    from everloop.engine.step import StepFunction

_ERROR_CHARACTERS = 500
_NO_KEY = Key("", "", {})
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
        # Also a run of bodies in this process needs others, for those with a deadline.
        self._remote = Remote(self, "processes", _processes) if executor is None else Remote(self, executor_name, executor)
        self._leases = Leases(workspace)
        self._book = Book(workspace, run)
        self._observers = observers
        # A run that was parked goes on behind the numbers that it had reached.
        self._numbers = itertools.count(1 + int(str(run.options.get("steps_before", 0))))
        self._known: dict[tuple[str, str], StepFunction[..., Any]] = {}
        self._by_key: dict[str, Call] = {}
        self._held: list[Call] = []
        self._failures: list[Call] = []
        self._open = 0
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
        try:
            with self.changed:
                self._open += 1
                try:
                    self._enter(call)
                except Exception as error:
                    self.fail(call, error)
            if step.settings.effect:
                self._effect(call)
            elif self.inline:
                self._at_once(call)
        except BaseException:
            self._give_up(call)
            raise
        return Handle(self, call)

    def artifact_of(self, call: Call) -> Artifact:
        """Waits for the call to end. Raises its error."""
        if not call.ended:
            with self.changed:
                while not call.ended:
                    self._check_going_on()
                    self._book.write()
                    self._wait()
        if call.artifact is None:
            call.seen = True
            cause = call.error
            assert cause is not None
            raise cause
        return call.artifact

    def value_of(self, call: Call, artifact: Artifact) -> object:
        return self._book.value(call, artifact)

    def fresh_value_of(self, call: Call, artifact: Artifact, known: object | None) -> object:
        """`known` is the value, if somebody has it."""
        return self._book.fresh(call, artifact, known)

    def members_of(self, artifact: Artifact) -> dict[str, Artifact] | list[Artifact] | None:
        return artifacts.members(self.workspace.blobs, artifact)

    def drain(self) -> None:
        """Wait until every call has ended."""
        with self.changed:
            while self._open:
                self._check_going_on()
                self._wait()
            self._book.write()

    def _wait(self) -> None:
        """Until something may have changed."""
        if self._remote.is_running:
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
            self._remote.cancel()
            for call in self._held:
                self.end(call, "cancelled", Stopped(f"cancelled by {by}"))
            self._held.clear()
        if self._remote.is_running:
            with self.changed:
                while any(call.state in ("queued", "running") for call in self._by_key.values()) and self._broken is None:
                    self.changed.wait(_LONGEST_POLL_S)

    @property
    def was_cancelled_by(self) -> str:
        return self._cancelled_by

    def close(self) -> None:
        self._remote.close()
        with self.changed:
            self._book.write()
        self._leases.close()

    # From the call to its key.

    def _enter(self, call: Call) -> None:
        given: dict[int, Handle[Any]] = {}
        for name, value in call.arguments.items():
            for where, handle in handles(value, name):
                if handle.execution is not self:
                    raise refusals.another_runs(call.step, where, handle)
                given[id(handle)] = handle
        self._check_name(call.step)
        if call.step.settings.effect:
            return
        for waited_for in (handle.call for handle in given.values()):
            if waited_for.state in ("failed", "skipped", "cancelled"):
                self._skip(call, waited_for)
                return
            if not waited_for.ended:
                waited_for.dependents.append(call)
                call.missing += 1
        if call.missing:
            inputs.hold_still(call)
        else:
            self._decide(call)

    def _decide(self, call: Call) -> None:
        """All inputs are there: a hit, an equal call that is under way, another process's, or ours to run."""
        call.key = inputs.key_of(call, self.workspace.project)
        twin = self._by_key.get(call.key.digest)
        if twin is not None and not twin.ended:
            twin.twins.append(call)
            call.state = "twin"
            return
        with self.workspace.read() as tx:
            artifact = self._book.found(tx, call.key)
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
            artifact = self._book.found(tx, call.key)
            if artifact is None:
                change(call, because=self._book.why(call.step.name, call.key))
                if self._is_inline(call):
                    self._book.begin(tx, call)
        if artifact is not None:
            self._hit(call, artifact)
        elif not self._is_inline(call):
            self._remote.put(call)

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
                call.key = inputs.key_of(call, self.workspace.project)
            except BadInput:
                call.key = _NO_KEY._replace(code=code_digest(call.step).digest)
            change(call, because="an effect always runs")
            call.state = "queued"
            if not self._is_inline(call):
                self._remote.put(call)
            else:
                with self.workspace.write() as tx:
                    self._book.begin(tx, call)
        self._at_once(call)
        if call.artifact is None:
            raise self._told_error(call)

    def _told_error(self, call: Call) -> BaseException:
        call.seen = True
        assert call.error is not None
        return call.error

    def _run_here(self, call: Call) -> None:
        call.state = "running"
        self.tell(Event("started", call.row))
        try:
            value = inline.run_body(call, log=self.log_of(call), progress=lambda done, of: self.tell(Event("progress", call.row, done, of)))
            artifact, kept = work.save(self.workspace, call.step, value)
            inputs.check_kept(call, files_only=False)
        except Exception as error:
            with self.changed:
                self.fail(call, error)
            return
        except Parked:
            # Its row says that it is running, and so it is: somebody is asked.
            raise
        except BaseException as error:
            with self.changed:
                self.end(call, "cancelled", error)
            raise
        with self.changed:
            self.keep([Made(call, artifact, kept)])
        if artifact.type == MEMORY:
            call.value = value
        else:
            self._book.remember(artifact, value)

    def _give_up(self, call: Call) -> None:
        """The call cannot be ended as it should, because the pipeline's thread is on its way out; nobody shall wait for it."""
        with self.changed:
            if not call.ended and not self._remote.has(call):
                call.state = "cancelled"
                self._open -= 1

    # What is told by others; always under the lock.

    def begun(self, calls: list[Call]) -> None:
        """The bodies of these run now, elsewhere."""
        if not calls:
            return
        with self.workspace.write() as tx:
            for call in calls:
                self._book.begin(tx, call)
        for call in calls:
            self.tell(Event("started", call.row))

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

    # Ends, and what follows from them; always under the lock.

    def keep(self, made: list[Made]) -> None:
        """Results whose blobs are written become rows, together."""
        self._book.keep(made)
        for one in made:
            self._ended(one.call, "done")

    def _hit(self, call: Call, artifact: Artifact) -> None:
        self._book.hit(call, artifact)
        if self._observers:
            self._book.write()
        self._ended(call, "done")

    def fail(self, call: Call, error: BaseException) -> None:
        self.end(call, "failed", error)

    def _skip(self, call: Call, cause: Call) -> None:
        call.seen = True
        change(call, error=f"step {cause.step.name!r} (number {cause.row.seq}) did not give its result")
        self.end(call, "skipped", cause.error)

    def end(self, call: Call, state: Any, error: BaseException | None) -> None:
        """An end without a result: failed, skipped or cancelled."""
        if call.ended:
            return
        call.error = error
        if state != "skipped" and error is not None:
            error.add_note(f"(in step {call.step.name!r}, number {call.row.seq} of {self.run.id})")
            self._failures.append(call)
            change(call, error=_text(error))
        change(call, status=state, ended_at=time.time(), attempts=call.attempt)
        self._book.end(call)
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
        self.tell(Event("finished", call.row))
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
                self.fail(call, error)

    # What others want to know, and checks.

    def log_of(self, call: Call) -> Path:
        return logs.path_of(self.workspace.home, self.run.id, call.row.seq, call.step.name)

    def tell(self, event: Event) -> None:
        if self._observers:
            with self.changed:
                for observer in self._observers:
                    observer(event)

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
            self._remote.cancel()
            self.changed.notify_all()

    def _check_name(self, step: StepFunction[..., Any]) -> None:
        """One name, one step: else the reasons for a miss, and whoever reads the run, would mix two."""
        known = self._known.setdefault((step.function.__module__, step.name), step)
        if known is not step and code_digest(known).digest != code_digest(step).digest:
            raise refusals.two_of_one_name(known, step)


def _text(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {error}"[:_ERROR_CHARACTERS] if error is not None else ""


def _processes() -> Executor:
    from everloop.engine.executors.processes import Processes

    return Processes(work.perform, workers=None, folder=Path())

"""Calls that an executor runs: what is sent, what the answers mean, and whether a failed attempt is followed by another."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import msgspec

from everloop.core.errors import Stopped
from everloop.engine import inputs, refusals, retry, work
from everloop.engine.artifacts import Artifact
from everloop.engine.book import Made, change
from everloop.engine.call import Call
from everloop.engine.dispatch import Dispatcher
from everloop.engine.events import Event
from everloop.store import records
from everloop.store.slots import Slots

if TYPE_CHECKING:
    from everloop.core.work import Executor, Resources
    from everloop.engine.coordinator import Execution


class Remote:
    """Between the coordinator and the dispatcher, whose thread calls `begin`, `answered`, `lost`, `late`, `told`, `cancelled` and `look`.
    All under the coordinator's lock, but for `close`."""

    def __init__(self, execution: Execution, name: str, make: Callable[[], Executor]) -> None:
        self._execution = execution
        self._name = name
        self._make = make
        self._sender = work.Sender(execution.workspace, execution.run.id)
        self._dispatcher: Dispatcher | None = None

    @property
    def is_running(self) -> bool:
        """Whether there is a thread that looks at what others do."""
        return self._dispatcher is not None and self._dispatcher.is_running

    def has(self, call: Call) -> bool:
        """Whether the call's end will still be told."""
        return self._dispatcher is not None and self._dispatcher.has(call)

    def put(self, call: Call) -> None:
        """Run this call when there is room. The first one starts the executor: a run of hits needs none."""
        if self._dispatcher is None:
            executor = self._make()
            # A cluster shares itself out; this machine is shared by those who run on it.
            slots = Slots(self._execution.workspace, self._execution.run.id, _of_machine(executor.capacity))
            self._dispatcher = Dispatcher(executor, self, self._execution.changed, slots if self._name == "processes" else None)
        if self._dispatcher.fits(call.step.settings.resources):
            self._dispatcher.put(call)
        else:
            self._execution.fail(call, refusals.too_much(call.step, self._dispatcher.executor.capacity))

    def cancel(self) -> None:
        if self._dispatcher is not None:
            self._dispatcher.cancel()

    def close(self) -> None:
        if self._dispatcher is not None:
            self._dispatcher.close()

    def begin(self, calls: list[Call]) -> list[tuple[Call, bytes | None]]:
        """Write that these run; the task of each, None for one that cannot be sent."""
        begun: list[tuple[Call, bytes | None]] = []
        for call in calls:
            try:
                assert call.key is not None
                inputs.check_unchanged(call, call.key.watched)
                begun.append((call, self._sender.task(call)))
            except Exception as error:
                self._execution.fail(call, error)
                begun.append((call, None))
        sent = [call for call, task in begun if task is not None]
        for call in sent:
            call.attempt += 1
            call.state = "running"
            change(call, executor=self._name)
        self._execution.begun(sent)
        return begun

    def answered(self, answers: Iterable[tuple[Call, bytes]]) -> None:
        """Workers have answered."""
        made: list[Made] = []
        for call, answer in answers:
            outcome = work.outcome(answer)
            change(call, worker=outcome.worker)
            if outcome.artifact is None:
                self._attempt_failed(call, work.error_of(outcome))
                continue
            try:
                inputs.check_kept(call, files_only=True)
                kept = tuple(records.decode(body) for body in outcome.records)
            except Exception as error:
                self._execution.fail(call, error)
                continue
            made.append(Made(call, Artifact(*outcome.artifact), kept))
        if made:
            self._execution.keep(made)

    def lost(self, call: Call, reason: str) -> None:
        """The process of a call is gone."""
        self._attempt_failed(call, refusals.lost(call.step, reason, self._execution.log_of(call)))

    def late(self, call: Call) -> None:
        """The deadline of a call is over, and its process was ended."""
        self._attempt_failed(call, refusals.late(call.step))

    def told(self, call: Call, body: bytes) -> None:
        done, of = msgspec.msgpack.decode(body)
        self._execution.tell(Event("progress", call.row, done, of))

    def cancelled(self, calls: Iterable[Call]) -> None:
        for call in calls:
            self._execution.end(call, "cancelled", Stopped(f"Step {call.step.name!r} was cancelled by {self._execution.was_cancelled_by}."))

    def look(self) -> None:
        """Now and then: what other processes do."""
        self._execution.look()

    @property
    def waits_for_others(self) -> bool:
        return self._execution.waits_for_others

    def broke(self, error: BaseException) -> None:
        self._execution.broke(error)

    def _attempt_failed(self, call: Call, error: BaseException) -> None:
        if self._execution.was_cancelled_by:
            self._execution.end(call, "cancelled", error)
        elif retry.again(call.step.settings, attempt=call.attempt, error=error):
            assert self._dispatcher is not None
            call.state = "queued"
            delay_s = retry.delay_s(call.step.settings, attempt=call.attempt, chance=random.random())  # noqa: S311
            self._dispatcher.put(call, delay_s=delay_s)
        else:
            self._execution.fail(call, error)


def _of_machine(capacity: Resources) -> Resources:
    return capacity._replace(cpus=max(capacity.cpus, float(os.cpu_count() or 1)))

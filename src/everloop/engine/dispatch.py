"""Calls that are ours to run -> an executor, no more at once than fit; deadlines, second attempts, and what the executor reports.

One thread, started with the first call. What a report means is not said here: `Remote` is told, under the coordinator's lock.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from everloop.core.work import Executor, Report, Resources

if TYPE_CHECKING:
    from everloop.engine.call import Call
    from everloop.engine.remote import Remote
    from everloop.store.slots import Slots

# How long another process's lease, or a person's wish to cancel, may go unnoticed.
_LOOK_EVERY_S = 0.5
_HELD_EVERY_S = 0.02
# So often the call at the head of the queue may be overtaken by smaller ones.
_PATIENCE = 32
# What was lost with its machine is no attempt of the step, but not for ever.
_MOVES = 3


class _Running(NamedTuple):
    call: Call
    deadline: float | None


class Dispatcher:
    def __init__(self, executor: Executor, remote: Remote, lock: threading.Condition, slots: Slots | None) -> None:
        self.executor = executor
        self._remote = remote
        self._lock = lock
        self._slots = slots
        self._wanted: dict[int, Call] = {}
        self._returned: list[int] = []
        self._queue: deque[Call] = deque()
        self._passed = 0
        self._later: list[tuple[float, int, Call]] = []
        self._running: dict[int, _Running] = {}
        self._moves: dict[Call, int] = {}
        self._tickets = itertools.count(1)
        self._free = executor.capacity
        self._cancelling = self._closing = False
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        return self._thread is not None

    def has(self, call: Call) -> bool:
        """Whether it will still be told of the call's end. Under the coordinator's lock."""
        waiting = (*self._queue, *self._wanted.values(), *(later for _, _, later in self._later))
        return any(known is call for known in (*waiting, *(running.call for running in self._running.values())))

    def put(self, call: Call, *, delay_s: float = 0.0) -> None:
        """Run this call when there is room, not before `delay_s` are over. Under the coordinator's lock."""
        if delay_s:
            heapq.heappush(self._later, (time.monotonic() + delay_s, next(self._tickets), call))
        else:
            self._queue.append(call)
        if self._thread is None:
            self._thread = threading.Thread(target=self._tend, name="everloop-dispatch", daemon=True)
            self._thread.start()
        elif threading.current_thread() is not self._thread:
            self.executor.wake()

    def fits(self, needs: Resources) -> bool:
        """Whether a call with these needs can ever run here."""
        return _within(needs, self.executor.capacity)

    def cancel(self) -> None:
        """End what runs and forget what waits; the coordinator is told by `cancelled`. Under the coordinator's lock."""
        self._cancelling = True
        if self._thread is None or threading.current_thread() is self._thread:
            self._cancel()
        else:
            self.executor.wake()

    def _cancel(self) -> None:
        self._cancelling = False
        calls = [*(running.call for running in self._running.values()), *self._wanted.values()]
        self._returned += [call.row.seq for call in calls]
        for ticket in self._running:
            self.executor.stop(ticket)
        calls += [*self._queue, *(call for _, _, call in self._later)]
        self._wanted.clear()
        self._running.clear()
        self._queue.clear()
        self._later.clear()
        self._free = self.executor.capacity
        self._remote.cancelled(calls)

    def close(self) -> None:
        """Not under the coordinator's lock: the thread may be waiting for it."""
        self._closing = True
        if self._thread is not None:
            self.executor.wake()
            self._thread.join()
        self.executor.close()
        if self._slots is not None:
            self._slots.close()

    def _tend(self) -> None:
        lock = self._lock
        try:
            while not self._closing:
                with lock:
                    if self._cancelling:
                        self._cancel()
                    wait_s = self._start()
                reports = self.executor.reports(wait_s)
                with lock:
                    self._take(reports)
                    self._look()
        except BaseException as error:
            with lock:
                self._remote.broke(error)

    def _start(self) -> float:
        """Submit what fits; seconds until there is something to look at."""
        now = time.monotonic()
        while self._later and self._later[0][0] <= now:
            self._queue.append(heapq.heappop(self._later)[2])
        for call, task in self._remote.begin(self._granted(self._chosen())):
            if task is None:
                self._give(call)
                continue
            ticket = next(self._tickets)
            timeout_s = call.step.settings.timeout_s
            self._running[ticket] = _Running(call, None if timeout_s is None else time.monotonic() + timeout_s)
            self.executor.submit(ticket, task, call.step.settings.resources)
        moments = [running.deadline - now for running in self._running.values() if running.deadline is not None]
        if self._later:
            moments.append(self._later[0][0] - now)
        others = self._remote.waits_for_others or (self._slots is not None and self._slots.waits)
        moments.append(_HELD_EVERY_S if others else _LOOK_EVERY_S)
        return max(0.0, min(moments))

    def _chosen(self) -> list[Call]:
        """First come, first served; what fits may overtake what does not, but only so often."""
        chosen: list[Call] = []
        kept: deque[Call] = deque()
        while self._queue:
            call = self._queue.popleft()
            if _within(call.step.settings.resources, self._free):
                self._free = _less(self._free, call.step.settings.resources)
                chosen.append(call)
                self._passed = self._passed + 1 if kept else 0
            else:
                kept.append(call)
            if (kept and self._passed >= _PATIENCE) or self._free.cpus <= 0:
                break
        kept.extend(self._queue)
        self._queue = kept
        return chosen

    def _granted(self, chosen: list[Call]) -> list[Call]:
        """Those that may start now that other runs have had their share; the others stay wanted."""
        if self._slots is None:
            return chosen
        self._wanted |= {call.row.seq: call for call in chosen}
        granted = self._slots.settle({call.row.seq: call.step.settings.resources for call in chosen}, self._returned)
        self._returned = []
        return [self._wanted.pop(number) for number in sorted(granted & self._wanted.keys())]

    def _take(self, reports: list[Report]) -> None:
        ended: list[tuple[Call, bytes]] = []
        for report in reports:
            if report.kind == "told":
                running = self._running.get(report.ticket)
                if running is not None:
                    self._remote.told(running.call, report.body)
                continue
            running = self._running.pop(report.ticket, None)
            if running is None:
                continue
            self._give(running.call)
            if report.kind == "done":
                ended.append((running.call, report.body))
            elif report.kind == "gone" and self._moves.get(running.call, 0) < _MOVES:
                self._moves[running.call] = self._moves.get(running.call, 0) + 1
                running.call.attempt -= 1
                self._queue.append(running.call)
            else:
                self._remote.lost(running.call, report.reason)
        if ended:
            self._remote.answered(ended)

    def _look(self) -> None:
        now = time.monotonic()
        for ticket, running in list(self._running.items()):
            if running.deadline is not None and running.deadline <= now:
                self.executor.stop(ticket)
                del self._running[ticket]
                self._give(running.call)
                self._remote.late(running.call)
        self._remote.look()

    def _give(self, call: Call) -> None:
        self._returned.append(call.row.seq)
        needs = call.step.settings.resources
        self._free = Resources(self._free.cpus + needs.cpus, self._free.gpus + needs.gpus, self._free.memory_mb + needs.memory_mb)


def _within(needs: Resources, free: Resources) -> bool:
    # Sums of parts of a cpu are not exact.
    return all(need <= there + 1e-9 for need, there in zip(needs, free, strict=True))


def _less(free: Resources, needs: Resources) -> Resources:
    return Resources(free.cpus - needs.cpus, free.gpus - needs.gpus, free.memory_mb - needs.memory_mb)

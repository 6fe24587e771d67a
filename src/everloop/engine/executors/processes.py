"""The executor `processes`: workers on this machine, forked by a nursery and used again.

Whoever submits keeps count of what is taken: a task never waits here, for a busy machine gets one more worker. Idle workers beyond
`workers` are let go. All waiting is done in `reports`.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from everloop.core.errors import BadInput, Conflict
from everloop.core.work import Report, Resources, Work
from everloop.engine.executors import frames, orphans
from everloop.engine.executors.channel import Channel
from everloop.engine.executors.devices import Devices, visible
from everloop.engine.executors.endings import ending, of_code
from everloop.engine.executors.machine import Memory, usable_cores
from everloop.engine.executors.spawner import Spawner, thread_settings

# Imported once in the nursery, if the coordinator has imported them too: most workers need them, and they are safe to fork after that.
_WORTH = ("cloudpickle", "numpy", "obstore", "pandas", "polars", "pyarrow", "scipy")


class _Worker:
    """One that has not ended yet. It has a ticket while it is busy, and takes none after that if it is `stopped`."""

    def __init__(self, id_: int, channel: Channel, devices: tuple[str, ...]) -> None:
        self.id = id_
        self.channel = channel
        self.devices = devices
        self.pid: int | None = None
        self.ticket: int | None = None
        self.task = b""
        self.resources = Resources()
        self.shares: Mapping[str, float] = {}
        self.served = 0
        self.stopped = False
        self.reason = ""


class Processes:
    """An `Executor`, see `core/work.py`. Nothing is kept in `folder`.

    `workers`: how many cpus there are to give, by default the cores that this process may use. `preload`: modules that the nursery
    imports before it forks; they must be safe to fork after. The environment, the path and `__main__` are those of the first `submit`.
    """

    def __init__(self, work: Work, *, workers: int | None = None, folder: Path, preload: Sequence[str] | None = None) -> None:
        if workers is not None and workers < 1:
            raise BadInput(f"workers={workers}: at least one is needed.")
        self._work = _place_of(work)
        self._preload = preload
        cores = usable_cores()
        self.workers = workers or cores
        self._threads = thread_settings(os.environ, cores=cores, workers=self.workers)
        self._memory = Memory()
        names = visible()
        self._devices = Devices(names)
        self._capacity = Resources(float(self.workers), float(len(names)), self._memory.total_mb)
        self._spawner: Spawner | None = None
        self._made = 0
        self._living: dict[int, _Worker] = {}
        self._busy: dict[int, _Worker] = {}
        self._idle: list[_Worker] = []
        self._unbegun: list[tuple[int, bytes, Resources]] = []
        self._news: list[Report] = []
        self._closed = False
        self._selector = selectors.DefaultSelector()
        self._bell, self._ring = socket.socketpair()
        for end in (self._bell, self._ring):
            end.setblocking(False)
        self._selector.register(self._bell, selectors.EVENT_READ)

    @property
    def capacity(self) -> Resources:
        return self._capacity

    def submit(self, ticket: int, task: bytes, resources: Resources) -> None:
        """What of a large task the worker does not take at once is sent while `reports` waits."""
        if self._closed:
            raise Conflict("This executor is closed. Make a new one.")
        if self._spawner is not None and self._spawner.dead:
            self._hear_nursery(self._spawner)
        shares = self._devices.take(resources.gpus)
        worker = self._chosen(tuple(shares), alone=resources.gpus >= 1)
        worker.ticket, worker.task, worker.resources, worker.shares = ticket, task, resources, shares
        self._busy[ticket] = worker
        if not worker.channel.send(frames.TASK, task):
            self._selector.modify(worker.channel.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, worker)

    def stop(self, ticket: int) -> None:
        """Returns at once. SIGTERM to the worker and its children, which Python sees as an exception; SIGKILL two seconds later."""
        self._news = [report for report in self._news if report.ticket != ticket]
        worker = self._busy.pop(ticket, None)
        if worker is not None:
            worker.stopped, worker.ticket, worker.task = True, None, b""
            self._unregister(worker)
            assert self._spawner is not None
            self._spawner.end(worker.id, signal.SIGTERM)

    def reports(self, timeout_s: float | None) -> list[Report]:
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._closed:
            wait_s = None if deadline is None else max(0.0, deadline - time.monotonic())
            woken = self._look(0.0 if self._news else wait_s)
            if self._news or woken or (deadline is not None and time.monotonic() >= deadline):
                break
        news, self._news = self._news, []
        return news

    def wake(self) -> None:
        # Full: it will wake anyway. Closed: nobody waits.
        with suppress(OSError):
            self._ring.send(b"\0")

    def close(self) -> None:
        """Waits until all is gone: the two seconds after SIGTERM if a body does not heed it, else some milliseconds."""
        if self._closed:
            return
        if self._spawner is not None:
            self._hear_nursery(self._spawner)
        self._closed = True
        self._news = []
        if self._spawner is not None:
            for worker in self._busy.values():
                self._spawner.end(worker.id, signal.SIGTERM)
            for worker in self._idle:
                worker.channel.close()
            self._spawner.leave([worker.pid for worker in self._living.values() if worker.pid is not None])
        for worker in self._living.values():
            worker.channel.close()
        self._living, self._busy, self._idle = {}, {}, []
        self._selector.close()
        self._bell.close()
        self._ring.close()

    # Workers.

    def _chosen(self, devices: tuple[str, ...], *, alone: bool) -> _Worker:
        """The one that was idle last, or a new one. What a process once used of a GPU, it holds: so others on whole devices must go."""
        worker = next((idle for idle in reversed(self._idle) if idle.devices == devices), None)
        if worker is not None:
            self._idle.remove(worker)
        if devices and alone:
            for idle in [idle for idle in self._idle if not set(devices).isdisjoint(idle.devices)]:
                self._let_go(idle)
        return worker or self._fork(devices)

    def _fork(self, devices: tuple[str, ...]) -> _Worker:
        if self._spawner is None:
            preload = [name for name in _WORTH if name in sys.modules] if self._preload is None else self._preload
            self._spawner = Spawner(self._work, preload=preload, environment=self._threads)
            self._selector.register(self._spawner.socket, selectors.EVENT_READ, self._spawner)
        self._made += 1
        ours, theirs = socket.socketpair()
        with theirs:
            self._spawner.fork(self._made, theirs, {"CUDA_VISIBLE_DEVICES": ",".join(devices)} if devices else {})
        worker = _Worker(self._made, Channel(ours), devices)
        self._living[worker.id] = worker
        self._selector.register(ours, selectors.EVENT_READ, worker)
        return worker

    def _let_go(self, worker: _Worker) -> None:
        """Its channel is closed, so it ends by itself; the nursery sees to it that it does."""
        if worker in self._idle:
            self._idle.remove(worker)
        self._unregister(worker)
        worker.channel.close()
        if self._spawner is not None:
            self._spawner.end(worker.id)

    def _unregister(self, worker: _Worker) -> None:
        with suppress(KeyError, ValueError):
            self._selector.unregister(worker.channel.socket)

    # What there is to hear.

    def _look(self, wait_s: float | None) -> bool:
        woken = False
        for key, events in self._selector.select(wait_s):
            if isinstance(key.data, _Worker):
                # One that an earlier event of the same look has ended has no channel any more.
                if not key.data.channel.closed:
                    self._attend(key.data, events)
            elif isinstance(key.data, Spawner):
                if key.data is self._spawner:
                    self._hear_nursery(key.data)
            else:
                woken = True
                with suppress(BlockingIOError):
                    self._bell.recv(4096)
        return woken

    def _attend(self, worker: _Worker, events: int) -> None:
        if events & selectors.EVENT_WRITE and worker.channel.flush():
            self._selector.modify(worker.channel.socket, selectors.EVENT_READ, worker)
        if events & selectors.EVENT_READ:
            heard = worker.channel.read()
            if heard is None:
                self._hung_up(worker)
            for kind, body in heard or []:
                self._heard(worker, kind, body)

    def _heard(self, worker: _Worker, kind: bytes, body: bytes) -> None:
        if worker.ticket is None:
            return
        if kind == frames.TOLD:
            self._news.append(Report(worker.ticket, "told", body))
        elif kind == frames.FAILED:
            worker.reason = body.decode(errors="backslashreplace")
        else:
            self._news.append(Report(worker.ticket, "done", body))
            self._freed(worker)
            worker.served += 1
            if kind == frames.DONE:
                self._idle.append(worker)
            if kind == frames.LAST or len(self._idle) > self.workers:
                self._let_go(worker if kind == frames.LAST else self._idle[0])

    def _freed(self, worker: _Worker) -> None:
        if worker.ticket is not None:
            del self._busy[worker.ticket]
        self._devices.give(worker.shares)
        worker.ticket, worker.task, worker.shares = None, b"", {}

    def _hung_up(self, worker: _Worker) -> None:
        """It has ended, most likely. Should it live, it is of no more use."""
        if worker in self._idle:
            self._idle.remove(worker)
        self._unregister(worker)
        assert self._spawner is not None
        self._spawner.end(worker.id)

    def _hear_nursery(self, spawner: Spawner) -> None:
        events, alive = spawner.events()
        for kind, said in events:
            worker = self._living.get(said["id"])
            if worker is None:
                continue
            if kind == frames.BORN:
                worker.pid = said["pid"]
            else:
                self._ended(worker, said)
        if not alive:
            self._selector.unregister(spawner.socket)
            self._spawner = None
            how = of_code(spawner.bury())
            for worker in list(self._living.values()):
                if worker.pid is not None:
                    orphans.signal_group(worker.pid, signal.SIGKILL)
                self._remove(worker, f"ended with the process that starts workers, which {how}")
        unbegun, self._unbegun = self._unbegun, []
        for ticket, task, resources in unbegun:
            self.submit(ticket, task, resources)

    def _ended(self, worker: _Worker, said: Mapping[str, Any]) -> None:
        if said["error"]:
            reason = f"could not be started: {said['error']}"
        elif said["forced"] and not worker.stopped:
            reason = "closed the connection by which it answers, and was stopped"
        else:
            killed = os.WIFSIGNALED(said["status"]) and os.WTERMSIG(said["status"]) == signal.SIGKILL
            starved = killed and self._memory.was_short(said["peak_mb"])
            reason = ending(said["status"], starved_mb=said["peak_mb"] if starved else None)
        self._remove(worker, reason)

    def _remove(self, worker: _Worker, reason: str) -> None:
        if not worker.stopped:
            for kind, body in worker.channel.rest():
                self._heard(worker, kind, body)
        del self._living[worker.id]
        if worker in self._idle:
            self._idle.remove(worker)
        self._unregister(worker)
        worker.channel.close()
        ticket, task, resources = worker.ticket, worker.task, worker.resources
        self._freed(worker)
        if ticket is None:
            return
        if worker.channel.unread and worker.served:
            # It died while it was idle: the task was never begun.
            self._unbegun.append((ticket, task, resources))
        else:
            self._news.append(Report(ticket, "lost", reason=worker.reason or reason))


def _place_of(work: Work) -> tuple[str, str]:
    """(module, qualified name) by which another process finds it."""
    module, name = getattr(work, "__module__", ""), getattr(work, "__qualname__", "")
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not work or module == "__main__":
        raise BadInput(f"{work!r} cannot be imported by another process. Pass a function that a module other than __main__ defines.")
    return module, name

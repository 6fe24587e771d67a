"""A process that has imported what workers need and does nothing but fork them and see to their end.

Forking from the coordinator itself is not safe, because its libraries have threads; a fresh interpreter for each worker is slow. It is
alone with one thread of Python, hears the coordinator through one socket, and ends when that is closed, with all it ever started.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
import time
import warnings
from collections import deque
from contextlib import suppress
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from everloop.engine.executors import frames, orphans, worker

_LOOK_MS = 2000
_LOOK_SOON_MS = 50
_SIGNALS = (signal.SIGTERM, signal.SIGCHLD)


def main(descriptor: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    coordinator = socket.socket(fileno=descriptor)
    coordinator.set_inheritable(False)
    body = frames.first(coordinator)
    if body is None:
        return
    settings: dict[str, Any] = json.loads(body)
    sys.argv = settings["argv"]
    sys.modules["__main__"] = blank_main(**settings["main"])
    for module in (settings["work"][0], *settings["preload"]):
        # A worker that needs it will say what is wrong with it.
        with suppress(BaseException):
            import_module(module)
    gc.collect()
    gc.freeze()
    Nursery(coordinator, parent, (settings["work"][0], settings["work"][1]), settings["grace_s"]).run()
    # Nothing here needs an orderly end, and finalising the libraries takes its time.
    os._exit(0)


def blank_main(file: str | None, spec: str | None) -> ModuleType:
    """A `__main__` that looks like the coordinator's and never ran: nothing of a script happens twice."""
    module = ModuleType("__main__")
    if file is not None:
        module.__file__ = file
    if spec is not None:
        module.__spec__ = ModuleSpec(spec, None, origin=file)
        module.__package__ = module.__spec__.parent
    return module


class Nursery:
    def __init__(self, coordinator: socket.socket, parent: int, work: tuple[str, str], grace_s: float) -> None:
        self._coordinator = coordinator
        self._parent = parent
        self._work = work
        self._grace_s = grace_s
        self._inbox = frames.Inbox()
        self._fds: deque[int] = deque()
        self._outgoing = bytearray()
        self._workers: dict[int, int] = {}
        self._ids: dict[int, int] = {}
        # When a worker, the group of one that has ended, or a process that one left behind is killed; in monotonic seconds.
        self._deadlines: dict[int, float] = {}
        self._leftovers: dict[int, float] = {}
        self._adopted: dict[int, float] = {}
        self._forced: set[int] = set()
        self._leaving = self._told_to_end = False
        self._bell, self._ring = os.pipe()
        for end in (self._bell, self._ring):
            os.set_blocking(end, False)
        orphans.adopt()
        signal.set_wakeup_fd(self._ring, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, worker.unheeded)
        signal.signal(signal.SIGTERM, self._terminate)

    def run(self) -> None:
        while not (self._leaving and not self._workers and not self._leftovers and not self._adopted):
            self._wait()
            if self._told_to_end or os.getppid() != self._parent:
                self._abandoned()
            now = time.monotonic()
            self._reap(now)
            self._press(now)

    def _terminate(self, *_: object) -> None:
        self._told_to_end = True

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._bell, select.POLLIN)
        if self._coordinator.fileno() >= 0:
            poll.register(self._coordinator, select.POLLIN | (select.POLLOUT if self._outgoing else 0))
        ready = dict(poll.poll(_LOOK_SOON_MS if self._deadlines or self._leftovers or self._adopted else _LOOK_MS))
        if self._bell in ready:
            os.read(self._bell, 4096)
        events = ready.get(self._coordinator.fileno(), 0)
        if events & select.POLLOUT:
            self._flush()
        if events & ~select.POLLOUT:
            self._listen()

    def _listen(self) -> None:
        try:
            data, received, _, _ = socket.recv_fds(self._coordinator, frames.READ_BYTES, 64)
        except OSError:
            data, received = b"", []
        self._fds.extend(received)
        if data:
            self._obey(self._inbox.feed(data))
        else:
            self._abandoned()

    def _obey(self, waiting: list[tuple[bytes, bytes]]) -> None:
        for kind, body in waiting:
            said = json.loads(body)
            if kind == frames.FORK:
                self._fork(said["id"], said["environment"], self._fds.popleft())
            elif kind == frames.END:
                self._end(said["id"], said["signal"])
            else:
                self._leave()

    def _fork(self, id_: int, environment: dict[str, str], descriptor: int) -> None:
        nursery = os.getpid()
        # Until the child has handlers of its own, it must not use ours.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            with warnings.catch_warnings():
                # Allocators' threads, which libraries start when they are imported, see to themselves in a fork.
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
        except OSError as error:
            os.close(descriptor)
            self._tell(frames.ENDED, {"id": id_, "status": 0, "peak_mb": 0.0, "forced": False, "error": str(error)})
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            return
        if pid == 0:
            try:
                self._become_worker(descriptor, environment, nursery)
            finally:
                os._exit(1)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        os.close(descriptor)
        self._workers[id_] = pid
        self._ids[pid] = id_
        self._tell(frames.BORN, {"id": id_, "pid": pid})

    def _become_worker(self, descriptor: int, environment: dict[str, str], nursery: int) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._coordinator.close()
        for inherited in (self._bell, self._ring, *self._fds):
            os.close(inherited)
        channel = socket.socket(fileno=descriptor)
        channel.set_inheritable(False)
        worker.serve(channel, self._work, environment, nursery)

    def _end(self, id_: int, number: int) -> None:
        """Now, by itself or by a signal, or by force when its time is over."""
        pid = self._workers.get(id_)
        if pid is not None:
            if number:
                orphans.signal_group(pid, number)
            self._deadlines.setdefault(pid, time.monotonic() + self._grace_s)

    def _leave(self) -> None:
        self._leaving = True
        for id_ in self._workers:
            self._end(id_, 0)

    def _abandoned(self) -> None:
        """Nobody waits for an answer any more."""
        self._coordinator.close()
        self._outgoing.clear()
        self._leaving = True
        for pid in self._ids:
            os.kill(pid, signal.SIGKILL)

    def _reap(self, now: float) -> None:
        some = False
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if not pid:
                break
            some = True
            self._adopted.pop(pid, None)
            if pid in self._ids:
                self._worker_ended(pid, status, usage.ru_maxrss / (1e3 / 1.024 if orphans.LINUX else 1e6), now)
        if some:
            self._adopt(now)

    def _worker_ended(self, pid: int, status: int, peak_mb: float, now: float) -> None:
        id_ = self._ids.pop(pid)
        del self._workers[id_]
        # The number of a group is not given away while it has members, so this meets those alone.
        if orphans.group_lives(pid):
            self._leftovers[pid] = self._deadlines.get(pid, now + self._grace_s)
            orphans.signal_group(pid, signal.SIGTERM)
        self._deadlines.pop(pid, None)
        self._tell(frames.ENDED, {"id": id_, "status": status, "peak_mb": peak_mb, "forced": pid in self._forced, "error": ""})
        self._forced.discard(pid)

    def _adopt(self, now: float) -> None:
        """Workers adopt what their bodies leave; so what comes to us was left by a worker that is gone."""
        for pid in orphans.children() - self._ids.keys() - self._adopted.keys():
            with suppress(ProcessLookupError):
                group = os.getpgid(pid)
                self._adopted[pid] = self._leftovers.get(group, now + self._grace_s)
                if group not in self._leftovers:
                    os.kill(pid, signal.SIGTERM)

    def _press(self, now: float) -> None:
        """SIGKILL to those whose time is over, and again until they are gone."""
        for pid, deadline in self._deadlines.items():
            if now >= deadline:
                self._forced.add(pid)
                orphans.signal_group(pid, signal.SIGKILL)
        for leader, deadline in list(self._leftovers.items()):
            if not orphans.group_lives(leader):
                del self._leftovers[leader]
            elif now >= deadline:
                orphans.signal_group(leader, signal.SIGKILL)
        for pid, deadline in self._adopted.items():
            if now >= deadline:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _tell(self, kind: bytes, said: dict[str, Any]) -> None:
        if self._coordinator.fileno() >= 0:
            self._outgoing += frames.pack(kind, json.dumps(said).encode())
            self._flush()

    def _flush(self) -> None:
        """As much as the coordinator takes at once: it may be busy sending to us."""
        try:
            del self._outgoing[: self._coordinator.send(self._outgoing, socket.MSG_DONTWAIT)]
        except BlockingIOError:
            pass
        except OSError:
            self._outgoing.clear()

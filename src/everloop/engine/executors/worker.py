"""A process that does one task after the other: a frame with a task comes in, frames with what it tells and what it answers go out.

It has a session of its own, so that all it starts can be ended with it, and one thread, so that a body may fork.
"""

from __future__ import annotations

import atexit
import faulthandler
import os
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from everloop.core.work import Work
from everloop.engine.executors import frames, orphans

_OOM_SCORE = 300


class Terminated(SystemExit):
    """SIGTERM, as an exception: what a body holds open is closed on the way out."""


def unheeded(*_: object) -> None:
    """A handler that only interrupts a wait."""


def serve(channel: socket.socket, work: tuple[str, str], environment: Mapping[str, str], nursery: int) -> NoReturn:
    """The whole life of a worker, right after the fork. SIGTERM is blocked on entry."""
    os.setsid()
    worker = _Worker(channel)
    # A handler, not SIG_IGN, because that would be inherited by the programs that a body starts.
    signal.signal(signal.SIGINT, unheeded)
    signal.signal(signal.SIGTERM, worker.terminate)
    atexit._clear()  # pyright: ignore[reportPrivateUsage]
    orphans.adopt()
    if orphans.LINUX:
        orphans.end_with(nursery)
    else:
        threading.Thread(target=end_at_hang_up, args=(channel.fileno(),), daemon=True).start()
    os.environ.update(environment)
    _prepare()
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGCHLD))
        code = worker.run(work)
    except Terminated:
        _last_words(channel)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
        os._exit(1)
    except (BrokenPipeError, ConnectionResetError):
        # The coordinator is gone, and with it whoever the answer was for. The work's own errors do not come here.
        code = 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException as error:
        worker.fail(error)
        code = 1
    _last_words(channel)
    os._exit(code & 0xFF)


def end_at_hang_up(descriptor: int) -> None:
    """End this process and its group as soon as nobody holds the other end of the channel; for where the kernel does not do it."""
    waiting = select.poll()
    waiting.register(descriptor, 0)
    waiting.poll()
    os.killpg(os.getpgrp(), signal.SIGKILL)


class _Worker:
    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._inbox = frames.Inbox()
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._sending = self._terminated = self._due = False

    def run(self, work: tuple[str, str]) -> int:
        """Until the coordinator hangs up. What the work raises goes through."""
        perform = _find(*work)
        while (task := self._next()) is not None:
            answer = self._perform(perform, task)
            # What a body left running ends with this process: so it takes no other task.
            last = self._terminated or orphans.has_children()
            self._send(frames.LAST if last else frames.DONE, answer)
            if last:
                break
        return 0

    def _next(self) -> bytes | None:
        while True:
            data = self._channel.recv(frames.READ_BYTES)
            if not data:
                return None
            for _, task in self._inbox.feed(data):
                return task

    def _perform(self, work: Work, task: bytes) -> bytes:
        telling = True

        def tell(body: bytes) -> None:
            """Nothing from a process that the body forked, and nothing once the answer is made."""
            if os.getpid() == self._pid:
                with self._lock:
                    if telling:
                        self._send(frames.TOLD, body)

        try:
            answer = work(task, tell)
        except BaseException:
            if os.getpid() != self._pid:
                traceback.print_exc()
                os._exit(1)
            raise
        if os.getpid() != self._pid:
            os._exit(0)
        with self._lock:
            telling = False
        return answer

    def _send(self, kind: bytes, body: bytes) -> None:
        """Whole frames only: SIGTERM waits until this one is out."""
        if threading.current_thread() is not threading.main_thread():
            frames.send(self._channel, kind, body)
            return
        self._sending = True
        try:
            frames.send(self._channel, kind, body)
        finally:
            self._sending = False
        if self._due:
            self._due = False
            raise Terminated(128 + signal.SIGTERM)

    def fail(self, error: BaseException) -> None:
        traceback.print_exception(error)
        with suppress(OSError):
            reason = f"ended because its work raised {type(error).__name__}: {error}"
            frames.send(self._channel, frames.FAILED, reason.encode(errors="backslashreplace"))

    def terminate(self, *_: object) -> None:
        """Once: the way out is not interrupted."""
        if self._terminated:
            return
        self._terminated = True
        if self._sending:
            self._due = True
        else:
            raise Terminated(128 + signal.SIGTERM)


def _find(module: str, name: str) -> Work:
    found: Any = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _prepare() -> None:
    """What a fork does not do by itself."""
    with suppress(Exception):
        faulthandler.enable()
    # The kernel should take a worker before it takes the coordinator.
    with suppress(OSError, ValueError):
        score = Path("/proc/self/oom_score_adj")
        score.write_text(str(min(1000, int(score.read_text()) + _OOM_SCORE)))
    # Otherwise all workers would draw the same numbers. Python's own generator sees to itself.
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


def _last_words(channel: socket.socket) -> None:
    """What Python does at its end, but for waiting for threads. The coordinator knows from now on, and sees to it that it ends."""
    channel.close()
    with suppress(Exception):
        atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()

"""The coordinator's end of the nursery: starts it, asks it for workers, hears how they ended."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

from everloop.engine.executors import frames, orphans

GRACE_S = 2.0
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
)
# The path is there before anything of ours is imported, and nothing of the current folder gets in its way.
_PROGRAM = "import sys; sys.path[:] = sys.argv[2:]; from everloop.engine.executors.nursery import main; main(int(sys.argv[1]))"


def thread_settings(environment: Mapping[str, str], *, cores: int, workers: int) -> dict[str, str]:
    """So many threads for each worker's libraries that all workers together have one a core, where the user has not said otherwise."""
    return {name: str(max(1, cores // workers)) for name in _THREADS if name not in environment}


class Spawner:
    """A live nursery, or one that has died: then `events` says so, and a new one is needed."""

    def __init__(self, work: tuple[str, str], *, preload: Sequence[str], environment: Mapping[str, str]) -> None:
        self.socket, theirs = socket.socketpair()
        with theirs:
            path = [entry for entry in sys.path if isinstance(entry, str)]  # pyright: ignore[reportUnnecessaryIsInstance]
            self._process = subprocess.Popen(
                [sys.executable, *_flags(), "-c", _PROGRAM, str(theirs.fileno()), *path],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **environment},
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._inbox = frames.Inbox()
        settings = {"argv": sys.argv, "main": _main(), "work": work, "preload": list(preload), "grace_s": GRACE_S}
        with suppress(ConnectionError):
            frames.send(self.socket, frames.SETTINGS, json.dumps(settings).encode())

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def dead(self) -> bool:
        return self._process.poll() is not None

    def fork(self, id_: int, channel: socket.socket, environment: Mapping[str, str]) -> None:
        """A worker with this end of its channel. Sending to a nursery that died is no error: it is heard of by `events`."""
        body = json.dumps({"id": id_, "environment": dict(environment)}).encode()
        with suppress(ConnectionError):
            socket.send_fds(self.socket, [frames.pack(frames.FORK, body)], [channel.fileno()])

    def end(self, id_: int, number: int = 0) -> None:
        """See a worker to its end, with all it started: by this signal or because its channel is closed, after the grace by force."""
        with suppress(ConnectionError):
            frames.send(self.socket, frames.END, json.dumps({"id": id_, "signal": number}).encode())

    def events(self) -> tuple[list[tuple[bytes, dict[str, Any]]], bool]:
        """What there is to hear now, as (kind, what), and whether the nursery is still there to say more."""
        heard: list[tuple[bytes, dict[str, Any]]] = []
        while True:
            try:
                data = self.socket.recv(frames.READ_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return heard, True
            except ConnectionError:
                data = b""
            if not data:
                return heard, False
            heard += [(kind, json.loads(body)) for kind, body in self._inbox.feed(data)]

    def bury(self) -> int:
        """Its exit code, negative for a signal, once it has closed its socket. If it could, it is seeing to what workers left."""
        self.socket.close()
        try:
            return self._process.wait(GRACE_S + 1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def leave(self, workers: Sequence[int]) -> None:
        """End it, after all workers. `workers` are the process ids of those that may be left if it does not manage."""
        with suppress(ConnectionError):
            frames.send(self.socket, frames.LEAVE, b"{}")
        try:
            managed = self._process.wait(2 * GRACE_S + 1) == 0
        except subprocess.TimeoutExpired:
            managed = False
        if not managed:
            for pid in workers:
                orphans.signal_group(pid, signal.SIGKILL)
            self._process.kill()
            self._process.wait()
        self.socket.close()


def _main() -> dict[str, str | None]:
    """What `__main__` says of itself here."""
    module = sys.modules["__main__"]
    file, spec = getattr(module, "__file__", None), getattr(module, "__spec__", None)
    return {"file": file if isinstance(file, str) else None, "spec": None if spec is None else spec.name}


def _flags() -> list[str]:
    """What this interpreter was told that changes what code means, or how warnings are treated."""
    told = [
        ("-" + "O" * sys.flags.optimize, sys.flags.optimize),
        ("-B", sys.flags.dont_write_bytecode),
        ("-E", sys.flags.ignore_environment),
        ("-s", sys.flags.no_user_site),
    ]
    given_x = cast("dict[str, str | bool]", sys._xoptions)  # pyright: ignore[reportPrivateUsage]
    options = [f"-X{name}" if value is True else f"-X{name}={value}" for name, value in given_x.items()]
    return [flag for flag, given in told if given] + [f"-W{option}" for option in sys.warnoptions] + options

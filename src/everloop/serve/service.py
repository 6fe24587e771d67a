"""One worker: a bound socket, an event loop, the app, and the thread that follows the deployments."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from typing import Any

import uvicorn

from everloop.serve.app import App
from everloop.serve.capture import Captures
from everloop.serve.limits import Limits
from everloop.serve.load import limit_threads
from everloop.serve.refresh import Refresher
from everloop.serve.table import Router
from everloop.store.workspace import Workspace

log = logging.getLogger("everloop.serve")

_BACKLOG = 2048
_SHADOWS_END_S = 2.0


class _Server(uvicorn.Server):
    """Stops on SIGINT and SIGTERM as uvicorn does (a second SIGINT does not wait), and then returns instead of raising them again."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {kind: signal.signal(kind, self.handle_exit) for kind in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)


def serve_socket(
    workspace: Workspace,
    bound: socket.socket,
    *,
    loops: Sequence[str] | None,
    started: Callable[[], None],
    stopper: Callable[[Callable[[], None]], None] | None = None,
    limits: Limits | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, answer what was begun, return. `stopper` is given a function that stops the server from a thread."""
    # Models made by the project's own functions find its modules, as they did when they were trained.
    if str(workspace.project) not in sys.path:
        sys.path.append(str(workspace.project))
    captures = Captures(workspace.predictions)
    router = Router(captures=captures, limits=limits or Limits())
    refresher = Refresher(workspace, router, loops=loops)
    refresher.refresh()
    limit_threads()
    # What is loaded by now stays: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    config = uvicorn.Config(
        App(router, workspace),  # pyright: ignore[reportArgumentType]
        http="httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(router.limits.drain_s),
    )
    server = _Server(config, started)
    if stopper is not None:
        stopper(lambda: setattr(server, "should_exit", True))
    refresher.start()
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_until_stopped(server, bound, router))
    finally:
        refresher.stop()
        captures.close()


async def _until_stopped(server: _Server, bound: socket.socket, router: Router) -> None:
    await server.serve(sockets=[bound])
    deadline = time.monotonic() + _SHADOWS_END_S
    while time.monotonic() < deadline and not all(lane.idle for served in router.table.values() for lane in served.lanes):
        await asyncio.sleep(0.01)


def _loop_factory() -> Callable[[], Any] | None:
    try:
        import uvloop
    except ModuleNotFoundError:
        return None
    return uvloop.new_event_loop

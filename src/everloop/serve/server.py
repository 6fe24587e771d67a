"""The data plane as a process, or as several."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from everloop.core.errors import BadInput
from everloop.serve import listen
from everloop.store.workspace import Workspace

_MOST_WORKERS = 256


def run(
    workspace: Workspace,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    workers: int = 1,
    loops: Sequence[str] | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve what is deployed until SIGINT or SIGTERM, then answer what was begun and return. Call it from the main thread.

    One worker runs in this process; several are processes that share the port and are restarted when they die. Port 0 takes a free one.
    `ready` is called once with the URL when the server answers. `loops` None serves all loops, also those deployed later.
    Raises Busy (port in use), BadInput (host, port, workers), Broken (workers cannot start).
    """
    if not 1 <= workers <= _MOST_WORKERS:
        raise BadInput(f"{workers} workers are not possible; 1 to {_MOST_WORKERS} are expected.")
    if workers > 1:
        from everloop.serve.workers import run_workers

        run_workers(workspace, host=host, port=port, workers=workers, loops=loops, ready=ready)
        return
    with listen.bind(host, port) as bound:
        from everloop.serve.service import serve_socket

        serve_socket(
            workspace, bound, loops=loops, started=lambda: ready(listen.url(host, bound.getsockname()[1])) if ready is not None else None
        )

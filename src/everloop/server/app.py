"""One FastAPI app over a workspace, and one process that serves it."""

from __future__ import annotations

import errno
import ipaddress
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

import everloop
from everloop.core.errors import BadInput, Busy
from everloop.server import api, errors, web
from everloop.server.guards import Guards, check
from everloop.store.workspace import Workspace

LOOPBACK = ("127.0.0.1", "localhost")
GRACE_S = 5
"""How long requests under way may take after SIGTERM."""


def create_app(workspace: Workspace, *, allowed_hosts: Sequence[str] = LOOPBACK, token: str | None = None) -> FastAPI:
    """Pages at `/`, their JSON twins below `/api`, all behind the guards. Only labels can be changed from here; the workspace stays the caller's to close.

    `allowed_hosts` are the names (without port) under which it answers; `token` is asked for on every route when it is given. Raises BadInput when
    either is empty.
    """
    check(allowed_hosts, token)
    app = FastAPI(
        title="everloop",
        version=everloop.__version__,
        summary="How the loops of one workspace stand, and why.",
        openapi_url="/api/openapi.json",
        # Their pages load scripts from a foreign server.
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(Guards, allowed_hosts=allowed_hosts, token=token)
    errors.install(app)
    api.install(app, workspace)
    web.install(app, workspace)
    return app


def serve(
    workspace: Workspace,
    host: str = "127.0.0.1",
    port: int = 8700,
    *,
    allowed_hosts: Sequence[str] = (),
    token: str | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve in this process until SIGTERM (returns) or Ctrl-C (KeyboardInterrupt). `ready` is told the URL; by default it goes to stderr.

    Port 0 takes a free one. `allowed_hosts` are names besides loopback's and `host` itself. Raises Busy when the port is taken, and
    BadInput for an address that others can reach without a token.
    """
    if token is None and not _is_loopback(host):
        raise BadInput(f"{host} can be reached from other machines: that needs a token. Give one, or listen on 127.0.0.1.")
    own = () if host in ("0.0.0.0", "::") else (host,)  # noqa: S104
    app = create_app(workspace, allowed_hosts=(*LOOPBACK, *own, *allowed_hosts), token=token)
    listener = _listen(host, port)
    try:
        shown = f"[{host}]" if ":" in host else host
        server = _Server(_config(app), ready or _say, f"http://{shown}:{listener.getsockname()[1]}/")
        with _stopping_quietly(server):
            server.run(sockets=[listener])
    finally:
        listener.close()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[str], None], url: str) -> None:
        super().__init__(config)
        self._ready = ready
        self._url = url

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready(self._url)


def _config(app: FastAPI) -> uvicorn.Config:
    # No X-Forwarded headers are believed: nothing here depends on the client's address.
    return uvicorn.Config(
        app, log_config=None, access_log=False, proxy_headers=False, server_header=False, ws="none", timeout_graceful_shutdown=GRACE_S
    )


def _listen(host: str, port: int) -> socket.socket:
    """Taken and listening before anything else starts, so that a second server fails at once and in words."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except (OSError, OverflowError) as error:
        listener.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise Busy(f"Port {port} on {host} is taken by another process. Stop it, or choose another port with --port.") from None
        raise BadInput(
            f"Cannot listen on {host}:{port} ({error}). Choose an address of this machine and a port from 1024 to 65535."
        ) from None
    return listener


@contextmanager
def _stopping_quietly(server: uvicorn.Server) -> Iterator[None]:
    """uvicorn raises SIGTERM again once it has shut down, which would end the process as if killed; an orderly stop is no failure."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: object) -> None:
        server.should_exit = True

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _say(url: str) -> None:
    print(f"everloop: {url}", file=sys.stderr, flush=True)

"""One of several worker processes: `python -m everloop.serve.worker`, started and watched by `serve/workers.py`.

Standard input carries one line of JSON, then stays open as long as the parent lives: its end is the parent's end, however it died.
Standard output carries one line to the parent: `ready`, or the reason why not.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

_parent = 1
"""Where the parent listens."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is to serve, and where. The database's password travels here, not in arguments that everybody can read."""

    project: str
    home: str
    database_url: str
    blobs: str
    host: str
    port: int
    loops: tuple[str, ...] | None
    log_level: int


def main() -> int:
    # What models print goes to the log: nobody would read it from the parent's pipe, and a full pipe stops its writer.
    global _parent  # noqa: PLW0603
    _parent = os.dup(1)
    os.dup2(2, 1)
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    logging.basicConfig(level=order.log_level, format=f"%(asctime)s %(levelname)s worker {os.getpid()}: %(message)s")
    from everloop.core.errors import EverloopError
    from everloop.serve import listen
    from everloop.serve.service import serve_socket
    from everloop.store.workspace import Workspace

    try:
        with (
            Workspace(order.project, home=Path(order.home), database_url=order.database_url, blobs=order.blobs) as workspace,
            listen.join(order.host, order.port) as bound,
        ):
            serve_socket(workspace, bound, loops=order.loops, started=lambda: _tell("ready"), stopper=_stop_with_parent)
    except EverloopError as error:
        _tell(str(error))
        return 1
    return 0


def _tell(line: str) -> None:
    os.write(_parent, line.replace("\n", " ").encode() + b"\n")


def _stop_with_parent(stop: Callable[[], None]) -> None:
    def watch() -> None:
        while os.read(0, 4096):
            pass
        stop()

    threading.Thread(target=watch, name="everloop parent", daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())

"""The control plane as a process: `python -m everloop.server.control FOLDER HOST PORT`.

It also keeps the tracker up to date: the tracker's library takes seconds to load, which neither a run nor the data plane should wait for.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback

from everloop.queries.status import loop_names
from everloop.release.mirror import is_behind
from everloop.runner import show
from everloop.server.app import serve
from everloop.store.workspace import Workspace

TELL_EVERY_S = 1.0


def tell_tracker(workspace: Workspace, stopped: threading.Event) -> None:
    """Until stopped. What could not be told is told later."""
    while not stopped.wait(TELL_EVERY_S):
        try:
            for loop in loop_names(workspace):
                if is_behind(workspace, loop):
                    show(workspace, loop)
        except Exception:
            traceback.print_exc()


def main(project: str, host: str, port: int) -> None:
    stopped = threading.Event()
    with Workspace(project) as workspace:
        threading.Thread(target=tell_tracker, args=(workspace, stopped), daemon=True, name="tracker").start()
        # `everloop up` has said where the pages are.
        serve(workspace, host=host, port=port, token=os.environ.get("EVERLOOP_TOKEN") or None, ready=lambda _url: None)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))

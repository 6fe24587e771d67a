"""The control plane as a process: `python -m everloop.server.control FOLDER HOST PORT`."""

from __future__ import annotations

import os
import sys

from everloop.server.app import serve
from everloop.store.workspace import Workspace


def main(project: str, host: str, port: int) -> None:
    with Workspace(project) as workspace:
        serve(workspace, host=host, port=port, token=os.environ.get("EVERLOOP_TOKEN") or None)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))

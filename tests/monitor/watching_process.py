"""A process that watches a workspace: `python watching_process.py FOLDER DIE_AT`, killed in the middle of its DIE_AT-th window."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from typing import Any

from monitor_world import LOOP

from everloop.data.profile import summarise
from everloop.monitor.watch import watch
from everloop.store.workspace import Workspace

die_at = int(sys.argv[2])
calls = itertools.count(1)


def summarise_or_die(*args: Any, **more: Any) -> Any:
    if next(calls) == die_at:
        os.kill(os.getpid(), signal.SIGKILL)
    return summarise(*args, **more)


with Workspace(sys.argv[1]) as workspace:
    print(len(watch(workspace, LOOP, summarise=summarise_or_die, now=2000.0, actor="test", window_rows=50)))

"""A coordinator to be killed: two tasks with families of stubborn processes, then it waits. It says when they are all there."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import processes_work

from everloop.core.work import Resources
from everloop.engine.executors.processes import Processes


def main(folder: str) -> None:
    executor = Processes(processes_work.work, workers=2, folder=Path(folder))
    places = [Path(folder, name) for name in ("one", "two")]
    for ticket, place in enumerate(places):
        place.mkdir()
        executor.submit(ticket, b"family " + str(place).encode(), Resources())
    ready: set[int] = set()
    while len(ready) < 2:
        ready |= {report.ticket for report in executor.reports(None)}
    print("ready", flush=True)
    time.sleep(600)


if __name__ == "__main__":
    main(sys.argv[1])

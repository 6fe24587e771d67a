"""What test_store_slots.py runs in processes: a coordinator that has bodies to run, and writes down when each begins and ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from everloop.core.work import Resources
from everloop.store.slots import Slots
from everloop.store.workspace import Workspace

CAPACITY = Resources(2.0, 0.0, 0.0)


def opened(home: Path, url: str) -> Workspace:
    return Workspace(home, home=home, database_url=url)


def work_off(say: Callable[[Any], None], url: str, home: Path, run: str, bodies: int, body_s: float, gate: Path) -> None:
    """All tickets are asked for at once. A body's end is written before its slot is given back, its beginning after it was granted."""
    with opened(home, url) as workspace, (home / "bodies.txt").open("a", buffering=1) as log:
        slots = Slots(workspace, run, CAPACITY)
        say("ready")
        while not gate.exists():
            time.sleep(0.002)
        running: dict[int, float] = {}
        asked, ended, left = dict.fromkeys(range(bodies), Resources(1.0)), list[int](), bodies
        while left:
            for number in slots.settle(asked, ended) - running.keys():
                log.write(f"start {run}\n")
                running[number] = time.monotonic() + body_s
            asked, ended = {}, [number for number, until in running.items() if time.monotonic() >= until]
            for number in ended:
                log.write(f"end {run}\n")
                del running[number]
                left -= 1
            time.sleep(0.002)
        slots.settle(returned=ended)
        slots.close()


def hold(say: Callable[[Any], None], url: str, home: Path, cpus: float) -> None:
    with opened(home, url) as workspace:
        slots = Slots(workspace, "run-holder", CAPACITY)
        assert slots.settle({1: Resources(cpus)}) == {1}
        say("held")
        time.sleep(600)

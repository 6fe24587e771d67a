"""Versions that requests ask for by name, loaded on demand and kept while there is room."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from everloop.core.errors import unknown
from everloop.serve.lane import Lane
from everloop.serve.load import load
from everloop.serve.table import Router, Served
from everloop.store import registry
from everloop.store.workspace import Workspace


class Pinned:
    """Used from one event loop; databases and models are read in threads."""

    def __init__(self, workspace: Workspace, router: Router) -> None:
        self._workspace = workspace
        self._router = router
        self._kept: OrderedDict[tuple[str, int], asyncio.Task[Lane]] = OrderedDict()

    async def find(self, served: Served, pin: str) -> Lane:
        """`pin` is a number, `champion`, `challenger` or `previous`. NotFound with what there is."""
        deployment = served.deployment
        numbers = {"champion": deployment.champion, "challenger": deployment.challenger, "previous": deployment.previous}
        if pin not in numbers and not (pin.isascii() and pin.isdigit() and len(pin) <= 9):
            raise unknown("Version", pin[:80], [*numbers, "a version number"])
        number = int(pin) if pin not in numbers else numbers[pin]
        for lane in served.lanes:
            if lane.number == number:
                return lane
        if number is None:
            raise unknown("Version", pin, [alias for alias, value in numbers.items() if value is not None])
        key = (deployment.loop, number)
        task = self._kept.get(key)
        if task is None:
            task = self._kept[key] = asyncio.create_task(self._load(*key))
            while len(self._kept) > self._router.limits.pinned_versions:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        try:
            # Others may wait for the same version: one caller that goes away must not cancel it.
            return await asyncio.shield(task)
        except Exception:
            if self._kept.get(key) is task:
                del self._kept[key]
            raise

    async def _load(self, loop: str, number: int) -> Lane:
        def read() -> Lane:
            with self._workspace.read() as tx:
                registered = registry.get(tx, loop, number)
            return self._router.lane(load(self._workspace, registered))

        return await asyncio.to_thread(read)

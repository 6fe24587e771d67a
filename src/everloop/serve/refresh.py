"""Deployments as the database holds them -> the table that is served, by one thread beside the event loop.

A version is opened, tried and timed here; only then the table is replaced. What cannot be loaded leaves the old version answering.
"""

from __future__ import annotations

import importlib
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from everloop.core.live import Deployment
from everloop.serve.lane import Lane
from everloop.serve.load import load
from everloop.serve.table import Router, Served
from everloop.store import registry
from everloop.store.database import serialise
from everloop.store.workspace import Workspace

log = logging.getLogger("everloop.serve")

POLL_S = 0.2
_FIRST_RETRY_S, _LAST_RETRY_S = 1.0, 60.0

ERRORS_CURSOR = "challenger-errors"
"""Cursor of a loop with {"version", "errors", "reason"}: on how many requests its challenger failed, over all servers."""


@dataclass(frozen=True)
class _Refused:
    reason: str
    retry_at: float
    wait_s: float


class Refresher:
    """`loops` None serves every loop that is deployed, also those that come later."""

    def __init__(self, workspace: Workspace, router: Router, *, loops: Sequence[str] | None = None, poll_s: float = POLL_S) -> None:
        self._workspace = workspace
        self._router = router
        self._loops = None if loops is None else frozenset(loops)
        self._poll_s = poll_s
        self._refused: dict[tuple[str, int], _Refused] = {}
        self._seen: dict[str, Deployment] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="everloop refresh", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread, and writes down what it had not yet."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=30)
        try:
            self._report_failures()
        except Exception as error:  # the process ends either way
            log.warning("Challenger failures were not written down: %s", error)

    def refresh(self) -> None:
        """One look at the database."""
        with self._workspace.read() as tx:
            found = {entry.loop: entry for entry in registry.every_deployment(tx) if self._loops is None or entry.loop in self._loops}
        if found != self._seen or self._due():
            self._router.table = {loop: self._serve(deployment) for loop, deployment in found.items()}
            self._seen = found
            named = {(entry.loop, number) for entry in found.values() for number in (entry.champion, entry.challenger)}
            self._refused = {key: refused for key, refused in self._refused.items() if key in named}
        table = self._router.table
        self._router.metrics.queues((loop, lane.number, lane.queued_rows) for loop, served in table.items() for lane in served.lanes)
        self._report_failures()

    def _run(self) -> None:
        if not self._seen:
            # Nothing to answer yet: the time to load what the first version will need, so that it need not wait seconds for it.
            importlib.import_module("everloop.adapters.preload")
        broken = False
        while not self._stop.wait(self._poll_s):
            try:
                self.refresh()
                if broken:
                    log.info("The database answers again.")
                broken = False
            except Exception as error:  # serving goes on with what is loaded, whatever became of the database
                if not broken:
                    log.warning("Deployments cannot be read, serving goes on as it was: %s", error, exc_info=not str(error))
                broken = True

    def _serve(self, deployment: Deployment) -> Served:
        before = self._router.table.get(deployment.loop)
        known = {lane.number: lane for lane in before.lanes} if before is not None else {}
        if before is not None and before.deployment == deployment and not before.problems:
            return before
        problems: list[str] = []
        champion = self._lane(deployment.loop, deployment.champion, known, problems)
        if champion is None and deployment.champion is not None and before is not None:
            champion = before.champion
        challenger = self._lane(deployment.loop, deployment.challenger, known, problems)
        return Served(deployment=deployment, champion=champion, challenger=challenger, problems=tuple(problems))

    def _lane(self, loop: str, number: int | None, known: dict[int, Lane], problems: list[str]) -> Lane | None:
        if number is None:
            return None
        if number in known:
            return known[number]
        key = (loop, number)
        refused = self._refused.get(key)
        if refused is not None and time.monotonic() < refused.retry_at:
            problems.append(refused.reason)
            return None
        try:
            with self._workspace.read() as tx:
                registered = registry.get(tx, loop, number)
            lane = self._router.lane(load(self._workspace, registered))
        except (Exception, SystemExit) as error:  # a model's own code may raise anything
            wait_s = min(refused.wait_s * 2, _LAST_RETRY_S) if refused else _FIRST_RETRY_S
            reason = f"Version {number} of {loop!r} could not be loaded ({type(error).__name__}: {error})"
            self._refused[key] = _Refused(reason, time.monotonic() + wait_s, wait_s)
            log.error("%s. It is tried again in %g s.", reason, wait_s)
            problems.append(reason)
            if refused is None:
                self._router.note_failure(loop, number, reason)
            return None
        self._refused.pop(key, None)
        log.info("Serving %s, model %s", registered.name, registered.model[:12])
        return lane

    def _due(self) -> bool:
        now = time.monotonic()
        return any(refused.retry_at <= now for refused in self._refused.values())

    def _report_failures(self) -> None:
        """Add what this process saw of challengers failing to what others saw."""
        taken = self._router.take_failures()
        current = {key: failure for key, failure in taken.items() if (seen := self._seen.get(key[0])) and seen.challenger == key[1]}
        if not current:
            return
        try:
            with self._workspace.write() as tx:
                serialise(tx)
                for (loop, number), failure in current.items():
                    body = registry.cursor(tx, loop, ERRORS_CURSOR)
                    before = body.get("errors", 0) if body.get("version") == number else 0
                    entry = {"version": number, "errors": before + failure.count, "reason": failure.reason}
                    registry.put_cursor(tx, loop, ERRORS_CURSOR, entry)
        except Exception:
            self._router.give_back_failures(current)
            raise

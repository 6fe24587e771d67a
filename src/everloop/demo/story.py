"""The story, chapter by chapter. Each line that it tells was checked against the product's own record; one that does not hold ends the demo."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import polars as pl

from everloop.core.live import Decision
from everloop.core.runs import Run
from everloop.demo import digits
from everloop.demo.stage import Stage
from everloop.demo.traffic import Answer, Traffic
from everloop.runner import request
from everloop.store import ledger, records, registry, runs
from everloop.store.workspace import Workspace

LOOP = "digits"
FIRST_ROWS = 700
WINDOW_ROWS = 150
HEALTHY_ROWS = 4 * WINDOW_ROWS


class Unproven(Exception):
    """A line of the story does not hold."""


class Story:
    """What has happened so far, and the facts for the last table."""

    def __init__(self, stage: Stage, workspace: Workspace, tell: Callable[[str], None]) -> None:
        self.stage = stage
        self.workspace = workspace
        self.tell = tell
        self.traffic = Traffic(stage.url, LOOP)
        self.facts: dict[str, Any] = {}
        self.lines: list[dict[str, object]] = []
        table = digits.load()
        self.first, self.healthy = table[:FIRST_ROWS], table[FIRST_ROWS : FIRST_ROWS + HEALTHY_ROWS]
        late = table[FIRST_ROWS + HEALTHY_ROWS :]
        # The rest of the stream comes from the new scanner; when it ends, sheets that the old one read are fed to the new one.
        self.scanned = digits.new_scanner(pl.concat([late, self.healthy]))
        self.scanned_at = 0
        self.drifted: list[Answer] = []
        self.asked: subprocess.Popen[str]

    # What the chapters are written with

    def chapter(self, number: int, title: str) -> None:
        self.number = number
        self.tell(f"\n{number:2}  {title}")

    def holds(self, what: str, condition: object, detail: object = "") -> None:
        """One line of the story."""
        shown = f" ({detail})" if detail != "" else ""
        self.lines.append({"chapter": self.number, "line": what, "detail": str(detail), "holds": bool(condition)})
        self.tell(f"    {'ok' if condition else 'NO'}  {what}{shown}")
        if not condition:
            raise Unproven(f"Chapter {self.number}: {what}{shown}")

    def decisions(self, *, after: int = 0, **wanted: str) -> list[Decision]:
        with self.workspace.read() as tx:
            return ledger.find(tx, loop=LOOP, after=after, **wanted)  # type: ignore[arg-type]

    def now(self) -> int:
        """The ledger's length: a place in time."""
        with self.workspace.read() as tx:
            last = ledger.find(tx, newest_first=True, limit=1)
        return last[0].seq if last else 0

    def run(self, **options: object) -> Run:
        """A person asks for a run; the scheduler of `everloop up` executes it in a process of its own."""
        return self.finished(request(self.workspace, LOOP, options=options).id)

    def finished(self, id: str, *, meanwhile: Callable[[], None] | None = None) -> Run:
        def ended() -> Run | None:
            with self.workspace.read() as tx:
                run = runs.get(tx, id)
            return run if run.ended_at is not None else None

        return self.stage.wait(f"run {id} to end", ended, meanwhile=meanwhile)

    def started_by(self, decision: Decision, *, meanwhile: Callable[[], None] | None = None) -> Run:
        with self.workspace.read() as tx:
            run = next(run for run in runs.find(tx, loop=LOOP) if run.decision == decision.id)
        return self.finished(run.id, meanwhile=meanwhile)

    def decided(self, what: str, *, after: int, meanwhile: Callable[[], None] | None = None, **wanted: str) -> Decision:
        """The first decision behind `after` that matches, as soon as there is one."""

        def first() -> Decision | None:
            found = self.decisions(after=after, **wanted)
            return found[0] if found else None

        return self.stage.wait(what, first, meanwhile=meanwhile)

    def champion(self) -> int | None:
        with self.workspace.read() as tx:
            return registry.deployment(tx, LOOP).champion

    def scan(self, rows: int) -> pl.DataFrame:
        """The next rows from the new scanner, round and round."""
        wanted = [(self.scanned_at + i) % self.scanned.height for i in range(rows)]
        self.scanned_at += rows
        return self.scanned[wanted]

    def windows_closed(self) -> int:
        with self.workspace.read() as tx:
            return len(records.of_kind(tx, "window"))

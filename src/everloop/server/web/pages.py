"""Every page. Handlers are plain functions: they wait for the database, so they run in threads."""

from __future__ import annotations

import threading
import time
from urllib.parse import urlencode

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

from everloop.core.verdict import Verdict
from everloop.queries import chain, decisions, overview, runs, status
from everloop.server.inputs import Before, Filter, Id, Limit, Name, Outcome, Status
from everloop.server.web import datasets, labelling, render
from everloop.server.web.sparkline import sparkline
from everloop.store.workspace import Workspace

REFRESH_S = 30
VERIFY_EVERY_S = 60
"""The page that everybody leaves open does not hash the whole ledger each time (33 us an entry); /decisions does."""
RUNNING_REFRESH_S = 5


def install(app: FastAPI, workspace: Workspace) -> None:
    app.mount("/static", StaticFiles(directory=render.HERE / "static"), name="static")

    verified = _Verified(workspace)

    def show(template: str, **content: object) -> HTMLResponse:
        return HTMLResponse(render.page(template, now=time.time(), project=workspace.project.name, **content))

    @app.get("/", include_in_schema=False)
    def all_loops() -> HTMLResponse:
        found = sorted(overview.glances(workspace), key=lambda glance: (not glance.trouble, glance.state.loop))
        return show("loops.html", glances=found, ledger=verified.state(), refresh_s=REFRESH_S)

    @app.get("/loops/{loop}", include_in_schema=False)
    def one_loop(loop: Name) -> HTMLResponse:
        report = overview.report(workspace, loop)
        return show("loop.html", report=report, glance=report.glance, chart=sparkline(report.windows), refresh_s=REFRESH_S)

    @app.get("/runs", include_in_schema=False)
    def all_runs(loop: Filter = "", status: Status = "", limit: Limit = 100) -> HTMLResponse:
        found = runs.find(workspace, loop=loop or None, status=status or None, limit=limit)
        return show("runs.html", runs=found, loop=loop, status=status, limit=limit, loops=_loops(workspace))

    @app.get("/runs/{id}", include_in_schema=False)
    def one_run(id: Id) -> HTMLResponse:
        report = runs.report(workspace, id)
        refresh_s = RUNNING_REFRESH_S if report.run.status in ("queued", "running") else None
        return show("run.html", report=report, run=report.run, refresh_s=refresh_s)

    @app.get("/why/{id:path}", include_in_schema=False)
    def why(id: Id) -> HTMLResponse:
        explanation = chain.explain(workspace, id)
        record = chain.record_of(workspace, explanation.id)
        return show("why.html", explanation=explanation, record=record, verdict=record if isinstance(record, Verdict) else None)

    @app.get("/decisions", include_in_schema=False)
    def ledger(loop: Filter = "", action: Filter = "", outcome: Outcome = "", before: Before = None, limit: Limit = 100) -> HTMLResponse:
        entries = decisions.entries(
            workspace, loop=loop or None, action=action or None, outcome=outcome or None, before=before, limit=limit
        )
        kept = {"loop": loop, "action": action, "outcome": outcome, "limit": limit, "before": entries.older}
        older = "/decisions?" + urlencode({name: value for name, value in kept.items() if value}) if entries.older else ""
        return show(
            "decisions.html",
            entries=entries,
            older=older,
            ledger=decisions.ledger_state(workspace),
            loops=_loops(workspace),
            loop=loop,
            action=action,
            outcome=outcome,
            before=before,
        )

    datasets.install(app, workspace, show)
    labelling.install(app, workspace, show)


class _Verified:
    """The ledger's state, at most `VERIFY_EVERY_S` old; one thread at a time looks."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._lock = threading.Lock()
        self._state: decisions.LedgerState | None = None
        self._at = 0.0

    def state(self) -> decisions.LedgerState:
        with self._lock:
            if self._state is None or time.monotonic() - self._at > VERIFY_EVERY_S:
                self._state = decisions.ledger_state(self._workspace)
                self._at = time.monotonic()
            return self._state


def _loops(workspace: Workspace) -> list[str]:
    return status.loop_names(workspace)

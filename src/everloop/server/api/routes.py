"""Every route of the API. Handlers are plain functions: they wait for the database, so they run in threads."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa
from fastapi import FastAPI
from starlette.responses import Response

from everloop.core.runs import Run
from everloop.queries import chain, decisions, overview, runs, status
from everloop.server.api import datasets, labelling
from everloop.server.api.schema import answer, describe, reply
from everloop.server.inputs import Before, Filter, Id, Limit, Name, Outcome, Status
from everloop.store.workspace import Workspace


class Health(msgspec.Struct, frozen=True):
    status: str


class Loops(msgspec.Struct, frozen=True):
    loops: list[overview.Glance]


class Versions(msgspec.Struct, frozen=True):
    versions: list[status.VersionState]


class Runs(msgspec.Struct, frozen=True):
    runs: list[Run]


def install(app: FastAPI, workspace: Workspace) -> None:
    @app.get("/healthz", responses=reply(Health), tags=["server"])
    def healthz() -> Response:
        """Whether the server answers and reaches its database."""
        with workspace.read() as tx:
            tx.execute(sa.text("SELECT 1"))
        return answer(Health(status="ok"))

    @app.get("/api/status", responses=reply(Loops), tags=["loops"])
    def all_loops() -> Response:
        """How every loop stands."""
        return answer(Loops(loops=overview.glances(workspace)))

    @app.get("/api/loops/{loop}", responses=reply(overview.LoopReport), tags=["loops"])
    def one_loop(loop: Name) -> Response:
        """Deployment, versions, windows and the latest decisions of one loop."""
        return answer(overview.report(workspace, loop))

    @app.get("/api/versions", responses=reply(Versions), tags=["loops"])
    def all_versions(loop: Filter = "") -> Response:
        """Registered versions, oldest first."""
        if loop:
            status.must_know(workspace, loop)
        return answer(Versions(versions=status.versions(workspace, loop or None)))

    @app.get("/api/runs", responses=reply(Runs), tags=["runs"])
    def all_runs(loop: Filter = "", status: Status = "", limit: Limit = 100) -> Response:
        """Runs, newest first."""
        return answer(Runs(runs=runs.find(workspace, loop=loop or None, status=status or None, limit=limit)))

    @app.get("/api/runs/{id}", responses=reply(runs.RunReport), tags=["runs"])
    def one_run(id: Id) -> Response:
        """A run with its steps and what they made."""
        return answer(runs.report(workspace, id))

    @app.get("/api/why/{id:path}", responses=reply(chain.Explanation), tags=["lineage"])
    def why(id: Id) -> Response:
        """Where something came from, back to the source, and the decisions on the way."""
        return answer(chain.explain(workspace, id))

    @app.get("/api/decisions", responses=reply(decisions.Entries), tags=["ledger"])
    def ledger(loop: Filter = "", action: Filter = "", outcome: Outcome = "", before: Before = None, limit: Limit = 100) -> Response:
        """Decisions, newest first."""
        found = decisions.entries(workspace, loop=loop or None, action=action or None, outcome=outcome or None, before=before, limit=limit)
        return answer(found)

    @app.get("/api/ledger/verify", responses=reply(decisions.LedgerState), tags=["ledger"])
    def verify() -> Response:
        """Whether every entry of the ledger is still what was written."""
        return answer(decisions.ledger_state(workspace))

    datasets.install(app, workspace)
    labelling.install(app, workspace)
    describe(
        app,
        [
            Health,
            Loops,
            Versions,
            Runs,
            overview.LoopReport,
            runs.RunReport,
            chain.Explanation,
            decisions.Entries,
            decisions.LedgerState,
            *datasets.KINDS,
            *labelling.KINDS,
        ],
    )

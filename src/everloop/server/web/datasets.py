"""The catalogue as pages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from everloop.queries import datasets
from everloop.server.inputs import Filter, Name
from everloop.store.workspace import Workspace


def install(app: FastAPI, workspace: Workspace, show: Callable[..., HTMLResponse]) -> None:
    @app.get("/datasets", include_in_schema=False)
    def all_datasets(q: Filter = "") -> HTMLResponse:
        return show("datasets.html", entries=datasets.catalogue(workspace, search=q), q=q)

    @app.get("/datasets/{name}", include_in_schema=False)
    def one_dataset(name: Name) -> HTMLResponse:
        entry = datasets.entry(workspace, name)
        newest = datasets.snapshot(workspace, entry.snapshot)
        return show("dataset.html", entry=entry, versions=datasets.history(workspace, name), profile=datasets.profile(workspace, newest))

    @app.get("/datasets/{name}/report", include_in_schema=False)
    def one_report(name: Name, version: Filter = "latest", against: Filter = "", target: Filter = "") -> HTMLResponse:
        from everloop.data.eda.page import page

        study = datasets.study(workspace, f"{name}@{version}", against=against or None, target=target or None)
        return HTMLResponse(page(study, made_at=f"{datetime.now(UTC):%Y-%m-%d %H:%M}"))

    @app.get("/columns", include_in_schema=False)
    def all_columns() -> HTMLResponse:
        return show("columns.html", uses=datasets.columns(workspace))

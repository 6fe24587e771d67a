"""The catalogue as JSON."""

from __future__ import annotations

import msgspec
from fastapi import FastAPI
from starlette.responses import Response

from everloop.core.profiles import Profile
from everloop.queries import datasets
from everloop.server.api.schema import answer, reply
from everloop.server.inputs import Filter, Name
from everloop.store.workspace import Workspace


class Catalogue(msgspec.Struct, frozen=True):
    datasets: list[datasets.Entry]


class Dataset(msgspec.Struct, frozen=True):
    entry: datasets.Entry
    versions: list[datasets.Version]
    profile: Profile | None


class Columns(msgspec.Struct, frozen=True):
    columns: list[datasets.ColumnUse]


KINDS = [Catalogue, Dataset, Columns]


def install(app: FastAPI, workspace: Workspace) -> None:
    @app.get("/api/datasets", responses=reply(Catalogue), tags=["data"])
    def all_datasets(q: Filter = "") -> Response:
        """Every dataset of the store, or those that have each word of `q`."""
        return answer(Catalogue(datasets=datasets.catalogue(workspace, search=q)))

    @app.get("/api/datasets/{name}", responses=reply(Dataset), tags=["data"])
    def one_dataset(name: Name) -> Response:
        """A dataset, its versions, and the statistics of the newest."""
        entry = datasets.entry(workspace, name)
        profile = datasets.profile(workspace, datasets.snapshot(workspace, entry.snapshot))
        return answer(Dataset(entry=entry, versions=datasets.history(workspace, name), profile=profile))

    @app.get("/api/columns", responses=reply(Columns), tags=["data"])
    def all_columns() -> Response:
        """The columns of all datasets, first those that differ between them."""
        return answer(Columns(columns=datasets.columns(workspace)))

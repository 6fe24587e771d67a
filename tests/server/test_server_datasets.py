"""The catalogue over HTTP: pages that link to each other, and their JSON twins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import polars as pl
import pytest
from server_world import serving

from everloop.data.sources.files import Files
from everloop.project import Loop
from everloop.runner import take
from everloop.server.app import create_app
from everloop.store import datasets
from everloop.store.workspace import Workspace

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    project = tmp_path_factory.mktemp("catalogue")
    (project / "a.csv").write_text("n,t\n1,x\n2,y\n")
    pl.DataFrame({"n": ["1", SCRIPT], "n_": [1, 2], SCRIPT: [3, 4]}).write_csv(project / "b.csv")
    with Workspace(project) as opened:
        for name in ("rides", "riders"):
            loop = Loop(name, source=Files("a.csv" if name == "rides" else "b.csv"), target="n", model=None, metrics=["mae"])
            take(opened, loop)
        (project / "a.csv").write_text("n,t\n1,x\n2,y\n3,z\n")
        take(opened, Loop("rides", source=Files("a.csv"), target="n", model=None, metrics=["mae"]))
        with opened.write() as tx:
            datasets.describe(tx, "riders", owner=SCRIPT, description="People.")
        yield opened


@pytest.fixture(scope="module")
def client(workspace: Workspace) -> Iterator[httpx.Client]:
    with serving(create_app(workspace)) as client:
        yield client


@pytest.mark.parametrize(
    "path",
    [
        "/datasets", "/datasets?q=people", "/datasets/rides", "/datasets/riders", "/columns", "/datasets/rides/report", "/datasets/riders/report?target=n_",
        "/datasets/rides/report?version=1", "/datasets/rides/report?against=1",
    ],
)  # fmt: skip
def test_every_page_is_there_and_escaped(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert SCRIPT not in answer.text
    assert "rides" in answer.text or "riders" in answer.text


def test_the_catalogue_leads_to_everything(client: httpx.Client) -> None:
    assert 'href="/datasets"' in client.get("/").text
    assert 'href="/datasets/rides"' in client.get("/datasets").text
    page = client.get("/datasets/rides").text
    assert 'href="/datasets/rides/report?against=1"' in page
    assert ">2</td>" in page
    assert 'href="/columns"' in client.get("/datasets").text


def test_searching(client: httpx.Client) -> None:
    assert "/datasets/rides" not in client.get("/datasets", params={"q": "people"}).text
    assert "No dataset has" in client.get("/datasets", params={"q": SCRIPT + "x"}).text


def test_the_twins(client: httpx.Client) -> None:
    found = client.get("/api/datasets", params={"q": "column t"}).json()["datasets"]
    assert found == []
    entries = {entry["name"]: entry for entry in client.get("/api/datasets").json()["datasets"]}
    assert (entries["rides"]["version"], entries["rides"]["rows"]) == (2, 3)
    one = client.get("/api/datasets/rides").json()
    assert [version["take"]["number"] for version in one["versions"]] == [2, 1]
    assert one["profile"]["rows"] == 3
    uses = {use["name"]: use for use in client.get("/api/columns").json()["columns"]}
    assert uses["n"]["datasets"] == {"riders": "text", "rides": "int"}
    assert uses["n_"]["spellings"] == ["n"]


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/datasets/ride", "Did you mean &#39;rides&#39;"),
        ("/datasets/rides/report?version=7", "versions are 1 to 2"),
        ("/datasets/rides/report?target=m", "Known: n, t"),
        ("/api/datasets/ride", "Did you mean 'rides'"),
    ],
)
def test_what_is_not_there(client: httpx.Client, path: str, sentence: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert sentence in answer.text


def test_a_collected_dataset_still_has_its_page(workspace: Workspace, client: httpx.Client, tmp_path: Path) -> None:
    from msgspec.structs import replace

    from everloop.core.record import COLLECTED
    from everloop.store import records

    with workspace.read() as tx:
        known = datasets.resolve(tx, "riders")
    faded = replace(known, chunks=tuple(replace(chunk, blob=COLLECTED, tally="") for chunk in known.chunks))
    body = "UPDATE records SET body = :body WHERE id = :id"
    with workspace.write() as tx:
        tx.sql(body, {"body": records.encode(faded), "id": known.id})
    try:
        page = client.get("/datasets/riders")
        assert page.status_code == 200
        assert "collected" in page.text
        assert client.get("/datasets/riders/report").status_code == 404
        assert client.get("/api/datasets/riders").status_code == 200
    finally:
        with workspace.write() as tx:
            tx.sql(body, {"body": records.encode(known), "id": known.id})

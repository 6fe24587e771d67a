"""Every page: reachable, escaped, without scripts, and with what is wrong on top."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from server_world import SCRIPT, World, finished_run, lineage, populate, serving

from everloop.server.app import create_app
from everloop.store import runs
from everloop.store.workspace import Workspace


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with Workspace(tmp_path_factory.mktemp("project")) as workspace:
        yield populate(workspace)


@pytest.fixture(scope="module")
def client(world: World) -> Iterator[httpx.Client]:
    with serving(create_app(world.workspace)) as client:
        yield client


class Reader(HTMLParser):
    """Links, tags, attributes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name in ("href", "src", "action") and value:
                self.links.append(value)

    def handle_data(self, data: str) -> None:
        self.text += data + " "


@pytest.fixture(scope="module")
def site(client: httpx.Client) -> dict[str, str]:
    """Every page and document that can be reached by links from the first one; each must be there."""
    found: dict[str, str] = {}
    waiting = ["/"]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        answer = client.get(path)
        assert answer.status_code == 200, f"{path}: {answer.text[:300]}"
        found[path] = answer.text if answer.headers["content-type"].startswith("text/html") else ""
        waiting += Reader(found[path]).links if found[path] else []
    return found


def test_links_reach_every_kind_of_page(site: dict[str, str], world: World) -> None:
    for path in (
        "/loops/digits",
        f"/runs/{world.refused}",
        "/why/digits/1",
        f"/why/{world.snapshot}",
        f"/why/{world.page}",
        f"/why/{world.verdict}",
    ):
        assert path in site
    assert {"/runs", "/decisions?loop=digits", "/api/status", f"/api/runs/{world.run}", "/static/everloop.css"} <= set(site)


def test_pages_have_no_script_no_inline_style_and_nothing_foreign(site: dict[str, str]) -> None:
    for path, page in site.items():
        reader = Reader(page)
        assert not reader.tags & {"script", "style", "iframe", "object", "embed"}, path
        assert not {name for name in reader.attributes if name == "style" or name.startswith("on")}, path
        assert all(link.startswith("/") and not link.startswith("//") for link in reader.links), path


def test_what_others_wrote_is_shown_as_text(site: dict[str, str], world: World) -> None:
    for path in ("/", "/loops/digits", "/decisions", f"/why/{world.page}", f"/runs/{world.refused}"):
        assert SCRIPT in Reader(site[path]).text, path
        assert "&lt;script&gt;" in site[path]
    assert not [path for path, page in site.items() if "<script" in page]


def test_a_hostile_address_is_shown_as_text(client: httpx.Client) -> None:
    for path in (
        "/nope/<script>alert(1)</script>",
        "/loops/<script>",
        "/why/<script>alert(1)",
        "/runs/<script>",
        "/decisions?loop=<script>",
    ):
        answer = client.get(path)
        assert answer.status_code == 404
        assert "<script" not in answer.text
        assert "&lt;script&gt;" in answer.text


def test_the_first_page_says_how_a_loop_stands(site: dict[str, str], world: World) -> None:
    text = re.sub(r"\s+", " ", Reader(site["/"]).text)
    for said in (
        "digits/1",
        "accuracy 0.962 0.942 to 0.977",
        "digits/2 canary 10 % of the traffic",
        "0.81",
        "open",
        "refused",
        world.refused,
    ):
        assert said in text, said
    for wrong in (
        "watch: still good?: failed: estimated accuracy 0.81 is below 0.92",
        "decide: a person was called",
        "'file' was not delivered after 3 tries",
    ):
        assert wrong in text, wrong
    assert "Now at release : digits/2 is in canary" in text
    assert 'class="station busy here"' in site["/"]
    assert "<title>! Loops" in site["/"]


def test_fired_and_suppressed_decisions_are_told_apart(client: httpx.Client) -> None:
    held = client.get("/decisions?outcome=suppressed").text
    fired = client.get("/decisions?outcome=done").text
    assert held.count('class="suppressed') == 1
    assert "cool-down until 04:00" in held
    assert 'class="suppressed' not in fired
    assert fired.count("<tr id=") == 8


def test_older_decisions_are_one_link_away(client: httpx.Client) -> None:
    page = client.get("/decisions?loop=digits&limit=5").text
    older = next(link for link in Reader(page).links if "before=" in link)
    assert "loop=digits" in older
    rest = client.get(older).text
    assert page.count("<tr id=") + rest.count("<tr id=") == 9
    assert not [link for link in Reader(rest).links if "before=" in link]


def test_the_chart_shows_estimated_and_realised(site: dict[str, str]) -> None:
    page = site["/loops/digits"]
    assert page.count('class="series estimated"') == page.count('class="series realised"') == 1
    assert page.count('<circle class="failed"') == 1
    assert page.count("estimated accuracy 0.8") >= 1


def test_an_empty_workspace_says_what_to_do(tmp_path: Path) -> None:
    with Workspace(tmp_path) as workspace, serving(create_app(workspace)) as client:
        assert "No loop has run here yet" in client.get("/").text
        for path in ("/runs", "/decisions"):
            assert client.get(path).status_code == 200
        assert "None is known yet" in client.get("/loops/digits").text


def test_troubled_loops_come_first(tmp_path: Path) -> None:
    with Workspace(tmp_path) as workspace, serving(create_app(workspace)) as client:
        finished_run(workspace, "a-calm-one", lineage("a-calm-one", "aaaaaaaa", 0.9))
        finished_run(workspace, "z-stopped", [], status="stopped", error="column 'temp' is missing")
        page = client.get("/").text
        assert page.index("z-stopped") < page.index("a-calm-one")
        assert "data: run-" in page
        assert "was stopped by the data: column &#39;temp&#39; is missing" in page
        assert page.count('role="alert"') == 1


def test_a_run_whose_process_died_is_not_shown_as_running(tmp_path: Path) -> None:
    import subprocess
    import sys

    with Workspace(tmp_path) as workspace, serving(create_app(workspace)) as client:
        with workspace.write() as tx:
            run = runs.queue(tx, "digits", "cycle", decision="")
        code = (
            "import os, sys; from everloop.store import runs; from everloop.store.workspace import Workspace\n"
            "with Workspace(sys.argv[1]) as workspace:\n"
            "    with workspace.write() as tx: runs.claim(tx, sys.argv[2])\n"
            "    os.kill(os.getpid(), 9)"
        )
        assert subprocess.run([sys.executable, "-c", code, str(tmp_path), run.id], check=False).returncode == -9
        assert "its process is gone" in client.get("/").text
        page = client.get(f"/runs/{run.id}").text
        assert "its process is gone" in page
        assert 'http-equiv="refresh"' in page


def test_a_page_to_a_person_is_settled_by_a_later_run(tmp_path: Path) -> None:
    with Workspace(tmp_path) as workspace, serving(create_app(workspace)) as client:
        populate(workspace)
        assert client.get("/api/status").json()["loops"][0]["page"]["open"] is True
        time.sleep(0.01)  # the run's start must be after the page's time, both clock readings
        finished_run(workspace, "digits", lineage("digits", "ffffffff", 0.97))
        assert client.get("/api/status").json()["loops"][0]["page"]["open"] is False
        assert "settled" in client.get("/loops/digits").text

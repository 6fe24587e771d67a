"""The guards, the errors and the API: over real sockets, on a workspace in which much has happened."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import httpx
import msgspec
import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from fastapi.routing import APIRoute
from server_world import World, populate, serving
from starlette.routing import BaseRoute, Mount, Route

from everloop.core import errors
from everloop.queries import chain, decisions, overview, runs
from everloop.server.app import create_app, serve
from everloop.server.errors import STATUS
from everloop.server.guards import HEADERS
from everloop.store.schema import decisions as decisions_table
from everloop.store.workspace import Workspace

T = TypeVar("T")
TOKEN = "correct horse battery staple"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with Workspace(tmp_path_factory.mktemp("project")) as workspace:
        yield populate(workspace)


@pytest.fixture(scope="module")
def client(world: World) -> Iterator[httpx.Client]:
    with serving(create_app(world.workspace)) as client:
        yield client


@pytest.fixture(scope="module")
def guarded(world: World) -> Iterator[httpx.Client]:
    with serving(planted(create_app(world.workspace, token=TOKEN))) as client:
        yield client


def planted(app: FastAPI) -> FastAPI:
    """Routes that somebody adds later without a thought of the guards, and that fail."""

    def raising(error: Exception) -> None:
        def fails() -> None:
            raise error

        app.get(f"/api/planted/{type(error).__name__}")(fails)
        app.get(f"/planted/{type(error).__name__}")(fails)

    for kind in (*STATUS, RuntimeError):
        raising(kind("<b>the reason</b>"))
    return app


def paths(routes: list[BaseRoute], world: World) -> list[str]:
    """A path for every route of the app; fails on a kind of route that it does not know."""
    values = {
        "{loop}": world.loop,
        "{id}": world.run,
        "{id:path}": world.prediction,
        "{path:path}": "everloop.css",
        "{queue}": "sms",
        "{name}": world.loop,
        "{row}": "row-0",
        "{column:path}": "x",
    }
    found: list[str] = []
    for route in routes:
        assert isinstance(route, (Route, APIRoute, Mount)), f"add {type(route)} to this test: is it guarded?"
        path = route.path + "/everloop.css" if isinstance(route, Mount) else route.path
        for name, value in values.items():
            path = path.replace(name, value)
        assert "{" not in path, path
        found.append(path)
    return found


def test_every_route_refuses_a_foreign_name_and_a_missing_or_wrong_token(world: World, guarded: httpx.Client) -> None:
    app = planted(create_app(world.workspace, token=TOKEN))
    every = [*paths(app.routes, world), "/no/such/route"]
    assert {"/", "/healthz", "/api/openapi.json", "/static/everloop.css", "/decisions", "/api/planted/RuntimeError"} <= set(every)
    known = {"Authorization": f"Bearer {TOKEN}"}
    for path in every:
        for method in ("GET", "POST", "OPTIONS"):
            foreign = guarded.request(method, path, headers={**known, "Host": "evil.example"})
            assert foreign.status_code == 421, (method, path)
            for wrong in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": TOKEN}, {"Authorization": f"Basic {TOKEN}"}):
                refused = guarded.request(method, path, headers=wrong)
                assert refused.status_code == 401, (method, path, wrong)
                assert refused.headers["www-authenticate"].startswith("Bearer")
            assert world.loop not in foreign.text + refused.text
        assert guarded.get(path, headers=known).status_code not in (401, 403, 421), path


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil", "evil.localhost", "127.0.0.2", "0.0.0.0", "[::1]", "evil.example:8700"],
)
def test_a_name_that_only_resembles_ours_is_foreign(client: httpx.Client, host: str) -> None:
    answer = client.get("/api/status", headers={"Host": host})
    assert answer.status_code == 421
    assert "127.0.0.1, localhost" in answer.json()["error"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "localhost.", "localhost:1", "127.0.0.1:65535"])
def test_our_names_are_known_with_any_port_and_case(client: httpx.Client, host: str) -> None:
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "lines",
    [
        b"",
        b"Host:\r\n",
        b"Host: localhost\r\nHost: evil.example\r\n",
        b"Host: localhost@evil.example\r\n",
        b"Host: localhost:80:80\r\n",
        b"Host: a/b\r\n",
    ],
)
def test_a_request_without_one_plain_host_is_refused(client: httpx.Client, lines: bytes) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=10) as raw:
        raw.sendall(b"GET /api/status HTTP/1.1\r\n" + lines + b"Connection: close\r\n\r\n")
        answer = b"".join(iter(lambda: raw.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"digits" not in answer


def test_forwarding_headers_change_nothing(client: httpx.Client) -> None:
    assert client.get("/healthz", headers={"Host": "evil.example", "X-Forwarded-Host": "localhost"}).status_code == 421
    assert client.get("/healthz", headers={"X-Forwarded-Host": "evil.example"}).status_code == 200


@pytest.mark.parametrize("wrong", [{"allowed_hosts": ()}, {"token": ""}, {"token": " "}])
def test_without_names_or_with_an_empty_token_there_is_no_app(world: World, wrong: dict[str, str]) -> None:
    with pytest.raises(errors.BadInput):
        create_app(world.workspace, **wrong)  # type: ignore[arg-type]


def test_security_headers_are_on_every_answer(guarded: httpx.Client) -> None:
    known = {"Authorization": f"Bearer {TOKEN}"}
    for path, headers in [
        ("/", known), ("/healthz", known), ("/static/everloop.css", known), ("/nope", known), ("/", {}), ("/api/status", {"Host": "evil"}),
        ("/planted/RuntimeError", known), ("/planted/Broken", known), ("/api/runs?limit=x", known),
    ]:  # fmt: skip
        answer = guarded.get(path, headers=headers)
        for name, value in HEADERS.items():
            assert answer.headers[name] == value, (path, name)
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert "access-control-allow-origin" not in answer.headers


def test_each_kind_of_error_has_its_status_and_its_sentence(guarded: httpx.Client) -> None:
    expected = {
        "BadInput": 400,
        "NotFound": 404,
        "Conflict": 409,
        "Broken": 500,
        "Busy": 503,
        "Missing": 501,
        "BadProject": 500,
        "Stopped": 503,
        "Lost": 500,
    }
    assert {kind.__name__: status for kind, status in STATUS.items()} == expected
    for name, status in expected.items():
        for prefix, sentence in (("/api/planted/", "<b>the reason</b>"), ("/planted/", "&lt;b&gt;the reason&lt;/b&gt;")):
            answer = guarded.get(prefix + name, headers={"Authorization": f"Bearer {TOKEN}"})
            assert answer.status_code == status
            assert sentence in answer.text
            assert ("retry-after" in answer.headers) is (status == 503)
        assert "<b>the" not in answer.text
    assert guarded.get("/api/planted/Busy", headers={"Authorization": f"Bearer {TOKEN}"}).json() == {"error": "<b>the reason</b>"}


def test_an_unexpected_error_is_logged_and_not_told(guarded: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "everloop.server"):
        answers = [
            guarded.get(path, headers={"Authorization": f"Bearer {TOKEN}"})
            for path in ("/planted/RuntimeError", "/api/planted/RuntimeError")
        ]
    for answer in answers:
        assert answer.status_code == 500
        assert "the reason" not in answer.text
        assert "Traceback" not in answer.text
        assert ".py" not in answer.text
    assert caplog.text.count("the reason") == 2


def test_every_kind_of_error_is_in_the_table() -> None:
    kinds = {kind for kind in errors.EverloopError.__subclasses__() if kind.__module__ == errors.__name__}
    assert set(STATUS) == kinds


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/api/runs?limit=many", 400, "limit"),
        ("/api/runs?limit=0", 400, "limit"),
        ("/api/runs?status=odd", 400, "status"),
        ("/api/decisions?outcome=maybe", 400, "outcome"),
        ("/api/decisions?before=99999999999999999999", 400, "before"),
        ("/api/decisions?action=a%00b", 400, "action"),
        ("/api/why/a%00b", 400, "id"),
        ("/api/why/digits/99999999999999999999", 404, "Alias"),
        ("/api/why/digits/%C2%B2", 404, "Alias"),
        ("/api/why/digits/9", 404, "digits/1, digits/2"),
        ("/api/why/p-none-1", 404, "not among those captured"),
        ("/api/why/../../etc/passwd", 404, "nothing at"),
        ("/api/why/snapshot-", 400, "several ids"),
        ("/api/loops/digit", 404, "Did you mean 'digits'"),
        ("/api/decisions?loop=digit", 404, "Did you mean 'digits'"),
        ("/api/versions?loop=digit", 404, "Did you mean 'digits'"),
        ("/api/runs/run-", 404, "More than one"),
        ("/api/nope", 404, "openapi.json"),
        ("/static/../app.py", 404, "nothing at"),
        ("/static/%2e%2e/pages.py", 404, "nothing at"),
    ],
)
def test_a_wrong_request_gets_a_sentence(client: httpx.Client, path: str, status: int, told: str) -> None:
    answer = client.get(path)
    assert answer.status_code == status, answer.text
    assert told in answer.text


def test_nothing_but_labels_can_be_changed_from_here(client: httpx.Client, world: World) -> None:
    for path in paths(create_app(world.workspace).routes, world):
        forms = path in ("/labelling/sms", "/labelling/sms/review/row-0", "/api/labelling/sms/next", "/api/labelling/sms/annotations")
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            expected = 400 if forms and method == "POST" else 405
            assert client.request(method, path).status_code == expected, (method, path)


def test_the_api_answers_with_the_records_of_the_queries(client: httpx.Client, world: World) -> None:
    def read(path: str, kind: type[T]) -> T:
        answer = client.get(path)
        assert answer.status_code == 200, answer.text
        return msgspec.json.decode(answer.content, type=kind)

    report = read("/api/loops/digits", overview.LoopReport)
    assert [version.name for version in report.versions] == ["digits/2", "digits/1"]
    assert report.glance.state.deployment.stage == "canary"
    assert len(report.windows) == 6
    assert [window.passed for window in report.windows] == [True] * 5 + [False]
    assert read(f"/api/runs/{world.run}", runs.RunReport) == runs.report(world.workspace, world.run)
    assert [step.step.status for step in read(f"/api/runs/{world.run[:-3]}", runs.RunReport).steps] == ["hit"] * 2 + ["done"] * 5
    why = read(f"/api/why/{world.prediction}", chain.Explanation)
    assert [link.kind for link in why.chain][:2] == ["prediction", "version"]
    assert [link.kind for link in why.chain][-2:] == ["snapshot", "source"]
    assert [link.id for link in read("/api/why/digits%2F1", chain.Explanation).chain] == [link.id for link in why.chain][1:]
    assert [entry["state"]["loop"] for entry in client.get("/api/status").json()["loops"]] == ["digits"]
    assert [entry["name"] for entry in client.get("/api/versions?loop=digits").json()["versions"]] == ["digits/1", "digits/2"]
    assert [entry["status"] for entry in client.get("/api/runs?status=refused").json()["runs"]] == ["refused"]
    state = read("/api/ledger/verify", decisions.LedgerState)
    assert state.sound
    assert state.entries == 9


def test_the_ledger_can_be_paged_through_without_a_gap(client: httpx.Client) -> None:
    seen: list[int] = []
    query = "/api/decisions?limit=2"
    while True:
        page = client.get(query).json()
        seen += [entry["seq"] for entry in page["decisions"]]
        if page["older"] is None:
            break
        query = f"/api/decisions?limit=2&before={page['older']}"
    assert seen == list(range(9, 0, -1))
    held = client.get("/api/decisions?loop=digits&action=start_run&outcome=suppressed").json()["decisions"]
    assert [entry["seq"] for entry in held] == [7]


def test_the_openapi_document_describes_every_answer(client: httpx.Client, world: World) -> None:
    document = client.get("/api/openapi.json").json()
    routes = {route.path for route in create_app(world.workspace).routes if isinstance(route, APIRoute) and route.include_in_schema}
    assert {path.replace("{id:path}", "{id}") for path in routes} == {path.replace("{id:path}", "{id}") for path in document["paths"]}
    named = {part.split('"')[0] for part in client.get("/api/openapi.json").text.split('"#/components/schemas/')[1:]}
    assert named <= set(document["components"]["schemas"])
    for path, operations in document["paths"].items():
        if "get" not in operations:
            continue
        schema = operations["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        properties = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["properties"]
        real = (
            path.replace("{queue}", "sms")
            .replace("{name}", "digits")
            .replace("{loop}", "digits")
            .replace("{id:path}", world.run)
            .replace("{id}", world.run)
        )
        assert set(client.get(real).json()) == set(properties), path


def test_a_changed_ledger_is_seen(tmp_path: Path) -> None:
    with Workspace(tmp_path) as workspace:
        populate(workspace)
        with serving(create_app(workspace)) as client:
            assert client.get("/api/ledger/verify").json()["sound"] is True
            with workspace.write() as tx:
                tx.execute(sa.update(decisions_table).where(decisions_table.c.seq == 3).values(reason="it was somebody else"))
            state = client.get("/api/ledger/verify").json()
            assert state["sound"] is False
            assert "entry 3 was changed" in state["breaks"][0]["message"]
            for path in ("/", "/decisions"):
                page = client.get(path).text
                assert "The ledger is broken" in page
                assert "entry 3 was changed" in page
            with workspace.write() as tx:
                tx.execute(sa.update(decisions_table).where(decisions_table.c.seq == 3).values(evidence="{not json"))
            assert client.get("/api/ledger/verify").json()["sound"] is False


def test_a_taken_port_is_said_at_once(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(errors.Busy, match=f"Port {port} on 127.0.0.1 is taken"):
            serve(world.workspace, port=port)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_others_cannot_reach_it_without_a_token(world: World, host: str) -> None:
    with pytest.raises(errors.BadInput, match="needs a token"):
        serve(world.workspace, host=host, port=0)


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 70_000), ("192.0.2.1", 0)])
def test_an_impossible_address_is_refused_in_words(world: World, host: str, port: int) -> None:
    with pytest.raises(errors.BadInput, match="Cannot listen"):
        serve(world.workspace, host=host, port=port, token="t")


def test_sigterm_ends_it_cleanly(tmp_path: Path) -> None:
    code = (
        "import sys; from everloop.server.app import serve; from everloop.store.workspace import Workspace\n"
        "with Workspace(sys.argv[1]) as workspace: serve(workspace, port=0)\n"
        "print('closed')"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EVERLOOP_")}
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    guard = threading.Timer(60, process.kill)
    guard.start()
    try:
        assert process.stderr is not None
        first = process.stderr.readline()
        assert first.startswith("everloop: http://127.0.0.1:"), first + process.stderr.read()
        assert httpx.get(first.split()[1] + "healthz", trust_env=False).json() == {"status": "ok"}
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    finally:
        guard.cancel()
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert out == "closed\n"
    assert err == ""

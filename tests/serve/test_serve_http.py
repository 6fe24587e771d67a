"""The HTTP surface of a real server: right answers, and a sentence for whatever else comes."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from stand import ROW, Server, captured
from test_serve_decode import anything

from everloop.store import labels
from everloop.store.workspace import Workspace

Running = tuple[Workspace, Server]


def error_of(response: Any, status: int) -> str:
    assert response.status_code == status, response.text
    assert set(response.json()) == {"error"}
    return response.json()["error"]


def talk(server: Server, *parts: bytes) -> bytes:
    """Send raw bytes and read until the server closes."""
    with socket.create_connection(server.address, timeout=20) as connection:
        for part in parts:
            connection.sendall(part)
        received = b""
        try:
            while chunk := connection.recv(65536):
                received += chunk
        except ConnectionResetError:
            pass
        return received


def test_a_prediction_names_its_version_and_is_found_in_what_was_captured(running: Running) -> None:
    workspace, server = running
    reply = server.predict([ROW, {**ROW, "x0": -9}]).json()
    assert reply["model"] == "tiny"
    first, second = reply["predictions"]
    assert (first["output"], second["output"], first["version"]) == (1, 0, 1)
    assert first["probabilities"].keys() == {"0", "1"}
    found = captured(workspace)
    assert found[first["id"]].features == [1.5, -0.25, 2, "red"]
    assert found[first["id"]].probabilities == list(first["probabilities"].values())
    assert found[first["id"]].role == "champion"
    assert found[first["id"]].request == found[second["id"]].request != ""


def test_the_bare_list_of_rows_is_taken_too(running: Running) -> None:
    assert running[1].client.post("/predict/tiny", json=[ROW]).json()["predictions"][0]["output"] == 1


def test_names_and_methods_that_do_not_exist(running: Running) -> None:
    client = running[1].client
    assert "Did you mean 'tiny'?" in error_of(client.post("/predict/tinny", json=[ROW]), 404)
    assert "/predict/{model}" in error_of(client.get("/predictions"), 404)
    reply = client.get("/predict/tiny")
    assert "Use POST" in error_of(reply, 405)
    assert reply.headers["allow"] == "POST"
    error_of(client.delete("/models"), 405)
    error_of(client.post("/predict/", json=[ROW]), 404)
    reply = client.post("/predict/empty", json=[ROW])
    assert "no version that answers" in error_of(reply, 503)
    assert reply.headers["retry-after"] == "1"


def test_bodies_that_are_not_taken(running: Running) -> None:
    client = running[1].client
    assert "not valid JSON" in error_of(
        client.post("/predict/tiny", content=b'{"rows": [', headers={"content-type": "application/json"}), 400
    )
    assert "application/json" in error_of(client.post("/predict/tiny", content=b"x0,x1", headers={"content-type": "text/csv"}), 415)
    assert "missing (float expected)" in error_of(client.post("/predict/tiny", json={"rows": [{}]}), 422)
    assert "10001 rows" in error_of(client.post("/predict/tiny", json=[ROW] * 10_001), 413)
    assert client.post("/predict/tiny", json=[ROW] * 10_000).status_code == 200


def test_a_body_that_is_announced_too_large_is_not_read(running: Running) -> None:
    head = b"POST /predict/tiny HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 99999999999\r\n\r\n"
    reply = talk(running[1], head)
    assert b" 413 " in reply.splitlines()[0]
    assert b"connection: close" in reply.lower()


def test_a_chunked_body_is_cut_off_when_it_grows_too_large(running: Running) -> None:
    head = b"POST /predict/tiny HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    with socket.create_connection(running[1].address, timeout=20) as connection:
        connection.sendall(head)
        received = b""
        try:
            for _ in range(64):
                connection.sendall(chunk)
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            received = connection.recv(65536)
        except ConnectionResetError:
            return
        assert b" 413 " in received.splitlines()[0]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"POST /predict/tiny HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{",
        b"POST /predict/tiny HTTP/1.1\r\nhost: a\r\ncontent-length: minus\r\n\r\n{}",
        b"POST /predict/tiny HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET /" + b"a" * 100_000,
        b"POST /predict/%ff%00%2e%2e HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nconnection: close\r\n\r\n[]",
    ],
)
def test_broken_and_half_sent_requests_harm_nobody(running: Running, raw: bytes) -> None:
    _, server = running
    with socket.create_connection(server.address, timeout=20) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        try:
            reply = connection.recv(65536)
        except ConnectionResetError:
            reply = b""
    assert b" 500 " not in reply[:20]
    assert server.predict([ROW]).status_code == 200


def test_a_request_that_comes_byte_by_byte_is_answered(running: Running) -> None:
    body = json.dumps([ROW]).encode()
    head = b"POST /predict/tiny HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
    reply = talk(running[1], *(bytes([byte]) for byte in head + body))
    assert reply.startswith(b"HTTP/1.1 200 ")


def test_a_model_that_raises_fails_its_own_request_and_no_other(running: Running) -> None:
    _, server = running
    assert server.predict([ROW], "frail").status_code == 200
    message = error_of(server.predict([{**ROW, "x0": 5000}], "frail"), 500)
    assert "'frail' version 1" in message
    assert "ArithmeticError" in message
    assert server.predict([ROW], "frail").status_code == 200
    assert server.predict([ROW]).status_code == 200


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(anything | st.fixed_dictionaries({"rows": st.lists(st.dictionaries(st.sampled_from([*ROW, "x9"]), anything), max_size=3)}))
def test_no_json_makes_the_server_fail(running: Running, value: Any) -> None:
    client = running[1].client
    content = json.dumps(value).encode()
    for path in ("/predict/tiny", "/labels/tiny"):
        reply = client.post(path, content=content, headers={"content-type": "application/json"})
        assert reply.status_code in {200, 400, 413, 422}, reply.text
        assert reply.status_code == 200 or reply.json()["error"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["x-everloop-key", "x-everloop-version"]), st.binary(max_size=40).filter(lambda value: not set(value) & {0, 10, 13}))
def test_no_header_makes_the_server_fail(running: Running, name: str, value: bytes) -> None:
    body = json.dumps([ROW]).encode()
    head = b"POST /predict/tiny HTTP/1.1\r\nhost: a\r\nconnection: close\r\n%s: %s\r\ncontent-length: %d\r\n\r\n"
    reply = talk(running[1], head % (name.encode(), value, len(body)) + body)
    assert reply[9:12] in {b"200", b"400", b"404"}, reply


def test_labels_are_joined_once_and_contradictions_reported(running: Running) -> None:
    workspace, server = running
    one, two = (found["id"] for found in server.predict([ROW, ROW]).json()["predictions"])
    post = server.client.post
    assert post("/labels/tiny", json={"labels": {one: 1, "q-1": 0}}).json() == {"added": 1, "contradicted": [], "unknown": ["q-1"]}
    assert post("/labels/tiny", json={"labels": {one: 0, two: 0}}).json() == {"added": 1, "contradicted": [one], "unknown": []}
    assert post("/labels/tiny", json={"labels": {one: 1}}).json() == {"added": 0, "contradicted": [], "unknown": []}
    with workspace.read() as tx:
        assert {id: label.value for id, label in labels.get(tx, [one, two]).items()} == {one: 1, two: 0}
    assert "int expected" in error_of(post("/labels/tiny", json={"labels": {one: "1"}}), 422)
    assert "int expected" in error_of(post("/labels/tiny", json={"labels": {one: True}}), 422)
    error_of(post("/labels/tiny", json={"labels": {one: None}}), 422)
    error_of(post("/labels/nobody", json={"labels": {one: 1}}), 404)


def test_what_the_server_says_about_itself(running: Running) -> None:
    client = running[1].client
    assert client.get("/healthz").json() == {"alive": True}
    assert client.head("/healthz").status_code == 200
    assert client.get("/readyz").json()["ready"]
    served = {entry["model"]: entry for entry in client.get("/models").json()["models"]}
    assert served.keys() == {"tiny", "frail", "empty"}
    assert served["tiny"]["champion"]["inputs"] == {"x0": "float", "x1": "float", "n": "int", "colour": "text"}
    assert served["empty"]["champion"] is None


def samples(server: Server) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = server.client.get("/metrics").text
    return {(s.name, frozenset(s.labels.items())): s.value for family in text_string_to_metric_families(text) for s in family.samples}


def test_metrics_count_what_happened(running: Running) -> None:
    _, server = running
    good = ("everloop_requests_total", frozenset({"model": "tiny", "version": "1", "role": "champion", "status": "200"}.items()))
    bad = ("everloop_requests_total", frozenset({"model": "", "version": "", "role": "", "status": "404"}.items()))
    rows = ("everloop_rows_total", frozenset({"model": "tiny", "version": "1"}.items()))
    before = samples(server)
    server.predict([ROW, ROW])
    server.predict([ROW], "made-up")
    after = samples(server)
    assert after[good] - before.get(good, 0) == 1
    assert after[bad] - before.get(bad, 0) == 1
    assert after[rows] - before.get(rows, 0) == 2

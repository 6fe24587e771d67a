"""Processes that die, stop, or run out of disk: what was answered is kept, what was begun is answered."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from typing import Any

import httpx
import psutil
import pytest
from stand import ROW, Server, captured, deploy, eventually, serving, tiny

from everloop.core.errors import BadInput, Busy
from everloop.serve import listen
from everloop.serve.server import run
from everloop.store.workspace import Workspace


@pytest.fixture
def deployed(workspace: Workspace) -> Workspace:
    tiny(workspace)
    deploy(workspace, champion=1)
    return workspace


def hammer(server: Server, ids: list[str], over: threading.Event) -> list[threading.Thread]:
    def ask() -> None:
        with httpx.Client(base_url=server.url, timeout=20) as client:
            while not over.is_set():
                try:
                    reply = client.post("/predict/tiny", json=[ROW, ROW])
                    ids.extend(found["id"] for found in reply.json()["predictions"])
                except httpx.HTTPError:
                    return

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    return threads


def test_what_was_answered_survives_kill_9(deployed: Workspace) -> None:
    ids: list[str] = []
    for _ in range(2):
        with serving(deployed) as server:
            over = threading.Event()
            threads = hammer(server, ids, over)
            aim = len(ids) + 400
            eventually(lambda aim=aim: len(ids) > aim)
            server.process.kill()
            over.set()
            for thread in threads:
                thread.join()
            server.process.wait()
    assert len(ids) == len(set(ids))
    assert set(ids) <= captured(deployed).keys()


def test_a_stopping_server_answers_what_it_has_begun(workspace: Workspace) -> None:
    tiny(workspace, sleep_s=1.5)
    deploy(workspace, champion=1)
    with serving(workspace) as server:
        replies: list[httpx.Response] = []
        threads = [
            threading.Thread(target=lambda: replies.append(httpx.post(f"{server.url}/predict/tiny", json=[ROW], timeout=20)))
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        # One in the model and two waiting for it, or all three in the model.
        eventually(lambda: figure(server, "everloop_batch_rows_sum") + figure(server, "everloop_queued_rows") >= 3)
        assert server.stop() == 0
        for thread in threads:
            thread.join()
    assert [reply.status_code for reply in replies] == [200, 200, 200]
    assert {found["id"] for reply in replies for found in reply.json()["predictions"]} <= captured(workspace).keys()


def test_ctrl_c_ends_a_server_politely(deployed: Workspace) -> None:
    with serving(deployed) as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(timeout=20) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_port_in_use_is_named(deployed: Workspace, workers: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Busy, match=f"Port {port} on 127.0.0.1 is in use.*--port"):
            run(deployed, port=port, workers=workers)


def test_a_port_that_another_server_of_several_workers_holds_is_in_use_too() -> None:
    with listen.bind("127.0.0.1", 0, shared=True) as held:
        port = held.getsockname()[1]
        with listen.join("127.0.0.1", port) as worker:
            worker.listen()
            for shared in (False, True):
                with pytest.raises(Busy):
                    listen.bind("127.0.0.1", port, shared=shared)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"port": 70000}, "0 to 65535"),
        ({"port": -1}, "0 to 65535"),
        ({"host": "no.such.host.invalid"}, "not known"),
        ({"host": "192.0.2.1"}, "no address of this machine"),
        ({"workers": 0}, "1 to 256"),
    ],
)
def test_impossible_addresses_are_refused_in_a_sentence(workspace: Workspace, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        run(workspace, **{"port": 0, **settings})


def test_workers_share_the_port_are_restarted_and_end_together(deployed: Workspace) -> None:
    # A model that prints more than a pipe holds must not stop its worker.
    deploy(deployed, champion=tiny(deployed, chatty=True))
    with serving(deployed, workers=2) as server:
        parent = psutil.Process(server.process.pid)

        def crew() -> set[int]:
            return {child.pid for child in parent.children()}

        first = crew()
        assert len(first) == 2
        os.kill(min(first), signal.SIGKILL)
        eventually(lambda: len(crew()) == 2 and crew() != first)

        def answers() -> bool:
            try:
                return httpx.post(f"{server.url}/predict/tiny", json=[ROW]).status_code == 200
            except httpx.HTTPError:
                return False

        eventually(lambda: all(answers() for _ in range(10)))
        eventually(lambda: len([line for line in server.log.read_text().splitlines() if "Started server process" in line]) == 3)
        # Counters of all workers are added up, whichever is asked.
        before = total(server)
        for _ in range(20):
            assert answers()
        assert total(server) - before == 20
        last = crew()
        assert server.stop() == 0
        assert not any(psutil.pid_exists(pid) for pid in last)


def figure(server: Server, name: str) -> float:
    lines = server.client.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name + "{"))


def total(server: Server) -> float:
    lines = httpx.get(f"{server.url}/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("everloop_requests_total") and 'status="200"' in line)


def test_workers_end_when_their_parent_is_killed(deployed: Workspace) -> None:
    with serving(deployed, workers=2) as server:
        crew = psutil.Process(server.process.pid).children()
        assert len(crew) == 2
        server.process.kill()
        server.process.wait()
        assert psutil.wait_procs(crew, timeout=20)[1] == []


def test_a_model_that_cannot_be_captured_is_not_answered_until_it_can(deployed: Workspace) -> None:
    # A real limit of the kernel on file sizes stands for a full disk: writes beyond it fail part way.
    prelude = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, resource.RLIM_INFINITY))"
    ids: list[str] = []
    with serving(deployed, prelude=prelude) as server:
        big = [{**ROW, "colour": "x" * 600}] * 1000
        for _ in range(8):
            reply = server.predict(big)
            if reply.status_code != 200:
                break
            ids += [found["id"] for found in reply.json()["predictions"]]
        assert reply.status_code == 503
        assert "cannot be kept" in reply.json()["error"]
        assert reply.headers["retry-after"] == "1"
        assert ids
        assert server.client.get("/healthz").status_code == 200
        # There is room for a small one still.
        ids += [found["id"] for found in server.predict([ROW]).json()["predictions"]]
    assert captured(deployed).keys() == set(ids)


def test_a_predictions_folder_that_cannot_be_made_refuses_and_recovers(deployed: Workspace) -> None:
    deployed.predictions.write_text("in the way")
    with serving(deployed) as server:
        assert server.predict([ROW]).status_code == 503
        deployed.predictions.unlink()
        assert server.predict([ROW]).status_code == 200


def test_the_server_loads_no_framework_that_the_models_do_not_need(deployed: Workspace) -> None:
    code = (
        "import sys; import everloop.serve.service\n"
        "print([name for name in ('fastapi', 'pydantic', 'sklearn', 'mlflow', 'scipy', 'pandas', 'torch') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"

"""The supervisor with real children: what dies or hangs comes back, and nothing outlives it."""

from __future__ import annotations

import http.server
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

PATIENCE_S = 30.0


def until(what: str, look: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if look():
            return
        time.sleep(0.05)
    pytest.fail(f"waited {PATIENCE_S:g} s for {what}, in vain")


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a process that supervises one child, a Python program that is given the folder; `starts` in it gets a line a start."""
    started: list[subprocess.Popen[str]] = []

    def start(child: str, *, health: str = "") -> subprocess.Popen[str]:
        (tmp_path / "child.py").write_text(
            "import os, sys, time\n"
            "folder = sys.argv[1]\n"
            "with open(f'{folder}/starts', 'a') as file: file.write(f'{os.getpid()} {os.environ.get(\"EVERLOOP_STARTED_BEFORE\", \"\")}\\n')\n"
            + textwrap.dedent(child)
        )
        code = (
            "import sys\n"
            "from everloop.server import supervisor\n"
            "supervisor._HEALTH_EVERY_S, supervisor._HEALTH_TIMEOUT_S = 0.1, 0.5\n"
            f"child = supervisor.Child('child', [sys.executable, {str(tmp_path / 'child.py')!r}, {str(tmp_path)!r}], health={health!r})\n"
            "sys.exit(supervisor.supervise([child], say=lambda text: print(text, file=sys.stderr, flush=True), tick_s=0.05))\n"
        )
        started.append(subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def starts(folder: Path) -> list[int]:
    path = folder / "starts"
    return [int(line.split()[0]) for line in path.read_text().splitlines()] if path.exists() else []


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_killed_child_is_started_again_and_knows_it(supervise: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    process = supervise("time.sleep(600)")
    until("the first start", lambda: len(starts(tmp_path)) == 1)
    os.kill(starts(tmp_path)[0], signal.SIGKILL)
    until("the second start", lambda: len(starts(tmp_path)) == 2)
    assert (tmp_path / "starts").read_text().splitlines()[1].endswith(" 1")
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
    until("the child to be gone", lambda: is_gone(starts(tmp_path)[1]))


def test_children_do_not_outlive_a_killed_supervisor(supervise: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    process = supervise("time.sleep(600)")
    until("the start", lambda: len(starts(tmp_path)) == 1)
    process.kill()
    process.wait()
    until("the child to be gone", lambda: is_gone(starts(tmp_path)[0]))


def test_a_child_that_no_longer_answers_is_killed_and_started_again(
    supervise: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    answering = threading.Event()
    answering.set()

    class Health(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if answering.is_set() else 500)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Health) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        supervise("time.sleep(600)", health=f"http://127.0.0.1:{server.server_address[1]}/")
        until("the start", lambda: len(starts(tmp_path)) == 1)
        time.sleep(1.0)  # it answers several checks in this time
        assert len(starts(tmp_path)) == 1
        answering.clear()
        until("the second start", lambda: len(starts(tmp_path)) == 2)
        assert is_gone(starts(tmp_path)[0])
        server.shutdown()


def test_a_child_that_never_answered_yet_is_given_time(supervise: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        supervise("time.sleep(600)", health=f"http://127.0.0.1:{closed.getsockname()[1]}/")
        until("the start", lambda: len(starts(tmp_path)) == 1)
        time.sleep(1.5)  # more than enough checks to have killed it
        assert len(starts(tmp_path)) == 1


def test_a_project_that_is_unusable_from_the_beginning_ends_it(supervise: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    assert supervise("sys.exit(4)").wait(PATIENCE_S) == 4
    assert len(starts(tmp_path)) == 1


def test_changed_code_is_a_new_start_without_a_complaint(supervise: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    process = supervise("sys.exit(75) if not os.environ.get('EVERLOOP_STARTED_BEFORE') else time.sleep(600)")
    until("the second start", lambda: len(starts(tmp_path)) == 2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""

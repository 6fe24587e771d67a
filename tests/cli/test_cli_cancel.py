"""`everloop cancel` and `everloop logs`, on a run in another process."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

SCRIPT = """
import subprocess
import sys
from pathlib import Path

from everloop import pipeline, step


@step
def first(executor: str) -> int:
    print("first was here")
    return 1


@step
def long(after: int) -> None:
    child = subprocess.Popen(["sleep", "600"])
    Path("child").write_text(str(child.pid))
    child.wait()


@pipeline
def work(executor):
    long(first(executor))


work.executor = sys.argv[1]
work(sys.argv[1])
"""


def everloop(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "everloop", *words], cwd=folder, capture_output=True, text=True, check=False)


def newest(folder: Path) -> dict[str, Any]:
    found = everloop(folder, "runs", "--json")
    return json.loads(found.stdout)["runs"][0] if found.returncode == 0 else {}


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + 60
    while not (path.exists() and path.read_text()):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return path.read_text()


@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_a_run_is_cancelled_from_another_process(tmp_path: Path, executor: str) -> None:
    (tmp_path / "work.py").write_text(SCRIPT)
    process = subprocess.Popen([sys.executable, "work.py", executor], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    child = psutil.Process(int(wait_for(tmp_path / "child", process)))
    family = psutil.Process(process.pid).children(recursive=True)
    run = newest(tmp_path)["id"]

    answered = everloop(tmp_path, "cancel", run)
    assert answered.returncode == 0, answered.stderr
    process.wait(30)
    assert process.returncode != 0
    ended = newest(tmp_path)
    assert ended["status"] == "cancelled"
    assert ended["cancelled_by"]
    steps = json.loads(everloop(tmp_path, "runs", run, "--json").stdout)["steps"]
    assert [(step["name"], step["status"]) for step in steps] == [("first", "done"), ("long", "cancelled")]
    if executor == "processes":
        _, alive = psutil.wait_procs([*family, child], timeout=20)
        assert alive == []
    elif child.is_running():
        child.kill()  # in the run's own process a body's child is the body's business

    again = everloop(tmp_path, "cancel", run)
    assert again.returncode == 8
    assert "has ended already: cancelled" in again.stderr
    decisions = json.loads(everloop(tmp_path, "why", run, "--json").stdout)["explanation"]["decisions"]
    assert [decision["action"] for decision in decisions] == ["cancel"]

    assert everloop(tmp_path, "logs", run).stdout == "first was here\n"
    assert everloop(tmp_path, "logs", f"{run}/first").stdout == "first was here\n"
    missing = everloop(tmp_path, "logs", f"{run}/frist")
    assert missing.returncode == 5
    assert "Did you mean 'first'" in missing.stderr

"""What a body prints is in a file of its own, inline and in a worker, and still goes where it went."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from everloop.engine import logs
from everloop.engine.pipeline import pipeline
from everloop.engine.run import execute
from everloop.engine.step import step
from everloop.store import runs
from everloop.store.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace(tmp_path) as opened:
        yield opened


@step
def speak(word: str) -> int:
    print(word)
    print("aside", file=sys.stderr)
    return len(word)


@step
def silent() -> int:
    return 0


@step
def stumble() -> None:
    print("before")
    raise ValueError("on purpose")


@pipeline
def talk(word: str) -> None:
    speak(word), silent()
    stumble()


def log_files(workspace: Workspace, executor: str) -> dict[str, str]:
    with workspace.write() as tx:
        run = runs.claim(tx, runs.queue(tx, "", "talk", decision="").id)
    assert run is not None
    with pytest.raises(ValueError, match="on purpose"):
        execute(talk, f"hello from {executor} äß", workspace=workspace, run=run, executor=executor, workers=1)
    folder = logs.path_of(workspace.home, run.id, 1, "x").parent
    return {path.name: path.read_text() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_each_step_has_its_own_and_a_silent_one_has_none(workspace: Workspace, executor: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = sys.stdout
    assert log_files(workspace, executor) == {
        "00001-speak.log": f"hello from {executor} äß\naside\n",
        "00003-stumble.log": "before\n",
    }
    assert sys.stdout is out
    assert ("hello from inline" in capsys.readouterr().out) is (executor == "inline")


def test_a_stream_that_outlives_its_body_writes_to_no_closed_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "logs" / "one.log"
    with logs.captured(path):
        kept = sys.stdout
        print("within")
    kept.write("later\n")
    assert path.read_text() == "within\n"
    assert capsys.readouterr().out == "within\nlater\n"


def test_names_of_steps_make_no_paths(tmp_path: Path) -> None:
    assert logs.path_of(tmp_path, "run-1", 7, "../../etc/x y") == tmp_path / "logs" / "run-1" / "00007-.._.._etc_x_y.log"

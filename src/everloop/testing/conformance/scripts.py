"""Checks of whole processes: steps that a script defines, code that is edited on the way, several coordinators, one that is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from everloop.testing.conformance import errands
from everloop.testing.conformance.under import Under, alive, equal, gone, holds, notes, ran, until

_HELPER = "SCALE = {scale}\n\n\ndef scaled(value):\n    return SCALE * value\n"

_STEPS = '''
class Odd(Exception):
    """Defined in a script."""


class Pair:
    def __init__(self, left, right):
        self.left, self.right = left, right


LIMIT = 100


def checked(value):
    if value > LIMIT:
        raise Odd(value)
    return value


@step
def scale(folder, value):
    note(folder, f"scale {value}")
    return checked(helper.scaled(value))


@step
def pair(folder, left, right):
    note(folder, f"pair {left} {right}")
    return Pair(left, right)


@step
def width(pair):
    return pair.right - pair.left


def pipeline(folder, value):
    found = pair(folder, scale(folder, value), scale(folder, value + 1))
    return width(found)


def failing(folder):
    try:
        scale(folder, 1000).result()
    except Odd as error:
        return f"odd {error.args[0]}"
'''

_IMPORTS = """
import sys
from pathlib import Path

import helper
from everloop.engine.step import step
from everloop.testing.conformance.scripts import answer
from everloop.testing.conformance.under import note
"""

_MAIN = """
note(".", f"script {__name__}")

if __name__ == "__main__":
    answer(pipeline, ".", 4)
"""

_FAILING = """
if __name__ == "__main__":
    answer(failing, ".")
"""

_EDITING = """
if __name__ == "__main__":
    Path(helper.__file__).write_text({text!r})
    answer(pipeline, ".", 4)
"""

_BODIES = """
from everloop.testing.conformance import bodies
from everloop.testing.conformance.scripts import answer

answer(bodies.{name}, {arguments})
"""


def answer(pipeline: Callable[..., Any], *args: Any) -> None:
    """Called by a script: run the pipeline in its folder, and leave what came of it where the check looks for it."""
    file, executor, workers = sys.argv[1:4]
    found = ran(Under(executor, Path.cwd(), workers=int(workers)), pipeline, *args)
    error = None if found.error is None else [type(found.error).__name__, str(found.error)]
    Path(file).write_text(json.dumps({"value": found.value, "error": error, "rows": found.rows, "status": found.run.status}))


def steps_of_a_script(under: Under) -> None:
    """Defined in `__main__`, with its classes and exceptions, and helpers in a file beside it. No worker runs the script."""
    _write(under, "main.py", _IMPORTS + _STEPS + _MAIN)
    _write(under, "helper.py", _HELPER.format(scale=3))
    rows = ["scale", "scale", "pair", "width"]
    equal("the answer", _run(under, ["main.py"]), _answer(3, [(name, "done") for name in rows]))
    equal("the answer of `python -m`", _run(under, ["-m", "main"]), _answer(3, [(name, "hit") for name in rows]))
    bodies = ["pair 12 15", "scale 4", "scale 5"]
    equal("bodies, and how often the script ran", sorted(notes(under.folder)), [*bodies, *(["script __main__"] * 2)])


def exceptions_of_a_script(under: Under) -> None:
    _write(under, "main.py", _IMPORTS + _STEPS + _FAILING)
    _write(under, "helper.py", _HELPER.format(scale=3))
    equal("what a script makes of its own exception", _run(under, ["main.py"])["value"], "odd 3000")


def steps_of_a_projects_module(under: Under) -> None:
    _write(under, "mine.py", _IMPORTS + _STEPS)
    _write(under, "helper.py", _HELPER.format(scale=3))
    _write(
        under, "main.py", "from everloop.testing.conformance.scripts import answer\nfrom mine import pipeline\n\nanswer(pipeline, '.', 4)\n"
    )
    rows = ["scale", "scale", "pair", "width"]
    equal("the answer", _run(under, ["main.py"]), _answer(3, [(name, "done") for name in rows]))
    equal("the second answer", _run(under, ["main.py"]), _answer(3, [(name, "hit") for name in rows]))
    _write(under, "helper.py", _HELPER.format(scale="2 + 3"))
    equal("the answer of edited code", _run(under, ["main.py"]), _answer(5, [(name, "done") for name in rows]))


def code_edited_after_import_keeps_nothing_wrong(under: Under) -> None:
    """A file is edited when the coordinator has imported it and before workers do. The run is right by the code that it began with, or
    says that it cannot; a fresh process computes with the new code."""
    new = _HELPER.format(scale="3 + 4")
    _write(under, "helper.py", _HELPER.format(scale=3))
    _write(under, "main.py", _IMPORTS + _STEPS + _EDITING.format(text=new))
    mixed = _run(under, ["main.py"])
    if mixed["error"] is not None:
        holds(mixed["error"][0] == "Conflict" and "edited" in mixed["error"][1], f"the error is {mixed['error']}, expected Conflict")
        equal("the run's status", mixed["status"], "failed")
    else:
        equal("the value by the old code", mixed["value"], 3)
    equal("the file after the edit", (under.folder / "helper.py").read_text(), new)
    equal("the value in a fresh process", _run(under, ["main.py"])["value"], 7)
    _write(under, "helper.py", _HELPER.format(scale=3))
    _write(under, "main.py", _IMPORTS + _STEPS + _MAIN)
    equal("the value by the old code again", _run(under, ["main.py"])["value"], 3)


def two_coordinators_at_once_run_each_body_once(under: Under) -> None:
    _write(under, "main.py", _BODIES.format(name="crowd", arguments="'.'"))
    started = [_start(under, ["main.py"], f"answer-{number}.json") for number in range(2)]
    for process in started:
        _finish(under, process)
    for number in range(2):
        found = json.loads((under.folder / f"answer-{number}.json").read_text())
        equal("the answer", (found["value"], found["error"], found["status"]), (42, None, "done"))
    expected = sorted([*(f"doubled {value}" for value in range(7)), "number 0", "total"])
    equal("bodies of both", sorted(notes(under.folder)), expected)


def a_killed_coordinator_leaves_no_body(under: Under) -> None:
    """Whatever it had under way ends with it; the next run takes over what was done, and finishes."""
    _write(under, "main.py", _BODIES.format(name="gated", arguments="'.'"))
    first = _start(under, ["main.py"], "answer-0.json")
    try:
        for name in ("a", "b"):
            until(
                lambda name=name: (under.folder / f"family-{name}").exists() or first.poll() is not None,
                f"the body {name} did not begin",
                within_s=under.patience_s,
            )
        if first.poll() is not None:
            _finish(under, first)
            raise AssertionError("the run ended by itself, before what it waits for was there")
        pids = [pid for name in ("a", "b") for pid in errands.read_pids(under.folder / f"family-{name}")]
        holds(all(alive(pid) for pid in pids), "bodies ended by themselves")
    finally:
        os.kill(first.pid, signal.SIGKILL)
        first.communicate()
    gone(pids, within_s=under.patience_s)
    (under.folder / "gate").touch()
    again = _run(under, ["main.py"])
    rows = [("number", "hit"), ("unless_gate", "done"), ("unless_gate", "done"), ("total", "done")]
    equal("the answer", again, {"value": 3, "error": None, "rows": [list(row) for row in rows], "status": "done"})


ANYWHERE = (
    steps_of_a_script,
    exceptions_of_a_script,
    steps_of_a_projects_module,
    code_edited_after_import_keeps_nothing_wrong,
    two_coordinators_at_once_run_each_body_once,
)
APART = (a_killed_coordinator_leaves_no_body,)


def _write(under: Under, name: str, text: str) -> None:
    (under.folder / name).write_text(text)


def _answer(value: int, rows: list[tuple[str, str]]) -> dict[str, Any]:
    return {"value": value, "error": None, "rows": [list(row) for row in rows], "status": "done"}


def _start(under: Under, command: list[str], file: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *command, file, under.executor, str(under.workers)],
        cwd=under.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def _finish(under: Under, process: subprocess.Popen[bytes]) -> None:
    try:
        said, _ = process.communicate(timeout=2 * under.patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        said, _ = process.communicate()
        raise AssertionError(f"the process did not end within {2 * under.patience_s:g} s: {said.decode()}") from None
    holds(process.returncode == 0, f"the process ended with {process.returncode}: {said.decode()}")


def _run(under: Under, command: list[str]) -> dict[str, Any]:
    file = "answer.json"
    (under.folder / file).unlink(missing_ok=True)
    _finish(under, _start(under, command, file))
    return json.loads((under.folder / file).read_text())

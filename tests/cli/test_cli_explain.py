"""`everloop explain` on a real project that is edited between its runs."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from everloop.store import runs
from everloop.store.workspace import Workspace, using

STEPS = """
import explained_helpers
from everloop.engine.pipeline import pipeline
from everloop.engine.step import step

@step
def read(n):
    return list(range(n))

@step(version="7", env=["EXPLAINED_REGION"])
def fit(rows, folds):
    return explained_helpers.scale(sum(rows)) + folds

@step
def breaks(total):
    raise ValueError(f"cannot use {total}")

@step(effect=True)
def tell(total):
    return None

@pipeline
def nightly(n=3, folds=5, broken=False):
    rows = read(n)
    totals = [fit(rows, folds + number) for number in range(3)]
    tell(totals[0])
    if broken:
        breaks(totals[0])
"""
HELPERS = "def scale(x):\n    return x * 2\n"

Everloop = Callable[..., tuple[int, str, str]]


class Project:
    """Writes the project's modules, and executes the pipeline with what they say now."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, helpers: str = HELPERS, **arguments: object) -> str:
        (self.folder / "explained_steps.py").write_text(STEPS)
        (self.folder / "explained_helpers.py").write_text(helpers)
        forget()
        nightly = importlib.import_module("explained_steps").nightly
        with Workspace(self.folder) as workspace, using(workspace):
            if arguments.get("broken"):
                with pytest.raises(ValueError, match="cannot use"):
                    nightly(**arguments)
            else:
                nightly(**arguments)
            with workspace.read() as tx:
                return runs.find(tx, limit=1)[0].id


def forget() -> None:
    for name in ("explained_steps", "explained_helpers"):
        sys.modules.pop(name, None)
    importlib.invalidate_caches()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("EXPLAINED_REGION", "north")
    yield Project(tmp_path)
    forget()


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_a_run_says_of_each_step_why_it_ran(project: Project, everloop: Everloop, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = project.run(), project.run()
    third = project.run(HELPERS.replace("* 2", "* 3"))
    code, out, _ = everloop("explain", first)
    assert code == 0
    assert lines(out) == [
        "CALL STEP STATUS BECAUSE",
        "1 read done first run",
        "2-4 fit done first run",
        "5 tell done an effect always runs",
    ]
    assert lines(everloop("explain", second)[1])[1:] == [
        f"1 read hit hit, made in {first}",
        f"2-4 fit hit hit, made in {first}",
        "5 tell done an effect always runs",
    ]
    changed = lines(everloop("explain", third)[1])
    assert changed[1] == f"1 read hit hit, made in {first}"
    # All three: each is compared with the earlier result that is most like it, not with its neighbour.
    assert changed[2] == "2-4 fit done explained_helpers.scale changed"
    monkeypatch.setenv("EXPLAINED_REGION", "south")
    assert "environment EXPLAINED_REGION changed" in everloop("explain", project.run())[1]


def test_a_step_tells_its_newest_calls_and_what_its_key_covers(project: Project, everloop: Everloop) -> None:
    first, second = project.run(), project.run(folds=6)
    code, out, _ = everloop("explain", "fit", "--limit", "4")
    assert code == 0
    found = lines(out)
    assert found[0] == "RUN STATUS STARTED BECAUSE"
    assert [line.split()[0] for line in found[1:5]] == [f"{second}/4", f"{second}/3", f"{second}/2", f"{first}/4"]
    assert f"fit, call 4 of {second}: done" in found
    for title, part in {
        "code": "explained_helpers.scale ",
        "parameters": "folds 8 [",
        "inputs": "rows ",
        "surroundings": "environment EXPLAINED_REGION ",
        "also": "version 7",
    }.items():
        after = found[found.index(title) :]
        assert any(line.startswith(part) for line in after), (title, after)
    assert any(line.endswith("made by read") for line in found)
    assert "north" not in out


def test_one_call(project: Project, everloop: Everloop) -> None:
    first, second = project.run(), project.run()
    assert f"fit, call 3 of {first}: done" in everloop("explain", f"{first}/3")[1]
    # The first call of that name; a beginning of the run's id is enough where no other begins so.
    assert f"fit, call 2 of {second}: hit" in everloop("explain", f"{second}/fit")[1]
    assert f"made in  {first}" in everloop("explain", f"{second}/fit")[1]
    code, out, err = everloop("explain", f"{first}/tell")
    assert (code, "an effect always runs" in out, "Nothing is kept for it" in err) == (0, True, True)


def test_a_call_that_failed_and_a_result_that_is_gone(project: Project, everloop: Everloop) -> None:
    run = project.run(broken=True)
    assert "ValueError: cannot use" in everloop("explain", run)[1]
    code, out, err = everloop("explain", "breaks")
    assert (code, "error" in out, "Nothing is kept for it" in err) == (0, True, True)
    with Workspace(project.folder) as workspace, workspace.write() as tx:
        tx.sql("DELETE FROM cache")
    again = everloop("explain", f"{run}/fit")
    assert "Nothing is kept for it" in again[2]
    assert "because" in again[1]


def test_json(project: Project, everloop: Everloop) -> None:
    run = project.run()
    assert [call["step"] for call in json.loads(everloop("explain", run, "--json")[1])["run"]["calls"]] == [
        "read",
        "fit",
        "fit",
        "fit",
        "tell",
    ]
    step = json.loads(everloop("explain", "fit", "--json")[1])["step"]
    assert step["newest"]["parts"]["parameters"]["folds"]["text"] == "7"
    assert set(step["newest"]["parts"]["code"]) == {"explained_steps.fit", "explained_helpers.scale"}
    call = json.loads(everloop("explain", f"{run}/read", "--json")[1])["call"]
    assert call["call"]["because"] == "first run"


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("fitt", "Step 'fitt' does not exist. Did you mean 'fit'?"),
        ("run-zzz", "No run's id begins with 'run-zzz'"),
        ("{run}/red", "Did you mean 'read'?"),
        ("{run}/77", "has 5 calls of steps, and none with the number 77"),
    ],
)
def test_names_that_do_not_exist(project: Project, everloop: Everloop, what: str, text: str) -> None:
    run = project.run()
    code, out, err = everloop("explain", what.format(run=run))
    assert (code, out) == (5, "")
    assert text in err


def test_nothing_has_run(everloop: Everloop) -> None:
    code, _, err = everloop("explain", "fit")
    assert code == 5
    assert "nothing has run here yet" in err

"""`everloop gc` and `everloop pin` on a real project: what is freed, and that everything that matters still works afterwards."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ring_project import make_old, rows, run_once, write_project

from everloop import cli
from everloop.core.models import Candidate
from everloop.engine import artifacts
from everloop.store import ledger, records, registry
from everloop.store.models import open_version
from everloop.store.soundness import orphans, unsound
from everloop.store.workspace import Workspace

Everloop = Callable[..., tuple[int, str, str]]


@pytest.fixture
def everloop(capsys: pytest.CaptureFixture[str]) -> Everloop:
    """The command line in this process: (exit code, stdout, stderr)."""

    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(words)
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


@pytest.fixture(scope="module")
def cycles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after three cycles: a version, the same again, and a candidate on other data that is refused."""
    project = write_project(tmp_path_factory.mktemp("cycles") / "p")
    for number in (1, 1, 2):
        if number == 2:
            rows(seed=9).with_columns(kind=rows(seed=5)["kind"]).write_csv(project / "data" / "001.csv")
        run_once(str(project), None)
    return project


@pytest.fixture
def project(cycles: Path, tmp_path: Path) -> Path:
    """A copy, so old that nothing in it is too new to tell."""
    copy = tmp_path / "p"
    shutil.copytree(cycles, copy)
    make_old(copy)
    return copy


def sound(project: Path) -> None:
    with Workspace(project) as workspace:
        assert unsound(workspace, artifacts.reached) == []
        with workspace.read() as tx:
            assert ledger.verify(tx) == []


def test_what_is_dropped_is_said_and_what_answers_stays(everloop: Everloop, project: Path) -> None:
    place = ("--project", str(project))
    sound(project)
    code, out, err = everloop("gc", *place)
    assert (code, out) == (0, "")
    assert "Everything here is reached" in err
    code, out, _ = everloop("gc", *place, "--keep-runs", "0", "--dry-run", "--json")
    foreseen = json.loads(out)
    assert foreseen["collected"]["dry_run"] is True
    code, out, _ = everloop("gc", *place, "--keep-runs", "0", "--json")
    done: dict[str, Any] = json.loads(out)
    assert code == 0
    assert done["collected"]["freed"] == foreseen["collected"]["freed"]
    freed = done["collected"]["freed"]
    assert freed["runs"]["count"] == 2, "the run that made the version stays"
    assert freed["trees"]["count"] == 1
    assert freed["trees"]["bytes"] > 0
    assert done["bytes"] == sum(kind["bytes"] for kind in freed.values())
    sound(project)
    with Workspace(project) as workspace:
        assert [len(left) for left in orphans(workspace, artifacts.reached)] == [0] * 5
        with workspace.read() as tx:
            (version,) = registry.find(tx)
            (collected,) = ledger.find(tx, action="collect")
            refused = next(about for about in ledger.find(tx, action="refuse")[0].about if about.startswith("evaluation-"))
        assert open_version(workspace, version)[1] is not None
        assert collected.actor
    for words in (("why", "cells/1"), ("why", refused), ("why", collected.id), ("status",), ("runs",), ("models",)):
        code, out, err = everloop(*words, *place)
        assert code == 0, err
        assert out
    # The refused candidate's story is told down to its source.
    assert "snapshot" in everloop("why", refused, *place)[1]
    code, out, _ = everloop("status", *place, "--json")
    assert [loop["loop"] for loop in json.loads(out)["loops"]] == ["cells"]


def test_what_was_collected_is_made_again(everloop: Everloop, project: Path) -> None:
    everloop("gc", "--project", str(project), "--keep-runs", "0")
    again, seen = run_once(str(project), None)
    assert again.status == "refused"
    assert ("started", "fit") in seen, "its result was collected"
    sound(project)


def test_a_pin_keeps_a_candidate(everloop: Everloop, project: Path) -> None:
    place = ("--project", str(project))
    with Workspace(project) as workspace, workspace.read() as tx:
        (version,) = registry.find(tx)
        (candidate,) = [id for id in records.of_kind(tx, "candidate") if id != version.candidate]
        model = records.load(tx, candidate, Candidate).model
    code, out, err = everloop("pin", *place)
    assert (code, out) == (0, "")
    assert "Nothing is pinned" in err
    code, _, err = everloop("pin", candidate[:20], "--reason", "for the paper", *place)
    assert code == 0
    assert candidate in err
    code, out, _ = everloop("pin", *place)
    assert "for the paper" in out
    everloop("gc", *place, "--keep-runs", "0")
    with Workspace(project) as workspace:
        assert workspace.blobs.has_tree(model)
    sound(project)
    code, out, _ = everloop("pin", "--remove", candidate, "--json", *place)
    assert json.loads(out)["removed"] is True
    everloop("gc", *place)
    with Workspace(project) as workspace:
        assert not workspace.blobs.has_tree(model)
    sound(project)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("gc", "--keep-runs", "-1"), 2, "--keep-runs"),
        (("gc", "--keep-runs", "many"), 2, "number of runs"),
        (("gc", "--older-than", "30"), 2, "30d"),
        (("gc", "--older-than", "-3d"), 2, "--older-than"),
        (("pin", "run-zzz"), 5, "run-zzz"),
        (("pin", "candidate-"), 3, "beginning of several"),
        (("pin", "cells/9"), 5, "cells/1"),
        (("pin", "--remove"), 3, "Which one?"),
        (("pin", "--remove", "cells/1"), 5, "None is known"),
    ],
)
def test_bad_input(words: tuple[str, ...], code: int, says: str, everloop: Everloop, cycles: Path) -> None:
    ended, out, err = everloop(*words, "--project", str(cycles))
    assert (ended, out) == (code, "")
    assert says in err


def test_a_place_where_nothing_ran_is_not_made_one(everloop: Everloop, tmp_path: Path) -> None:
    for command in ("gc", "pin"):
        code, _, err = everloop(command, "--project", str(tmp_path))
        assert code == 5
        assert "nothing has run here yet" in err
    assert list(tmp_path.iterdir()) == []

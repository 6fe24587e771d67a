"""`everloop approve`: the list, the answers, and what goes wrong, in the words and exit codes that a person gets."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from everloop.engine.approval import approval
from everloop.engine.run import execute
from everloop.store import ledger, runs
from everloop.store.workspace import Workspace

Everloop = Callable[..., tuple[int, str, str]]


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace(tmp_path) as opened:
        yield opened


def asked(workspace: Workspace, question: str, timeout: float | None = None) -> tuple[str, str]:
    """A run that waits: (its id, that of its question)."""
    with workspace.write() as tx:
        run = runs.claim(tx, runs.queue(tx, "bikes", "cycle", decision="").id)
    assert run is not None
    execute(lambda: approval(question, about="version 3", timeout=timeout), workspace=workspace, run=run)
    with workspace.read() as tx:
        return run.id, str(runs.get(tx, run.id).result["approval"])


def test_what_waits_is_listed_answered_and_explained(workspace: Workspace, everloop: Everloop) -> None:
    assert everloop("approve")[1:] == ("", "Nothing waits for a person.\n")
    run, id = asked(workspace, "Release it?", timeout=3600)
    _, second = asked(workspace, "And this?")
    code, out, err = everloop("approve")
    assert code == 0
    assert "Release it?" in out.splitlines()[1]
    assert "And this?" in out.splitlines()[2]
    assert "everloop approve ID" in err
    state = json.loads(everloop("approve", "--json")[1])["approvals"][0]
    assert (state["approval"]["id"], state["waiting"], state["approval"]["about"]) == (id, [run], ["'version 3'"])

    code, out, err = everloop("approve", id[:20], "--reason", "good figures")
    assert code == 0
    assert out.startswith("'Release it?': ")
    assert out.endswith("good figures.\n")
    assert f"{run} is queued again" in err
    code, out, _ = everloop("approve", second.removeprefix("approval-"), "--reject", "--json")
    assert (code, json.loads(out)["approval"]["answer"]) == (0, "rejected")
    assert everloop("approve")[1] == ""
    assert everloop("approve", "--all")[1].count("ed it at") == 2
    with workspace.read() as tx:
        decision = ledger.find(tx, about=id)[0]
    assert "good figures" in everloop("why", run)[1]
    assert "good figures" in everloop("why", decision.id)[1]


def test_what_cannot_be_answered_is_said_so(workspace: Workspace, everloop: Everloop) -> None:
    assert everloop("approve", "approval-1")[0] == 5
    _, id = asked(workspace, "Release it?")
    code, _, err = everloop("approve", f"{id[:-1]}!")
    assert (code, f"Did you mean '{id}'" in err) == (5, True)
    code, _, err = everloop("approve", "--reject")
    assert (code, "Which question?" in err) == (3, True)
    assert everloop("approve", id, "--reject", "--reopen")[0] == 2
    assert everloop("approve", id, "--reopen")[0] == 8
    assert everloop("approve", id)[0] == 0
    code, _, err = everloop("approve", id, "--reject")
    assert (code, "has an answer already: " in err, "approved it at" in err) == (8, True, True)
    code, out, _ = everloop("approve", id, "--reopen", "--reason", "too fast")
    assert (code, "asked again: too fast. Before, " in out) == (0, True)
    assert everloop("approve", id, "--reject")[0] == 0
    with workspace.read() as tx:
        assert [decision.action for decision in ledger.find(tx, about=id)] == ["approve", "reopen", "reject"]
        assert ledger.verify(tx) == []


def test_who_comes_too_late_finds_what_the_policy_said(workspace: Workspace, everloop: Everloop) -> None:
    run, id = asked(workspace, "Release it?", timeout=0.05)
    time.sleep(0.06)
    code, _, err = everloop("approve", id)
    assert (code, "it counts as rejected" in err) == (8, True)
    with workspace.read() as tx:
        (decision,) = ledger.find(tx, about=run)
        assert (decision.rule, decision.action) == ("approval timeout", "reject")
        assert runs.get(tx, run).status == "queued"


def test_ids_that_begin_alike_need_more_letters(workspace: Workspace, everloop: Everloop) -> None:
    for number in range(2):
        asked(workspace, f"Question {number}?")
    code, _, err = everloop("approve", "approval-")
    assert (code, "several approvals" in err) == (3, True)


def test_a_folder_where_nothing_ran_gets_no_workspace(everloop: Everloop, tmp_path: Path) -> None:
    assert everloop("approve", "--project", str(tmp_path / "nowhere"))[0] == 5

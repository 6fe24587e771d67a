"""A loop that asks a person before it releases: nothing serves until there is a yes; a no refuses; both leave decisions."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

import pytest
from ring_project import LOOP_PY, write_project

from everloop.core.runs import Run
from everloop.project import load
from everloop.runner import perform
from everloop.store import approvals, ledger, registry, runs
from everloop.store.workspace import Workspace

ASKING = LOOP_PY.replace('metrics=["accuracy"]', 'metrics=["accuracy"], approval="Release it?"')


def again(workspace: Workspace, folder: Path, id: str) -> Run:
    """What the scheduler does with a queued run."""
    with workspace.write() as tx:
        run = runs.claim(tx, id)
    assert run is not None
    return perform(workspace, load(folder)["cells"], run)


@pytest.mark.parametrize(("says", "status", "champion"), [("approved", "done", 1), ("rejected", "refused", None)])
def test_a_person_decides_the_release(tmp_path: Path, says: Literal["approved", "rejected"], status: str, champion: int | None) -> None:
    folder = write_project(tmp_path / "project", loop=ASKING)
    with Workspace(folder) as workspace:
        with workspace.write() as tx:
            id = runs.queue(tx, "cells", "cycle", decision="").id
        parked = again(workspace, folder, id)
        assert (parked.status, parked.ended_at) == ("waiting", None)
        with workspace.read() as tx:
            assert registry.deployment(tx, "cells").champion is None
            (asked,) = approvals.find(tx)
            pages = [decision for decision in ledger.find(tx, loop="cells") if decision.rule == "approval"]
        assert "Release it?" in asked.question
        assert any("waits for" in decision.reason for decision in pages)

        with workspace.write() as tx:
            _, decision, going_on = approvals.answer(tx, asked.id, says, by="pat@desk", reason="looked at it", now=time.time())
        assert going_on == [id]
        with workspace.read() as tx:
            assert runs.get(tx, id).status == "queued"
        ended = again(workspace, folder, id)
        assert ended.status == status
        with workspace.read() as tx:
            assert registry.deployment(tx, "cells").champion == champion
            bodies = [row.name for row in runs.steps_of(tx, id) if row.status == "done"]
            assert bodies.count("fit") == 1
            assert ledger.verify(tx) == []
            assert decision in ledger.find(tx, about=id)

"""The whole ring, from source to rollback, in one process: the same on SQLite and on PostgreSQL."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from ring_project import rows, run_once, write_project

from everloop import Rollout, triggers
from everloop.core.live import Decision, Prediction
from everloop.loop import watch
from everloop.project import Loop, load
from everloop.queries.chain import explain
from everloop.release.deploy import rollback
from everloop.runner import perform, request
from everloop.store import captures, labels, ledger, records, registry, runs
from everloop.store.models import open_version
from everloop.store.workspace import Workspace

WINDOW = 100


def answer(workspace: Workspace, table: pl.DataFrame) -> list[str]:
    """The champion answers rows and each answer is captured, as the data plane does it; the predictions' ids."""
    with workspace.read() as tx:
        entry = registry.by_alias(tx, "cells", "champion")
    candidate, model = open_version(workspace, entry)
    inputs = [column.name for column in candidate.signature.inputs]
    outputs, probabilities = model.predict(table.select(inputs))
    assert probabilities is not None
    writer = captures.Writer(workspace.predictions, "cells")
    made: list[Prediction] = []
    for features, output, chances in zip(table.select(inputs).rows(), outputs.tolist(), probabilities.tolist(), strict=True):
        made.append(
            Prediction(
                id=writer.next_id(),
                loop="cells",
                version=entry.number,
                role="champion",
                at=time.time(),
                features=list(features),
                output=output,
                probabilities=chances,
                request="r",
            )
        )
    writer.append(made)
    writer.close()
    return [prediction.id for prediction in made]


def acted(decisions: list[Decision]) -> list[tuple[str, str]]:
    return [(decision.action, decision.outcome) for decision in decisions]


def test_the_ring_closes(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERLOOP_DATABASE_URL", database_url)
    project = write_project(tmp_path / "p")
    first, _ = run_once(str(project), None)
    again, seen = run_once(str(project), None)
    assert (first.status, first.result["version"]) == ("done", "cells/1")
    assert again.result["summary"] == "Nothing new: this is version cells/1 already."
    assert [name for kind, name in seen if kind == "started"] == ["enter", "nothing_new"]

    with Workspace(project) as workspace:
        loop = replace(
            load(project)["cells"],
            window_rows=WINDOW,
            triggers=[triggers.performance_drop("accuracy"), triggers.new_rows(50)],
            rollout=Rollout(shadow_rows=20, canary_rows=20, min_labels=10),
        )
        close_the_ring(workspace, loop)


def close_the_ring(workspace: Workspace, loop: Loop) -> None:
    calm = answer(workspace, rows(WINDOW, seed=1))
    assert [d for d in watch(workspace, loop, now=time.time(), actor="test") if d.action == "page"] == []

    drifted = rows(WINDOW, seed=2).with_columns(size=pl.col("size") * 0.1 + 1.0, shape=pl.col("shape") * 0.1 - 0.5)
    ids = answer(workspace, drifted)
    alarmed = watch(workspace, loop, now=time.time(), actor="test")
    assert ("page", "done") in acted(alarmed)
    assert ("start_run", "done") in acted(alarmed)
    assert watch(workspace, loop, now=time.time(), actor="test") == []

    with workspace.write() as tx:
        assert labels.add(tx, "cells", dict(zip(ids, drifted["kind"], strict=True))) == (WINDOW, [])
        assert labels.add(tx, "cells", {ids[0]: "neither", ids[1]: drifted["kind"][1]}) == (0, [ids[0]])
        queued = runs.find(tx, status="queued")
        assert len(queued) == 1
        claimed = runs.claim(tx, queued[0].id)
        assert claimed is not None
        assert runs.claim(tx, queued[0].id) is None
    learnt = perform(workspace, loop, claimed)
    assert learnt.status == "done", learnt.error
    assert learnt.result["rows"] == rows().height + WINDOW
    assert learnt.result["version"] == "cells/2"
    with workspace.read() as tx:
        assert registry.deployment(tx, "cells").stage == "shadow"

    refused = perform(workspace, loop, request(workspace, "cells", options={"params": {"C": 1e-9}}, foreground=True))
    assert refused.status in ("refused", "done")

    went_back = rollback(workspace, "cells", actor="ana", reason="a look at it", now=time.time())
    check(workspace, calm[0], went_back)


def check(workspace: Workspace, prediction: str, went_back: Decision) -> None:
    with workspace.read() as tx:
        deployment = registry.deployment(tx, "cells")
        assert (deployment.champion, deployment.challenger) == (1, None)
        assert ledger.verify(tx) == []
        assert records.dangling(tx) == []
        entries: list[Any] = ledger.find(tx)
    assert entries[-1].id == went_back.id
    assert [link.kind for link in explain(workspace, prediction).chain][-1] == "source"
    assert went_back.id in [decision.id for decision in explain(workspace, "cells/2").decisions]

"""Runs, versions and aliases -> the tracker that people look at.

Our tables are the truth; the tracker shows them. What it has not been told yet is known from our side alone (a version without a
tracker run, a deployment whose revision is behind), so that a crash or a tracker that is down is made up for the next time.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

from everloop.core import plugins
from everloop.core.errors import NotFound
from everloop.core.models import Candidate, Evaluation, Metric, Version
from everloop.core.ports import Tracker
from everloop.core.runs import Run
from everloop.store import records, registry, runs
from everloop.store.workspace import Workspace

CURSOR = "tracker"


def is_behind(workspace: Workspace, loop: str) -> bool:
    """True when the tracker has not been told of a run that ended, a version, or the present deployment."""
    with workspace.read() as tx:
        known = registry.cursor(tx, loop, CURSOR)
        return (
            known.get("revision", 0) != registry.deployment(tx, loop).revision
            or any(not entry.tracker_run for entry in registry.find(tx, loop=loop))
            or bool(runs.ended_since(tx, loop, known.get("ended_at", 0.0)))
        )


def reflect(workspace: Workspace, loop: str, *, tracker: str = "mlflow") -> None:
    """Tell the tracker what it does not know yet: runs, versions, aliases. May be repeated at any time, from any process."""
    build = cast("Callable[[str, str], Tracker]", plugins.find("trackers", tracker))
    told = build(workspace.tracking_uri, (workspace.home / "artifacts").as_uri())
    with workspace.read() as tx:
        known = registry.cursor(tx, loop, CURSOR)
        ended = runs.ended_since(tx, loop, known.get("ended_at", 0.0))
        unseen = [entry for entry in registry.find(tx, loop=loop) if not entry.tracker_run]
        deployment = registry.deployment(tx, loop)
    for run in ended:
        _log(workspace, told, run)
    for entry in unseen:
        _register(workspace, told, entry)
    if known.get("revision", 0) != deployment.revision:
        told.set_aliases(loop=loop, aliases={"champion": deployment.champion, "challenger": deployment.challenger})
    now_known = {"revision": deployment.revision, "ended_at": max([known.get("ended_at", 0.0), *(run.ended_at or 0.0 for run in ended)])}
    if now_known != known:
        with workspace.write() as tx:
            registry.put_cursor(tx, loop, CURSOR, now_known)


def _register(workspace: Workspace, told: Tracker, entry: registry.Registered) -> None:
    with workspace.read() as tx:
        made_by = runs.get(tx, entry.run)
        version = records.load(tx, entry.version, Version)
    tracker_run = _log(workspace, told, made_by)
    told.register(
        loop=entry.loop,
        number=entry.number,
        model_uri=_shown(workspace, entry),
        tracker_run=tracker_run,
        tags={
            "everloop.version": entry.version,
            "everloop.verdict": version.verdict,
            "everloop.model": entry.model,
            "everloop.run": entry.run,
        },
    )
    with workspace.write() as tx:
        registry.note_tracker_run(tx, entry.loop, entry.number, tracker_run)


def _shown(workspace: Workspace, entry: registry.Registered) -> str:
    """Where the tracker's clients find the model. Not our own folder: MLflow's client leaves files in a local model that it loads, and
    ours is served only while it is exactly what was registered."""
    if workspace.blobs.folder is None:
        return workspace.blobs.tree_uri(entry.model)
    copy = workspace.home / "artifacts" / "models" / entry.loop / str(entry.number)
    if not copy.is_dir():
        copy.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=copy.parent) as scratch:
            shutil.copytree(workspace.blobs.tree(entry.model), Path(scratch) / "model")
            (Path(scratch) / "model").rename(copy)
    return copy.as_uri()


def _log(workspace: Workspace, told: Tracker, run: Run) -> str:
    metrics: tuple[Metric, ...] = ()
    params: dict[str, object] = {}
    ids = {
        name: str(run.result[name])
        for name in ("snapshot", "prepared", "candidate", "evaluation", "verdict", "version")
        if run.result.get(name)
    }
    with workspace.read() as tx:
        try:
            if "candidate" in ids:
                candidate = records.load(tx, ids["candidate"], Candidate)
                params = {**candidate.params, "estimator": candidate.estimator, "seed": candidate.seed}
            if "evaluation" in ids:
                metrics = tuple(metric for metric in records.load(tx, ids["evaluation"], Evaluation).metrics if not metric.slice)
        except NotFound:
            params, metrics = {}, ()
    return told.log_run(
        loop=run.loop,
        run=run.id,
        status=run.status,
        params=params,
        metrics=metrics,
        tags={f"everloop.{name}": id for name, id in ids.items()} | {"everloop.summary": str(run.result.get("summary", ""))},
        started_at=run.started_at or run.queued_at,
        ended_at=run.ended_at or time.time(),
    )

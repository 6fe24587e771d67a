"""Loops that answered, with nothing behind them but records and captured segments: enough to know what their rows mean."""

from __future__ import annotations

from typing import Any, Literal

from everloop.core.live import Prediction, Role
from everloop.core.models import Candidate, Signature, Version
from everloop.core.tables import Column, Prepared
from everloop.store import captures, labels, records, registry
from everloop.store.workspace import Workspace

AT = 1_700_000_000.25


def release(
    workspace: Workspace,
    inputs: tuple[Column, ...],
    output: Column,
    *,
    loop: str = "demand",
    task: Literal["regression", "classification"] = "regression",
) -> int:
    """A registered version; its number."""
    prepared = Prepared(snapshot="s", target=output.name, features=inputs, task=task, split="", transform="", rows={})
    candidate = Candidate(
        prepared=prepared.id, model="m", signature=Signature(inputs=inputs, output=output, task=task), flavor="sklearn",
        trusted=True, estimator="E", params={}, seed=0, environment={},
    )  # fmt: skip
    version = Version(loop=loop, candidate=candidate.id, evaluation="e", verdict="v")
    with workspace.write() as tx:
        records.keep(tx, prepared, candidate, version)
        return registry.register(tx, version, model="m", run="r").number


def answer(writer: captures.Writer, version: int, features: list[Any], role: Role = "champion", **more: Any) -> str:
    """Capture one prediction; its id."""
    id = writer.next_id()
    given = {"at": AT, "output": 0.0, "loop": "demand"} | more
    writer.append([Prediction(id=id, version=version, role=role, features=features, **given)])
    return id


def label(workspace: Workspace, id: str, value: bool | int | float | str, at: float, *, loop: str = "demand") -> None:
    with workspace.write() as tx:
        labels.add(tx, loop, {id: value}, at=at)

"""How the loops of a workspace stand now."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from everloop.core.errors import unknown
from everloop.core.live import Decision, Deployment, Window
from everloop.core.models import Candidate, Evaluation, Metric, Version
from everloop.core.runs import Run
from everloop.monitor.watch import latest
from everloop.store import captures, labels, ledger, records, registry, runs
from everloop.store.database import Transaction
from everloop.store.schema import decisions
from everloop.store.schema import runs as runs_table
from everloop.store.workspace import Workspace


class VersionState(msgspec.Struct, frozen=True, kw_only=True):
    """A registered version, and whether it answers."""

    name: str
    stands: str
    estimator: str
    model: str
    metrics: tuple[Metric, ...]
    created_at: float
    run: str


class LoopState(msgspec.Struct, frozen=True, kw_only=True):
    """One loop at a glance."""

    loop: str
    deployment: Deployment
    champion: VersionState | None
    runs: tuple[Run, ...]
    window: Window | None
    labels: int
    decisions: tuple[Decision, ...]


def loop_names(workspace: Workspace) -> list[str]:
    """Every loop that ever decided, ran, deployed or answered something here."""
    with workspace.read() as tx:
        known = set(registry.loops(tx))
        known |= set(tx.execute(sa.select(decisions.c.loop).distinct()).scalars())
        known |= set(tx.execute(sa.select(runs_table.c.loop).distinct()).scalars())
    # What belongs to no loop (a pipeline that was simply called, a collection) is kept under an empty name.
    return sorted((known | set(captures.loops(workspace.predictions))) - {""})


def must_know(workspace: Workspace, loop: str) -> None:
    """NotFound, with the closest match, for a loop that never did anything here."""
    names = loop_names(workspace)
    if loop not in names:
        raise unknown("Loop", loop, names)


def versions(workspace: Workspace, loop: str | None = None) -> list[VersionState]:
    """Registered versions, oldest first."""
    with workspace.read() as tx:
        return [_version_state(tx, entry) for entry in registry.find(tx, loop=loop)]


def state(workspace: Workspace, loop: str, *, recent: int = 5) -> LoopState:
    with workspace.read() as tx:
        deployment = registry.deployment(tx, loop)
        champion = None if deployment.champion is None else _version_state(tx, registry.get(tx, loop, deployment.champion))
        decided = ledger.find(tx, loop=loop, newest_first=True, limit=recent)
        newest = None if deployment.champion is None else latest(tx, loop, deployment.champion)
        return LoopState(
            loop=loop,
            deployment=deployment,
            champion=champion,
            runs=tuple(runs.find(tx, loop=loop, limit=recent)),
            window=newest[0] if newest else None,
            labels=labels.count(tx, loop),
            decisions=tuple(reversed(decided)),
        )


def stands(deployment: Deployment, number: int) -> str:
    """champion, shadow, canary, previous, or empty."""
    if number == deployment.champion:
        return "champion"
    if number == deployment.challenger:
        return deployment.stage
    return "previous" if number == deployment.previous else ""


def _version_state(tx: Transaction, entry: registry.Registered) -> VersionState:
    version = records.load(tx, entry.version, Version)
    candidate = records.load(tx, entry.candidate, Candidate)
    evaluation = records.load(tx, version.evaluation, Evaluation)
    return VersionState(
        name=entry.name,
        stands=stands(registry.deployment(tx, entry.loop), entry.number),
        estimator=candidate.estimator,
        model=entry.model,
        metrics=tuple(metric for metric in evaluation.metrics if not metric.slice),
        created_at=entry.created_at,
        run=entry.run,
    )

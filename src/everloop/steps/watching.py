"""Captured predictions to decisions: the lower half of the ring, one function an arrow."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from everloop.core import plugins
from everloop.core.live import Decision
from everloop.core.ports import Extract, Place, Restart
from everloop.project import Loop
from everloop.steps.lookup import rollout
from everloop.store import registry, runs
from everloop.store.workspace import Workspace, using

if TYPE_CHECKING:
    from everloop.monitor.detectors.detector import Detector


def observe(workspace: Workspace, loop: Loop, *, now: float, actor: str) -> list[Decision]:
    """Close the windows that are full, judge them, and page a person where a verdict failed."""
    from everloop.data.profile import summarise
    from everloop.monitor.watch import watch

    # Every detector that is installed looks at every window; whether it has something to say is its own business.
    detectors = [cast("Callable[[], Detector]", plugins.find("detectors", name))() for name in plugins.names("detectors")]
    watched = watch(
        workspace,
        loop.name,
        summarise=summarise,
        now=now,
        actor=actor,
        window_rows=loop.window_rows,
        detectors=detectors,
        sinks=tuple(loop.sinks),
    )
    return [decision for one in watched for decision in one.decisions]


def trigger(workspace: Workspace, loop: Loop, *, now: float, actor: str) -> list[Decision]:
    """Show every trigger the newest window and what the source has now; those that fire share one run."""
    from everloop.trigger.fire import consider

    return consider(workspace, loop.name, loop.triggers, evidence(workspace, loop), now=now, actor=actor) if loop.triggers else []


def evidence(workspace: Workspace, loop: Loop) -> Any:
    from everloop.monitor.watch import latest
    from everloop.trigger.evidence import Evidence

    with workspace.read() as tx:
        number = registry.deployment(tx, loop.name).champion
        newest = None if number is None else latest(tx, loop.name, number)
        begun = [run for run in runs.find(tx, loop=loop.name, limit=50) if run.started_at is not None]
    stamp, rows = _rows_now(workspace, loop)
    seen = next((int(str(run.result["rows"])) for run in begun if run.result.get("rows") is not None), None)
    return Evidence(
        window=newest[0] if newest else None,
        verdict=newest[1] if newest else None,
        new_rows=rows - seen if seen is not None else 0,
        stamp=stamp,
        since=begun[0].started_at if begun else None,
    )


def _rows_now(workspace: Workspace, loop: Loop) -> tuple[str, int]:
    """The source's stamp, and how many rows it has; read only when the stamp is another one than last time."""
    here = Place(loop.name, workspace.project, workspace.home)
    with using(workspace):
        stamp = loop.source.stamp(here)
        with workspace.read() as tx:
            known = registry.cursor(tx, loop.name, "source")
        if known.get("stamp") != stamp:
            known = {"stamp": stamp, "rows": _count(loop.source.read(here))}
            with workspace.write() as tx:
                registry.put_cursor(tx, loop.name, "source", known)
    return stamp, int(known["rows"])


def _count(extract: Extract) -> int:
    """Rows of an extract, one batch in memory at a time."""
    while True:
        try:
            return sum(batch.height for batch in extract.batches())
        except Restart:
            continue


def advance(workspace: Workspace, loop: Loop, *, now: float, actor: str) -> list[Decision]:
    """The rollout one step on, or back, if its verdict says so."""
    from everloop.release.deploy import advance as move

    return move(workspace, loop.name, rollout(loop), now=now, actor=actor)


def deliver_pages(workspace: Workspace, *, now: float) -> None:
    from everloop.monitor.pages import deliver_pending

    deliver_pending(workspace, now)

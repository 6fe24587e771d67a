"""One loop at a glance: how it stands, where on the ring, and what somebody should look at."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from everloop.core.live import Decision
from everloop.core.runs import Run
from everloop.queries import status
from everloop.queries.ring import Station, ring
from everloop.queries.runs import is_abandoned
from everloop.queries.windows import WindowState, windows, with_verdicts
from everloop.store import ledger, runs
from everloop.store.database import Transaction
from everloop.store.schema import pages
from everloop.store.workspace import Workspace


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """How far a page came by one sink; `delivered_at` is None until it got through."""

    sink: str
    delivered_at: float | None
    tries: int
    error: str


class Paged(msgspec.Struct, frozen=True, kw_only=True):
    """A page to a person. `open` until, after it, a run was done, the champion changed or somebody resumed the loop."""

    decision: Decision
    open: bool
    deliveries: tuple[Delivery, ...]


class Glance(msgspec.Struct, frozen=True, kw_only=True):
    """`trouble` says in sentences what somebody should look at; empty when nothing."""

    state: status.LoopState
    window: WindowState | None
    page: Paged | None
    ring: tuple[Station, ...]
    trouble: tuple[str, ...]


class LoopReport(msgspec.Struct, frozen=True, kw_only=True):
    """All about one loop. `decisions` are newest first, `windows` oldest first, `versions` newest first."""

    glance: Glance
    versions: tuple[status.VersionState, ...]
    windows: tuple[WindowState, ...]
    decisions: tuple[Decision, ...]


def glances(workspace: Workspace) -> list[Glance]:
    return [glance(workspace, loop) for loop in status.loop_names(workspace)]


def glance(workspace: Workspace, loop: str) -> Glance:
    state = status.state(workspace, loop)
    run = state.runs[0] if state.runs else None
    with workspace.read() as tx:
        page = _last_page(tx, state)
        steps = runs.steps_of(tx, run.id) if run else []
        window = with_verdicts(tx, state.window) if state.window else None
    stations = ring(
        state.deployment,
        run=run,
        steps=steps,
        abandoned=run is not None and is_abandoned(run),
        window=window,
        last=state.decisions[-1] if state.decisions else None,
        page=page.decision if page and page.open else None,
    )
    return Glance(state=state, window=window, page=page, ring=stations, trouble=(*_wrong(stations), *_unheard(page)))


def report(workspace: Workspace, loop: str, *, recent: int = 20) -> LoopReport:
    """Raises NotFound, with the closest match, for a loop that does not exist."""
    status.must_know(workspace, loop)
    with workspace.read() as tx:
        decisions = ledger.find(tx, loop=loop, newest_first=True, limit=recent)
    return LoopReport(
        glance=glance(workspace, loop),
        versions=tuple(reversed(status.versions(workspace, loop))),
        windows=tuple(windows(workspace, loop)),
        decisions=tuple(decisions),
    )


def _last_page(tx: Transaction, state: status.LoopState) -> Paged | None:
    found = ledger.find(tx, loop=state.loop, action="page", outcome="done", newest_first=True, limit=1)
    if not found:
        return None
    page = found[0]
    rows = tx.execute(sa.select(pages).where(pages.c.decision == page.id).order_by(pages.c.sink))
    resumed = ledger.find(tx, loop=state.loop, action="resume", outcome="done", after=page.seq, limit=1)
    answered = resumed or state.deployment.champion_since > page.at or any(_done_after(run, page.at) for run in state.runs)
    deliveries = [Delivery(sink=row.sink, delivered_at=row.delivered_at, tries=row.tries, error=row.error) for row in rows]
    return Paged(decision=page, open=not answered, deliveries=tuple(deliveries))


def _done_after(run: Run, at: float) -> bool:
    return run.status == "done" and run.started_at is not None and run.started_at > at


def _wrong(stations: tuple[Station, ...]) -> list[str]:
    return [f"{station.name}: {station.note}" for station in stations if station.tone == "wrong"]


def _unheard(page: Paged | None) -> list[str]:
    """A page that reached nobody by some sink is trouble of its own, however old."""
    if page is None:
        return []
    return [
        f"the page by {delivery.sink!r} was not delivered after {delivery.tries} tries: {delivery.error}"
        for delivery in page.deliveries
        if delivery.delivered_at is None and delivery.tries
    ]

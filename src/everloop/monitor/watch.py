"""New captured predictions and labels of a loop -> windows, verdicts, pages; each window closed once, whatever dies in between."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import starmap

import msgspec

from everloop.core.errors import BadInput, NotFound
from everloop.core.live import Deployment, Window
from everloop.core.verdict import Verdict
from everloop.monitor import pages
from everloop.monitor.assess import DETECTORS, Summarise
from everloop.monitor.detectors.detector import Detector
from everloop.monitor.judge import Judge, Moved, Watched, first_time, load_cursor, move
from everloop.monitor.late import judge_again
from everloop.monitor.windows import Cursor, Group, Row, Taken, close
from everloop.store import captures, ledger, records, registry
from everloop.store.database import Transaction
from everloop.store.workspace import Workspace

CHUNK_ROWS = 50_000
# A version that was just replaced may still answer for a moment, in a server that has not noticed yet.
RETIRED_AFTER_S = 60.0


def watch(
    workspace: Workspace,
    loop: str,
    *,
    summarise: Summarise,
    now: float,
    actor: str,
    window_rows: int = 500,
    detectors: Sequence[Detector] = DETECTORS,
    sinks: Sequence[str] = pages.SINKS,
    page_cooldown_s: float = pages.COOLDOWN_S,
) -> list[Watched]:
    """Close every window that is full, and judge recent ones again whose labels came. Each one commits alone: its record, its verdict,
    its pages, and how far windows have come. Only the champion's windows page.

    Safe from several processes at once: the slower one stops and leaves the rest to the other.
    """
    if not 0 < window_rows <= CHUNK_ROWS:
        raise BadInput(f"A window must have 1 to {CHUNK_ROWS} rows, not {window_rows}.")
    judge = Judge(
        workspace=workspace,
        loop=loop,
        summarise=summarise,
        now=now,
        actor=actor,
        detectors=detectors,
        sinks=sinks,
        page_cooldown_s=page_cooldown_s,
    )
    watched: list[Watched] = []
    all_read = False
    try:
        while not all_read:
            with workspace.read() as tx:
                cursor = load_cursor(tx, loop)
                deployment = registry.deployment(tx, loop)
            rows = starmap(Row, captures.frames(workspace.predictions, loop, cursor.position))
            groups, settled, all_read = close(rows, cursor, window_rows, answering=_answering(deployment, now), limit=CHUNK_ROWS)
            for group, taken in groups:
                try:
                    done, cursor = first_time(judge, group, taken, cursor)
                    watched.append(done)
                except NotFound as error:
                    cursor = _skip(judge, group, taken, cursor, str(error))
            moved = msgspec.structs.replace(cursor, position=settled.position, versions=settled.versions)
            if moved != cursor:
                with workspace.write() as tx:
                    move(tx, loop, cursor, moved)
            if all_read:
                watched += judge_again(judge, deployment.champion, moved)
    except Moved:
        pass
    return watched


def latest(tx: Transaction, loop: str, version: int) -> tuple[Window, Verdict] | None:
    """The window of a version that was judged last, and the verdict on it."""
    found = load_cursor(tx, loop).latest.get(str(version))
    if found is None:
        return None
    return records.load(tx, found[0], Window), records.load(tx, found[1], Verdict)


def _answering(deployment: Deployment, now: float) -> set[int] | None:
    if now - max(deployment.since, deployment.champion_since) < RETIRED_AFTER_S:
        return None
    return {number for number in (deployment.champion, deployment.challenger) if number is not None}


def _skip(judge: Judge, group: Group, taken: Taken, cursor: Cursor, why: str) -> Cursor:
    """Pass over rows of a version that this workspace does not know, and say so."""
    after = msgspec.structs.replace(cursor, versions={**cursor.versions, str(group.version): taken})
    with judge.workspace.write() as tx:
        move(tx, judge.loop, cursor, after)
        ledger.append(
            tx, loop=judge.loop, rule="monitor:unknown_version", action="skip", actor=judge.actor, at=judge.now,
            reason=f"{len(group.rows)} predictions of version {group.version} cannot be judged: {why}",
            about=(group.rows[0].prediction.id, group.rows[-1].prediction.id),
        )  # fmt: skip
    return after

"""Deletes what no run, version or pin reaches, and says what it freed.

Mark, then sweep, while others go on working. What keeps that safe:

- Blobs are written before the rows that name them. A blob that was put within the grace, or since the oldest run that is going on began,
  is left alone; `renewal` settles whose look at its age counts.
- The rows are looked at twice: at leisure, and again, what is new, in the transaction that deletes, which excludes all other writers.
- Rows go first, in one transaction with the decision; blobs after. A collection that is killed leaves orphans, which the next one finds.
- A run may have found a cache row that is deleted now, and not have written so yet. What such a row named stays until that run has ended.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple, cast

import msgspec

from everloop.core.artifacts import Artifact, Reached
from everloop.core.record import COLLECTED, Where
from everloop.core.tables import Chunk, Snapshot
from everloop.store import ledger, owner, records, registry, sweep, traces
from everloop.store.alone import exclusively, one_collection
from everloop.store.database import Transaction
from everloop.store.reach import (
    COLLECTOR,
    Note,
    Reach,
    Reaches,
    Runs,
    all_records,
    among,
    bodies,
    cached,
    held_runs,
    look_at_runs,
    lost,
    notes,
)
from everloop.store.retention import ACTIVE, Retention, dropped
from everloop.store.sweep import Found
from everloop.store.workspace import Workspace

GRACE_S = 3600.0
# A folder may take long to be copied in, and somebody may want to look at a damaged one.
LEFT_OVER_S = 24 * 3600.0
RULE = "collector"
# Files are stamped by another clock than rows, on the same machine too, and a coarser one.
_CLOCKS_S = 60.0


class Freed(msgspec.Struct, frozen=True):
    """How many, and how many bytes they took; 0 bytes where that is not worth asking."""

    count: int = 0
    bytes: int = 0


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What a collection freed, or with `dry_run` would free.

    `freed` is by kind: runs, steps, results (cache rows), records, blobs, trees, leftovers, copies, logs, locks. `runs` names the dropped
    ones. `young` blobs and folders are unreached too, but too new to tell. `waiting` results stay until the `going_on` runs have ended.
    """

    freed: Mapping[str, Freed]
    runs: tuple[str, ...] = ()
    young: int = 0
    waiting: int = 0
    going_on: int = 0
    dry_run: bool = False

    @property
    def count(self) -> int:
        return sum(freed.count for freed in self.freed.values())

    @property
    def bytes(self) -> int:
        return sum(freed.bytes for freed in self.freed.values())


class _Plan(NamedTuple):
    """What is to go, as far as a look from outside can tell. `dead` are cache rows, with what is missing of each."""

    runs: Runs
    dropped: set[str]
    dead: dict[str, list[Reached]]
    records: dict[str, int]
    lying: list[Found]
    copies: list[Found]
    young: int
    before: float


class _Gone(NamedTuple):
    """What the transaction deleted."""

    freed: dict[str, Freed]
    dropped: set[str]
    waiting: int
    going_on: int


def collect(
    workspace: Workspace,
    reaches: Reaches,
    *,
    retention: Retention | None = None,
    now: float,
    actor: str,
    grace_s: float = GRACE_S,
    dry_run: bool = False,
    claim: bool = False,
) -> Collected:
    """Drop the runs that `retention` lets go, and delete everything that nothing reaches any more.

    `reaches` tells what an artifact needs. With `claim` a place for blobs outside the workspace is noted as this database's alone. Raises
    Busy while another collection goes on, and Conflict when the blobs may be others' too.
    """
    retention = retention or Retention()
    left_before = now - max(LEFT_OVER_S, grace_s)
    with one_collection(workspace):
        if not dry_run:
            owner.check(workspace, claim=claim)
        reach = Reach(workspace.blobs, reaches)
        plan = _plan(workspace, reach, retention, now=now, grace_s=grace_s, left_before=left_before)
        if dry_run:
            gone = _foreseen(workspace, reach, plan)
        else:
            gone = exclusively(workspace, lambda tx: _delete_rows(tx, reach, plan, retention, now=now, actor=actor))
        lying = [found for found in plan.lying if _where(found) not in reach.names]
        copies = [found for found in plan.copies if _where(found) not in reach.names]
        left = list(traces.find(workspace, gone.dropped, before=left_before))
        if not dry_run:
            lying = list(sweep.remove(workspace.blobs, lying, before=plan.before, left_before=left_before))
            copies = list(sweep.remove_copies(workspace.blobs, copies, before=plan.before))
            left = [trace for trace in left if traces.remove(trace)]
    swept = {name: _sum(found.bytes for found in lying if found.kind == kind) for kind, name in _SWEPT.items()}
    swept |= {"copies": _sum(found.bytes for found in copies)}
    swept |= {kind: _sum(trace.bytes for trace in left if trace.kind == kind) for kind in ("logs", "locks")}
    return Collected(
        freed=gone.freed | swept,
        runs=tuple(sorted(gone.dropped)),
        young=plan.young,
        waiting=gone.waiting,
        going_on=gone.going_on,
        dry_run=dry_run,
    )


_SWEPT = {"blob": "blobs", "tree": "trees", "leftover": "leftovers"}


def _plan(workspace: Workspace, reach: Reach, retention: Retention, *, now: float, grace_s: float, left_before: float) -> _Plan:
    with workspace.read() as tx:
        runs = look_at_runs(tx)
        before = min(now - grace_s, (now if runs.began is None else runs.began) - _CLOCKS_S)
        gone = _dropped(tx, runs, retention, now)
        reach.look(tx, runs, dropped=gone, young=before)
        if runs.going_on:
            reach.hold(tx, reach.stale.values())
    # After that look: a blob is written before its row, so what is reached and not listed here is missing.
    missing: set[Reached] = set(reach.names)
    lying: list[Found] = []
    young = 0
    for found in sweep.listing(workspace.blobs):
        if found.kind == "leftover":
            lying += [found] if found.at < left_before else []
            continue
        missing.discard(_where(found))
        if _where(found) not in reach.names:
            if found.at < before:
                lying.append(found)
            else:
                young += 1
    copies = [found for found in sweep.copies(workspace.blobs) if found.at < (left_before if found.kind == "leftover" else before)]
    with workspace.read() as tx:
        old: dict[str, int] = {}
        absent = set(reach.full)
        for id, size in all_records(tx):
            absent.discard(id)
            if not reach.has(id):
                old[id] = size
        missing |= {("record", id) for id in absent}
        results = (row for row in cached(tx) if row.key not in reach.stale) if missing else ()
        dead = {row.key: gone_of for row in results if (gone_of := _lost(tx, reach, row.artifact, missing))}
    return _Plan(runs, gone, dead, old, lying, copies, young, before)


def _foreseen(workspace: Workspace, reach: Reach, plan: _Plan) -> _Gone:
    with workspace.read() as tx:
        steps = sum(tx.sql(f"SELECT count(*) FROM steps WHERE run IN ({names})", some).value() for names, some in among(plan.dropped))  # noqa: S608
        steps += tx.sql("SELECT count(*) FROM steps WHERE run NOT IN (SELECT id FROM runs)").value()
    freed = {
        "runs": Freed(len(plan.dropped)),
        "steps": Freed(steps),
        "results": Freed(len(plan.dead.keys() | reach.stale.keys())),
        "records": Freed(len(plan.records), sum(plan.records.values())),
    }
    going_on = len(plan.runs.going_on)
    return _Gone(freed, plan.dropped, len(reach.stale) if going_on else 0, going_on)


def _delete_rows(tx: Transaction, reach: Reach, plan: _Plan, retention: Retention, *, now: float, actor: str) -> _Gone:
    """Nobody else writes meanwhile: what is not reached now is reached by nobody."""
    runs = look_at_runs(tx)
    gone = plan.dropped & _dropped(tx, runs, retention, now)
    settled = {run.id for run in plan.runs.ages if run.status not in ACTIVE and run.id not in plan.dropped}
    reach.look(tx, runs, dropped=gone, settled=settled, young=plan.before)
    stale = dict(reach.stale)
    if runs.going_on:
        reach.hold(tx, stale.values())
    _note(tx, runs, list(stale.values()))
    doomed = {id: size for id, size in plan.records.items() if not reach.has(id)}
    steps = _delete(tx, "steps", "run", gone) + tx.sql("DELETE FROM steps WHERE run NOT IN (SELECT id FROM runs)").changed
    _delete(tx, "approvals", "run", gone)
    _delete(tx, "links", "child", doomed)
    freed = {
        "runs": Freed(_delete(tx, "runs", "id", gone)),
        "steps": Freed(steps),
        "results": Freed(_delete(tx, "cache", "key", stale.keys() | _still_dead(tx, reach, plan.dead))),
        "records": Freed(_delete(tx, "records", "id", doomed), sum(doomed.values())),
    }
    _fade(tx, reach)
    lying = [found for found in plan.lying if _where(found) not in reach.names]
    if lying or any(kind.count for kind in freed.values()):
        what = {name: kind.count for name, kind in freed.items()} | {"blobs": len(lying), "bytes": sum(found.bytes for found in lying)}
        told = ", ".join(f"{count} {name}" for name, count in what.items() if count)
        reason = f"Nothing reached them any more: {told}. Asked to drop: {retention.sentence()}."
        ledger.append(tx, loop="", rule=RULE, action="collect", reason=reason, evidence=what, actor=actor, at=now)
    return _Gone(freed, gone, len(stale) if runs.going_on else 0, len(runs.going_on))


def _dropped(tx: Transaction, runs: Runs, retention: Retention, now: float) -> set[str]:
    """What a decision of as long ago as runs are kept refers to is still talked about."""
    return dropped(runs.ages, retention, now=now, held=held_runs(tx, since=now - (retention.older_than_s or 0.0)))


def _lost(tx: Transaction, reach: Reach, artifact: Artifact, missing: Collection[Reached]) -> list[Reached]:
    """What is gone of a result. Its step finds that too, and runs again: the cache row is of no use to anybody."""
    needed = reach.parts(artifact)
    for _, body in bodies(tx, {name for kind, name in needed if kind == "record"}):
        needed += records.decode(body).keeps().values()
    return lost(needed, lambda where: where not in missing)


def _still_dead(tx: Transaction, reach: Reach, dead: Mapping[str, Iterable[Reached]]) -> Iterator[str]:
    """A step may have made it again since."""
    has = {"blob": reach.blobs.has, "tree": reach.blobs.has_tree, "record": lambda id: any(bodies(tx, [id]))}
    return (key for key, gone in dead.items() if not all(has[kind](name) for kind, name in gone))


def _note(tx: Transaction, runs: Runs, stale: list[Artifact]) -> None:
    """Leave word to later collections of what a run that is going on may have found just before its cache row went."""
    left = [note for note in notes(tx) if not set(note.runs).isdisjoint(runs.going_on)]
    left += [Note(runs.going_on, stale)] if stale and runs.going_on else []
    if left or notes(tx):
        registry.put_cursor(tx, "", COLLECTOR, {"notes": left})


def _fade(tx: Transaction, reach: Reach) -> None:
    """A snapshot that stays as memory says that its table is gone: then taking the same data again gives it a new one."""
    for id, body in bodies(tx, [id for id in reach.memory if id.startswith("snapshot-")]):
        record = records.decode(body)
        if isinstance(record, Snapshot) and not record.collected and not reach.names.issuperset(record.keeps().values()):
            gone = tuple(Chunk(blob=COLLECTED, rows=chunk.rows, bytes=0, digest=chunk.digest) for chunk in record.chunks)
            faded = msgspec.structs.replace(record, chunks=gone)
            tx.sql("UPDATE records SET body = :body WHERE id = :id", {"id": id, "body": records.encode(faded)})


def _delete(tx: Transaction, table: str, column: str, values: Iterable[str]) -> int:
    return sum(tx.sql(f"DELETE FROM {table} WHERE {column} IN ({names})", some).changed for names, some in among(list(values)))  # noqa: S608


def _where(found: Found) -> tuple[Where, str]:
    return cast("tuple[Where, str]", (found.kind, found.name))


def _sum(sizes: Iterable[int]) -> Freed:
    each = list(sizes)
    return Freed(len(each), sum(each))

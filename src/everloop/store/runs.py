"""Runs, their steps, and the cache of step results."""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from collections.abc import Mapping
from typing import Any

import msgspec
import psutil
import sqlalchemy as sa
from sqlalchemy.engine import Row

from everloop.core.errors import NotFound
from everloop.core.runs import Run, RunStatus, Step
from everloop.store.database import Transaction, upsert
from everloop.store.schema import cache, runs, steps

MAX_ATTEMPTS = 3


class Cached(msgspec.Struct, frozen=True, kw_only=True):
    """A step's result: `output` names it (a record's id or a content digest), `blob` holds it, `type` says how to read it.

    `code` is the digest of the code that made it and `detail` the parts of the key, so that a later miss can be explained.
    """

    key: str
    step: str
    type: str
    output: str
    blob: str
    code: str
    detail: Mapping[str, object] = {}
    run: str = ""
    created_at: float = 0.0


def this_process() -> str:
    """Names a process so that it cannot be mistaken for a later one with the same number: host, pid, start time."""
    return f"{socket.gethostname()}:{os.getpid()}:{psutil.Process().create_time():.2f}"


def is_gone(process: str) -> bool:
    """True when the process certainly ended: it was on this host, and no process has its number and start time."""
    host, _, rest = process.partition(":")
    number, _, started = rest.partition(":")
    if host != socket.gethostname() or not number:
        return False
    try:
        found = psutil.Process(int(number))
        # A zombie has ended; only its parent has not asked yet.
        return f"{found.create_time():.2f}" != started or found.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def new_id() -> str:
    """Run ids sort by time: milliseconds, then randomness."""
    return f"run-{int(time.time() * 1000):012x}{secrets.token_hex(5)}"


def queue(tx: Transaction, loop: str, pipeline: str, *, decision: str, options: Mapping[str, object] | None = None) -> Run:
    """A run that waits for somebody to `claim` it."""
    run = Run(id=new_id(), loop=loop, pipeline=pipeline, status="queued", decision=decision, options=options or {}, queued_at=time.time())
    tx.execute(sa.insert(runs).values(_run_row(run)))
    return run


def claim(tx: Transaction, id: str) -> Run | None:
    """Take a queued run for this process; None when somebody else was faster."""
    changed = tx.execute(
        sa.update(runs)
        .where(runs.c.id == id, runs.c.status == "queued")
        .values(status="running", started_at=time.time(), process=this_process())
    ).rowcount
    return get(tx, id) if changed else None


def finish(tx: Transaction, id: str, status: RunStatus, *, error: str = "", result: Mapping[str, object] | None = None) -> None:
    tx.execute(sa.update(runs).where(runs.c.id == id).values(status=status, ended_at=time.time(), error=error, result=_json(result or {})))


def requeue_crashed(tx: Transaction) -> tuple[list[Run], list[Run]]:
    """Find runs whose process is gone: (marked crashed, queued again in their place).

    Only runs that nobody waits for in the foreground (those that a decision queued) start again by themselves, and not for ever:
    what took its process down MAX_ATTEMPTS times stays down.
    """
    crashed: list[Run] = []
    for run in find(tx, status="running"):
        if is_gone(run.process):
            finish(tx, run.id, "crashed", error="its process is gone")
            crashed.append(run)
    again: list[Run] = []
    for run in crashed:
        attempt = int(str(run.options.get("attempt", 1)))
        if not run.options.get("foreground") and attempt < MAX_ATTEMPTS:
            again.append(queue(tx, run.loop, run.pipeline, decision=run.decision, options={**run.options, "attempt": attempt + 1}))
    return crashed, again


def get(tx: Transaction, id: str) -> Run:
    row = tx.execute(sa.select(runs).where(runs.c.id == id)).first()
    if row is None:
        raise NotFound(f"Run {id!r} does not exist in this workspace.")
    return _run(row)


def find(
    tx: Transaction, *, loop: str | None = None, status: str | None = None, beginning: str | None = None, limit: int = 1000
) -> list[Run]:
    """Runs that match, newest first."""
    query = sa.select(runs).order_by(runs.c.queued_at.desc(), runs.c.id.desc()).limit(limit)
    if loop is not None:
        query = query.where(runs.c.loop == loop)
    if status is not None:
        query = query.where(runs.c.status == status)
    if beginning is not None:
        query = query.where(runs.c.id.startswith(beginning, autoescape=True))
    return [_run(row) for row in tx.execute(query)]


def ended_since(tx: Transaction, loop: str, moment: float) -> list[Run]:
    """Runs of a loop that ended after `moment`, in that order."""
    query = sa.select(runs).where(runs.c.loop == loop, runs.c.ended_at > moment).order_by(runs.c.ended_at)
    return [_run(row) for row in tx.execute(query)]


def one(tx: Transaction, beginning: str) -> Run:
    """The one run whose id begins so. NotFound when there is none, or more than one."""
    found = find(tx, beginning=beginning, limit=2)
    if len(found) != 1:
        raise NotFound(f"{'No' if not found else 'More than one'} run's id begins with {beginning!r}. 'everloop runs' lists them.")
    return found[0]


def put_step(tx: Transaction, step: Step) -> None:
    upsert(tx, steps, msgspec.structs.asdict(step) | {"inputs": _json(step.inputs)})


def steps_of(tx: Transaction, run: str) -> list[Step]:
    rows = tx.execute(sa.select(steps).where(steps.c.run == run).order_by(steps.c.seq))
    return [_step(row) for row in rows]


def made_by(tx: Transaction, output: str) -> Step | None:
    """The step that really made an output, the first time."""
    row = tx.execute(
        sa.select(steps).where(steps.c.output == output, steps.c.status == "done").order_by(steps.c.started_at).limit(1)
    ).first()
    return _step(row) if row else None


def cached(tx: Transaction, key: str) -> Cached | None:
    row = tx.execute(sa.select(cache).where(cache.c.key == key)).first()
    return _cached(row) if row else None


def last_cached(tx: Transaction, step: str) -> Cached | None:
    """The newest result of a step under any key, to explain a miss by."""
    row = tx.execute(sa.select(cache).where(cache.c.step == step).order_by(cache.c.created_at.desc()).limit(1)).first()
    return _cached(row) if row else None


def put_cached(tx: Transaction, entry: Cached) -> None:
    upsert(tx, cache, msgspec.structs.asdict(entry) | {"detail": _json(entry.detail)})


def _json(value: Mapping[str, object]) -> str:
    return msgspec.json.encode(value).decode()


def _run_row(run: Run) -> dict[str, Any]:
    return msgspec.structs.asdict(run) | {"options": _json(run.options), "result": _json(run.result)}


def _run(row: Row[Any]) -> Run:
    content = dict(row._mapping)
    return Run(**(content | {"options": json.loads(content["options"]), "result": json.loads(content["result"])}))


def _step(row: Row[Any]) -> Step:
    content = dict(row._mapping)
    return Step(**(content | {"inputs": json.loads(content["inputs"])}))


def _cached(row: Row[Any]) -> Cached:
    content = dict(row._mapping)
    return Cached(**(content | {"detail": json.loads(content["detail"])}))

"""Runs, their steps, and the cache of step results.

The engine asks here several times a step, so all of it is plain SQL, written once: the driver knows a statement again by its text.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from everloop.core.errors import Conflict, NotFound
from everloop.core.runs import Run, RunStatus, Step
from everloop.store.database import Transaction
from everloop.store.processes import is_gone, this_process

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


# Every field of the records is a column of its table.
_RUN, _STEP, _CACHED = Run.__struct_fields__, Step.__struct_fields__, Cached.__struct_fields__


def _select(table: str, names: tuple[str, ...]) -> str:
    return f"SELECT {', '.join(names)} FROM {table}"  # noqa: S608  # names of ours


def _insert(table: str, names: tuple[str, ...], keys: tuple[str, ...] = ()) -> str:
    """Insert a row, or replace the one with its `keys`, if any are named."""
    text = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(f':{name}' for name in names)})"  # noqa: S608  # names of ours
    if not keys:
        return text
    changes = ", ".join(f"{name} = excluded.{name}" for name in names if name not in keys)
    return f"{text} ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changes}"


_SELECT_RUN = _select("runs", _RUN)
_SELECT_STEP = _select("steps", _STEP)
_SELECT_CACHED = _select("cache", _CACHED)

_PUT_RUN = _insert("runs", _RUN)
_PUT_STEP = _insert("steps", _STEP, ("run", "seq"))
_PUT_CACHED = _insert("cache", _CACHED, ("key",))
_GET = f"{_SELECT_RUN} WHERE id = :id"
_CLAIM = "UPDATE runs SET status = 'running', started_at = :now, process = :process WHERE id = :id AND status = 'queued'"
_FINISH = "UPDATE runs SET status = :status, ended_at = :ended_at, error = :error, result = :result WHERE id = :id"
_CANCEL = """
UPDATE runs SET
  cancelled_by = CASE WHEN cancelled_by = '' THEN :by ELSE cancelled_by END,
  ended_at = CASE WHEN status = 'running' THEN ended_at ELSE :now END,
  status = CASE WHEN status = 'running' THEN status ELSE 'cancelled' END
WHERE id = :id AND status IN ('queued', 'running', 'waiting')
"""
_CANCEL_ASKED = "SELECT cancelled_by FROM runs WHERE id = :id"
_ENDED_SINCE = f"{_SELECT_RUN} WHERE loop = :loop AND ended_at > :moment ORDER BY ended_at"
_STEPS_OF = f"{_SELECT_STEP} WHERE run = :run ORDER BY seq"
_MADE_BY = f"{_SELECT_STEP} WHERE output = :output AND status = 'done' ORDER BY started_at LIMIT 1"
_CACHED_UNDER = f"{_SELECT_CACHED} WHERE key = :key"
_LAST_CACHED = f"{_SELECT_CACHED} WHERE step = :step ORDER BY created_at DESC LIMIT 1"


def new_id() -> str:
    """Run ids sort by time: milliseconds, then randomness."""
    return f"run-{int(time.time() * 1000):012x}{secrets.token_hex(5)}"


def queue(tx: Transaction, loop: str, pipeline: str, *, decision: str, options: Mapping[str, object] | None = None) -> Run:
    """A run that waits for somebody to `claim` it."""
    run = Run(id=new_id(), loop=loop, pipeline=pipeline, status="queued", decision=decision, options=options or {}, queued_at=time.time())
    tx.sql(_PUT_RUN, _row(run, "options", "result"))
    return run


def claim(tx: Transaction, id: str) -> Run | None:
    """Take a queued run for this process; None when somebody else was faster."""
    claimed = tx.sql(_CLAIM, {"id": id, "now": time.time(), "process": this_process()}).changed
    return get(tx, id) if claimed else None


def finish(tx: Transaction, id: str, status: RunStatus, *, error: str = "", result: Mapping[str, object] | None = None) -> None:
    """How a run ended; `waiting` is no end."""
    ended_at = None if status == "waiting" else time.time()
    tx.sql(_FINISH, {"id": id, "status": status, "ended_at": ended_at, "error": error, "result": _json(result or {})})


def cancel(tx: Transaction, id: str, by: str) -> Run:
    """Ask for the end of a run: one that runs sees it by `cancel_asked` and ends itself, one that waits has ended with this.

    The first who asks is remembered. Raises Conflict when the run has ended already.
    """
    changed = tx.sql(_CANCEL, {"id": id, "by": by, "now": time.time()}).changed
    run = get(tx, id)
    if not changed:
        raise Conflict(f"Run {id!r} cannot be cancelled: it has ended already, as {run.status!r}.")
    return run


def cancel_asked(tx: Transaction, id: str) -> str:
    """Who asked for the end of a run; empty when nobody did."""
    return tx.sql(_CANCEL_ASKED, {"id": id}).value() or ""


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
            options = {name: value for name, value in run.options.items() if name != "steps_before"} | {"attempt": attempt + 1}
            again.append(queue(tx, run.loop, run.pipeline, decision=run.decision, options=options))
    return crashed, again


def get(tx: Transaction, id: str) -> Run:
    row = tx.sql(_GET, {"id": id}).first()
    if row is None:
        raise NotFound(f"Run {id!r} does not exist in this workspace.")
    return _run(row)


def find(
    tx: Transaction, *, loop: str | None = None, status: str | None = None, beginning: str | None = None, limit: int = 1000
) -> list[Run]:
    """Runs that match, newest first."""
    conditions: list[str] = []
    if loop is not None:
        conditions.append("loop = :loop")
    if status is not None:
        conditions.append("status = :status")
    if beginning is not None:
        conditions.append("substr(id, 1, :length) = :beginning")
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    params = {"loop": loop, "status": status, "beginning": beginning, "length": len(beginning or ""), "limit": limit}
    rows = tx.sql(f"{_SELECT_RUN} {where} ORDER BY queued_at DESC, id DESC LIMIT :limit", params)
    return [_run(row) for row in rows]


def ended_since(tx: Transaction, loop: str, moment: float) -> list[Run]:
    """Runs of a loop that ended after `moment`, in that order."""
    return [_run(row) for row in tx.sql(_ENDED_SINCE, {"loop": loop, "moment": moment})]


def one(tx: Transaction, beginning: str) -> Run:
    """The one run whose id begins so. NotFound when there is none, or more than one."""
    found = find(tx, beginning=beginning, limit=2)
    if len(found) != 1:
        raise NotFound(f"{'No' if not found else 'More than one'} run's id begins with {beginning!r}. 'everloop runs' lists them.")
    return found[0]


def put_step(tx: Transaction, step: Step) -> None:
    tx.sql(_PUT_STEP, _row(step, "inputs"))


def put_steps(tx: Transaction, rows: Iterable[Step]) -> None:
    tx.many(_PUT_STEP, [_row(step, "inputs") for step in rows])


def steps_of(tx: Transaction, run: str) -> list[Step]:
    return [_step(row) for row in tx.sql(_STEPS_OF, {"run": run})]


def made_by(tx: Transaction, output: str) -> Step | None:
    """The step that really made an output, the first time."""
    row = tx.sql(_MADE_BY, {"output": output}).first()
    return _step(row) if row else None


def cached(tx: Transaction, key: str) -> Cached | None:
    row = tx.sql(_CACHED_UNDER, {"key": key}).first()
    return _cached(row) if row else None


def last_cached(tx: Transaction, step: str) -> Cached | None:
    """The newest result of a step under any key, to explain a miss by."""
    row = tx.sql(_LAST_CACHED, {"step": step}).first()
    return _cached(row) if row else None


def put_cached(tx: Transaction, entry: Cached) -> None:
    tx.sql(_PUT_CACHED, _row(entry, "detail"))


def _json(value: Mapping[str, object]) -> str:
    return msgspec.json.encode(value).decode()


def _row(record: msgspec.Struct, *documents: str) -> dict[str, Any]:
    """A record's columns; those that are mappings as JSON."""
    row = msgspec.structs.asdict(record)
    for name in documents:
        row[name] = _json(row[name])
    return row


def _run(row: tuple[Any, ...]) -> Run:
    content = dict(zip(_RUN, row, strict=True))
    return Run(**(content | {"options": msgspec.json.decode(content["options"]), "result": msgspec.json.decode(content["result"])}))


def _step(row: tuple[Any, ...]) -> Step:
    content = dict(zip(_STEP, row, strict=True))
    return Step(**(content | {"inputs": msgspec.json.decode(content["inputs"])}))


def _cached(row: tuple[Any, ...]) -> Cached:
    content = dict(zip(_CACHED, row, strict=True))
    return Cached(**(content | {"detail": msgspec.json.decode(content["detail"])}))

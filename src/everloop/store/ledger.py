"""Decisions -> an append-only, hash-chained ledger.

Each entry's hash covers its content and the hash before it, so that a changed, removed or inserted entry breaks the chain from
there on. What the chain alone cannot show is a cut-off end; `verify` takes the last hash that somebody noted for that.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Row

from everloop.core.digest import digest
from everloop.core.errors import Broken
from everloop.core.live import Decision
from everloop.core.verdict import Finding
from everloop.store.database import Transaction, insert_new, serialise
from everloop.store.schema import decisions, mentions

GENESIS = "0" * 64


def append(
    tx: Transaction,
    *,
    loop: str,
    rule: str,
    action: str,
    reason: str,
    outcome: Literal["done", "suppressed"] = "done",
    about: Iterable[str] = (),
    evidence: Mapping[str, object] | None = None,
    actor: str,
    at: float | None = None,
) -> Decision:
    """Write one decision, inside the caller's transaction: what it decided and the decision become true together."""
    serialise(tx)
    last = tx.execute(sa.select(decisions.c.seq, decisions.c.hash).order_by(decisions.c.seq.desc()).limit(1)).first()
    seq, previous = (last.seq + 1, last.hash) if last else (1, GENESIS)
    # Through JSON first: the hash must cover what will be read back, not what was passed in.
    plain = json.loads(msgspec.json.encode(evidence or {}))
    subjects = tuple(dict.fromkeys(kept for item in about if (kept := _storable(item))))
    draft = Decision(
        seq=seq, at=time.time() if at is None else at, loop=loop, rule=rule, action=action, outcome=outcome, reason=_storable(reason),
        about=subjects, evidence=plain, actor=_storable(actor), previous=previous,
    )  # fmt: skip
    decision = msgspec.structs.replace(draft, hash=seal(draft))
    row = msgspec.structs.asdict(decision) | {"about": json.dumps(subjects), "evidence": json.dumps(plain)}
    tx.execute(sa.insert(decisions).values(row))
    insert_new(tx, mentions, [{"seq": seq, "about": item} for item in subjects])
    return decision


def _storable(text: str) -> str:
    """Text that every database takes: an error message may carry NUL, which PostgreSQL refuses, or half a surrogate pair."""
    return text.replace("\0", "").encode(errors="replace").decode()


def seal(decision: Decision) -> str:
    """The hash that an entry must carry: over every field but the hash itself."""
    content = msgspec.structs.asdict(decision)
    content.pop("hash")
    return digest("everloop-decision-1", content)


def verify(tx: Transaction, *, until: str | None = None) -> list[Finding]:
    """One finding for each break of the chain; empty when it is sound. `until` is a hash that must still be part of it."""
    broken: list[Finding] = []
    previous, expected, seen = GENESIS, 1, until is None
    for row in tx.execute(sa.select(decisions).order_by(decisions.c.seq)):
        problem = ""
        if row.seq != expected:
            problem = f"entry {expected} is missing: the next one is {row.seq}"
        elif row.previous != previous:
            problem = f"entry {row.seq} does not continue the entry before it"
        elif not _is_sealed(row):
            problem = f"entry {row.seq} was changed after it was written"
        if problem:
            broken.append(Finding(check="ledger", passed=False, message=problem, subject=str(row.seq), observed=row.hash))
        previous, expected, seen = row.hash, row.seq + 1, seen or row.hash == until
    if not seen:
        broken.append(
            Finding(check="ledger", passed=False, message="the ledger was cut off: a noted entry is gone", subject="end", limit=until)
        )
    return broken


def head(tx: Transaction) -> str:
    """The last entry's hash, worth noting somewhere else."""
    return tx.execute(sa.select(decisions.c.hash).order_by(decisions.c.seq.desc()).limit(1)).scalar() or GENESIS


def find(
    tx: Transaction,
    *,
    loop: str | None = None,
    rule: str | None = None,
    action: str | None = None,
    outcome: str | None = None,
    about: str | None = None,
    after: int = 0,
    before: int | None = None,
    newest_first: bool = False,
    limit: int = 1000,
) -> list[Decision]:
    """Decisions that match, oldest first unless asked otherwise. `after` is a sequence number to begin behind, `before` one to end before."""
    query = sa.select(decisions).where(decisions.c.seq > after).limit(limit)
    query = query.order_by(decisions.c.seq.desc() if newest_first else decisions.c.seq)
    if before is not None:
        query = query.where(decisions.c.seq < before)
    for column, wanted in (
        (decisions.c.loop, loop),
        (decisions.c.rule, rule),
        (decisions.c.action, action),
        (decisions.c.outcome, outcome),
    ):
        if wanted is not None:
            query = query.where(column == wanted)
    if about is not None:
        query = query.where(decisions.c.seq.in_(sa.select(mentions.c.seq).where(mentions.c.about == about)))
    return _entries(tx.execute(query))


def by_hash(tx: Transaction, beginning: str) -> Decision | None:
    """The decision whose id or hash begins so, if there is exactly one."""
    pattern = beginning.removeprefix("decision-").replace("%", "").replace("_", "") + "%"
    found = _entries(tx.execute(sa.select(decisions).where(decisions.c.hash.like(pattern)).limit(2)))
    return found[0] if len(found) == 1 else None


def _is_sealed(row: Row[Any]) -> bool:
    try:
        decision = _entry(row)
    except Broken:
        return False
    return seal(decision) == decision.hash


def _entries(rows: Iterable[Row[Any]]) -> list[Decision]:
    return [_entry(row) for row in rows]


def _entry(row: Row[Any]) -> Decision:
    content = dict(row._mapping)
    try:
        content["about"] = tuple(json.loads(content["about"]))
        content["evidence"] = json.loads(content["evidence"])
    except (ValueError, TypeError) as error:
        raise Broken(f"Entry {content['seq']} of the ledger was changed after it was written: its content is no JSON.") from error
    return Decision(**content)

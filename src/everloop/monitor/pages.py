"""An alarm -> a page in the outbox -> delivered by each sink, at least once.

The page's decision and its rows in the outbox become true in one transaction; delivery comes later, and a sink that is down is asked
again without holding up the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import sqlalchemy as sa

from everloop.core import plugins
from everloop.core.errors import EverloopError
from everloop.core.live import Decision
from everloop.monitor.sinks.page import Page, Sink
from everloop.store import ledger
from everloop.store.database import Transaction, insert_new
from everloop.store.schema import pages
from everloop.store.workspace import Workspace

SINKS = ("console", "file")
COOLDOWN_S = 3600.0
BACKOFF_S = 5.0
BACKOFF_MOST_S = 3600.0


def page(
    tx: Transaction,
    *,
    loop: str,
    rule: str,
    reason: str,
    actor: str,
    at: float,
    about: Iterable[str] = (),
    evidence: Mapping[str, object] | None = None,
    sinks: Sequence[str] = SINKS,
    cooldown_s: float = COOLDOWN_S,
) -> Decision:
    """Decide to page a person, or, when the same rule paged within `cooldown_s`, that nobody is called again."""
    last = next(iter(ledger.find(tx, loop=loop, rule=rule, action="page", outcome="done", newest_first=True, limit=1)), None)
    if last is not None and at - last.at < cooldown_s:
        return ledger.append(
            tx, loop=loop, rule=rule, action="page", outcome="suppressed", actor=actor, at=at,
            reason=f"{reason} Not paged again: the same alarm was paged {at - last.at:.0f} s ago, and pages rest for {cooldown_s:.0f} s.",
            about=(*about, last.id), evidence=evidence,
        )  # fmt: skip
    decision = ledger.append(tx, loop=loop, rule=rule, action="page", reason=reason, about=about, evidence=evidence, actor=actor, at=at)
    insert_new(
        tx,
        pages,
        [
            {"decision": decision.id, "sink": sink, "loop": loop, "delivered_at": None, "tries": 0, "error": ""}
            for sink in dict.fromkeys(sinks)
        ],
    )
    return decision


def deliver_pending(workspace: Workspace, now: float) -> int:
    """Deliver what is due; how many deliveries succeeded. A sink that raises is asked again after 5, 10, 20 … s, at most an hour apart."""
    with workspace.read() as tx:
        waiting = tx.execute(sa.select(pages).where(pages.c.delivered_at.is_(None)).order_by(pages.c.decision, pages.c.sink)).all()
        due = [(row, ledger.by_hash(tx, row.decision)) for row in waiting]
    delivered = 0
    for row, decision in due:
        if decision is None or now < decision.at + _waited_s(row.tries):
            continue
        try:
            sink = cast("Sink", plugins.find("sinks", row.sink))
            sink(_page(decision), home=workspace.home)
            error = ""
        except Exception as problem:  # a sink is somebody else's code: whatever it raises is its page's state, not ours
            error = str(problem) if isinstance(problem, EverloopError) else f"{type(problem).__name__}: {problem}"
        mine = (pages.c.decision == row.decision) & (pages.c.sink == row.sink) & pages.c.delivered_at.is_(None)
        with workspace.write() as tx:
            tx.execute(sa.update(pages).where(mine).values(tries=row.tries + 1, error=error[:2000], delivered_at=None if error else now))
        delivered += not error
    return delivered


def undelivered(tx: Transaction, loop: str | None = None) -> list[tuple[str, str, int, str]]:
    """(decision, sink, tries, last error) of pages that no sink took yet."""
    query = sa.select(pages).where(pages.c.delivered_at.is_(None)).order_by(pages.c.decision, pages.c.sink)
    if loop is not None:
        query = query.where(pages.c.loop == loop)
    return [(row.decision, row.sink, row.tries, row.error) for row in tx.execute(query)]


def _waited_s(tries: int) -> float:
    """Seconds from the decision to the try after `tries` failures: the pauses 5, 10, 20 … added up."""
    return sum(min(BACKOFF_S * 2**k, BACKOFF_MOST_S) for k in range(tries))


def _page(decision: Decision) -> Page:
    title, _, rest = decision.reason.partition(". ")
    return Page(loop=decision.loop, title=title.rstrip("."), body=rest or decision.reason, decision=decision.id, at=decision.at)

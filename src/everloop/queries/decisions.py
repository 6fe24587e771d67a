"""Reading the ledger: its entries page by page, and whether it is still what was written."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from everloop.core.live import Decision
from everloop.core.verdict import Finding
from everloop.queries.status import must_know
from everloop.store import ledger
from everloop.store.schema import decisions as decisions_table
from everloop.store.workspace import Workspace


class Entries(msgspec.Struct, frozen=True, kw_only=True):
    """Decisions, newest first. `older` is the `before` that gives the next page, None on the last. `actions` are those to filter by."""

    decisions: tuple[Decision, ...]
    older: int | None
    actions: tuple[str, ...]


class LedgerState(msgspec.Struct, frozen=True, kw_only=True):
    """`head` is the last entry's hash: noted elsewhere, it proves later that the end was not cut off."""

    sound: bool
    entries: int
    head: str
    breaks: tuple[Finding, ...]


def entries(
    workspace: Workspace,
    *,
    loop: str | None = None,
    action: str | None = None,
    outcome: str | None = None,
    before: int | None = None,
    limit: int = 100,
) -> Entries:
    """Raises NotFound for a loop that does not exist: an empty list would look like a quiet one."""
    if loop is not None:
        must_know(workspace, loop)
    with workspace.read() as tx:
        found = ledger.find(tx, loop=loop, action=action, outcome=outcome, before=before, newest_first=True, limit=limit + 1)
        actions = tx.execute(sa.select(decisions_table.c.action).distinct().order_by(decisions_table.c.action)).scalars().all()
    shown = found[:limit]
    return Entries(decisions=tuple(shown), older=shown[-1].seq if len(found) > limit else None, actions=tuple(actions))


def ledger_state(workspace: Workspace) -> LedgerState:
    """Reads and hashes every entry."""
    with workspace.read() as tx:
        head = ledger.head(tx)
        count = tx.execute(sa.select(sa.func.count()).select_from(decisions_table)).scalar_one()
        breaks = tuple(ledger.verify(tx))
    return LedgerState(sound=not breaks, entries=count, head=head, breaks=breaks)

"""What the watched windows of a loop showed, one after the other."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from everloop.core.live import Window
from everloop.core.verdict import Verdict
from everloop.store import records
from everloop.store.database import Transaction
from everloop.store.schema import records as records_table
from everloop.store.workspace import Workspace


class WindowState(msgspec.Struct, frozen=True, kw_only=True):
    """A closed window and the verdicts that were passed on it."""

    id: str
    window: Window
    verdicts: tuple[Verdict, ...]

    @property
    def passed(self) -> bool:
        return all(verdict.passed for verdict in self.verdicts)


def windows(workspace: Workspace, loop: str, *, limit: int = 60) -> list[WindowState]:
    """The newest windows of a loop, oldest first. One that was judged again when labels came is shown with the most labels it had."""
    newest = sa.select(records_table.c.id).where(records_table.c.kind == "window").order_by(records_table.c.created_at.desc())
    found: dict[tuple[int, int], Window] = {}
    with workspace.read() as tx:
        for id in tx.execute(newest).scalars().all():
            window = records.load(tx, id, Window)
            where = (window.version, window.first)
            if window.loop == loop and (where not in found or found[where].labelled < window.labelled):
                found[where] = window
            if len(found) == limit:
                break
        states = [with_verdicts(tx, window) for window in found.values()]
    return sorted(states, key=lambda state: (state.window.end, state.window.version, state.window.first))


def with_verdicts(tx: Transaction, window: Window) -> WindowState:
    id = window.id
    judged = [child for role, child in records.children(tx, id) if role == "about" and child.startswith("verdict-")]
    return WindowState(id=id, window=window, verdicts=tuple(records.load(tx, child, Verdict) for child in judged))

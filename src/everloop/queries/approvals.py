"""What people were asked, what they answered, and which runs wait for it."""

from __future__ import annotations

import msgspec

from everloop.store import approvals
from everloop.store.approvals import Approval
from everloop.store.database import Transaction
from everloop.store.workspace import Workspace


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A question; `waiting` are the runs that ended as `waiting` for it. `sentence` says how it stands."""

    approval: Approval
    waiting: tuple[str, ...]
    sentence: str


def asked(workspace: Workspace, *, waiting: bool = True, limit: int = 100) -> list[Asked]:
    """Questions without an answer, longest first; or all, newest first."""
    with workspace.read() as tx:
        return [_state(tx, found) for found in approvals.find(tx, waiting=waiting, limit=limit)]


def _state(tx: Transaction, found: Approval) -> Asked:
    runs = tuple(run for run, id in approvals.waiting_runs(tx).items() if id == found.id)
    return Asked(approval=found, waiting=runs, sentence=approvals.sentence(found))

"""A run with its steps, and in one line each what they made."""

from __future__ import annotations

import msgspec

from everloop.core.errors import NotFound
from everloop.core.live import Decision
from everloop.core.record import Record
from everloop.core.runs import Run, Step
from everloop.queries.chain import summary
from everloop.store import ledger, records, runs
from everloop.store.database import Transaction
from everloop.store.workspace import Workspace


class StepState(msgspec.Struct, frozen=True, kw_only=True):
    """A step. `kind` and `summary` are those of the record that it made, empty when its output is no record."""

    step: Step
    kind: str = ""
    summary: str = ""


class RunReport(msgspec.Struct, frozen=True, kw_only=True):
    """`decision` is what started the run. `process_gone`: it says that it is running, but its process ended without a word."""

    run: Run
    decision: Decision | None
    steps: tuple[StepState, ...]
    process_gone: bool = False


def find(workspace: Workspace, *, loop: str | None = None, status: str | None = None, limit: int = 100) -> list[Run]:
    """Runs that match, newest first."""
    with workspace.read() as tx:
        return runs.find(tx, loop=loop, status=status, limit=limit)


def report(workspace: Workspace, beginning: str) -> RunReport:
    """The one run whose id begins so."""
    with workspace.read() as tx:
        run = runs.one(tx, beginning)
        return RunReport(
            run=run,
            decision=ledger.by_hash(tx, run.decision) if run.decision else None,
            steps=tuple(_step_state(tx, step) for step in runs.steps_of(tx, run.id)),
            process_gone=is_abandoned(run),
        )


def is_abandoned(run: Run) -> bool:
    """True when the run claims to be running and its process is gone; can be told only on the host where it ran."""
    return run.status == "running" and runs.is_gone(run.process)


def _step_state(tx: Transaction, step: Step) -> StepState:
    try:
        record = records.load(tx, step.output, Record)
    except NotFound:
        return StepState(step=step)
    return StepState(step=step, kind=record.kind, summary=summary(record))

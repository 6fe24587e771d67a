"""Proposals -> decisions in the ledger and at most one queued run, together or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from everloop.core.live import Decision
from everloop.store import ledger, runs
from everloop.store.database import Transaction, serialise
from everloop.store.workspace import Workspace
from everloop.trigger.decide import ACTION, JOINED, PERSON, decide
from everloop.trigger.evidence import Evidence, Proposal
from everloop.trigger.triggers import Trigger

PIPELINE = "cycle"
# A run that waits for a person goes on when there is an answer: nothing is started beside it.
_UNDER_WAY = ("queued", "running", "waiting")


def consider(
    workspace: Workspace,
    loop: str,
    triggers: Sequence[Trigger],
    evidence: Evidence,
    *,
    now: float,
    actor: str,
    options: Mapping[str, object] | None = None,
) -> list[Decision]:
    """Ask every trigger, and act on what they propose. `options` go to the run."""
    with workspace.read() as tx:
        running = pending(tx, loop)
        asked = [
            decide(trigger, evidence, last=last_served(tx, loop, trigger.rule), running=running, now=now, options=options)
            for trigger in triggers
        ]
    proposals = [proposal for proposal in asked if proposal is not None]
    return fire(workspace, loop, proposals, now=now, actor=actor) if proposals else []


def fire(workspace: Workspace, loop: str, proposals: Sequence[Proposal], *, now: float, actor: str) -> list[Decision]:
    """Write the decisions; several proposals start one run, and join the one that is queued or running already.

    Looks again inside of the transaction, so that of several processes with the same evidence one acts. A suppression is written
    once for each rule and evidence.
    """
    decisions: list[Decision] = []
    with workspace.write() as tx:
        serialise(tx)
        waiting = [run for status in _UNDER_WAY for run in runs.find(tx, loop=loop, status=status, limit=1)]
        run = waiting[0].id if waiting else None
        for proposal in proposals:
            if _is_written(tx, loop, proposal):
                continue
            if proposal.outcome == "done" and run is not None:
                reason = f"{proposal.reason} No run of its own: joined {run}."
                joined = proposal._replace(action=JOINED, outcome="suppressed", reason=reason)
                decisions.append(_write(tx, loop, joined, run=run, now=now, actor=actor))
                continue
            decision = _write(tx, loop, proposal, run=run, now=now, actor=actor)
            decisions.append(decision)
            if proposal.outcome == "done":
                run = runs.queue(tx, loop, PIPELINE, decision=decision.id, options=proposal.options).id
    return decisions


def last_served(tx: Transaction, loop: str, rule: str) -> Decision | None:
    """The last decision by which this rule started a run, or joined one that another rule had started."""
    started = ledger.find(tx, loop=loop, rule=rule, action=ACTION, outcome="done", newest_first=True, limit=1)
    joined = ledger.find(tx, loop=loop, rule=rule, action=JOINED, newest_first=True, limit=1)
    return max((*started, *joined), key=lambda decision: decision.seq, default=None)


def pending(tx: Transaction, loop: str) -> int:
    """Runs of the loop that are under way."""
    return sum(len(runs.find(tx, loop=loop, status=status)) for status in _UNDER_WAY)


def _write(tx: Transaction, loop: str, proposal: Proposal, *, run: str | None, now: float, actor: str) -> Decision:
    return ledger.append(
        tx, loop=loop, rule=proposal.rule, action=proposal.action, outcome=proposal.outcome, reason=proposal.reason,
        about=(*proposal.about, run or ""), evidence=proposal.evidence, actor=actor, at=now,
    )  # fmt: skip


def _is_written(tx: Transaction, loop: str, proposal: Proposal) -> bool:
    """Whether this rule was served for this evidence, or its suppression is in the ledger. A person who asks again is always answered."""
    if proposal.rule == PERSON:
        return False
    seen = str(proposal.evidence.get("seen", ""))
    last = last_served(tx, loop, proposal.rule)
    if last is not None and last.evidence.get("seen") == seen:
        return True
    episode = str(proposal.evidence.get("episode", seen))
    return proposal.outcome == "suppressed" and bool(
        ledger.find(tx, loop=loop, rule=proposal.rule, outcome="suppressed", about=episode, limit=1)
    )

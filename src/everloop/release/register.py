"""A candidate that passed its gate -> a numbered version."""

from __future__ import annotations

from everloop.core.errors import Conflict
from everloop.core.models import Candidate, Evaluation, Version
from everloop.core.verdict import Verdict
from everloop.store import ledger, records, registry
from everloop.store.database import Transaction, serialise
from everloop.store.registry import Registered
from everloop.store.workspace import Workspace

RULE = "gate"


def register(
    workspace: Workspace, *, loop: str, candidate: Candidate, evaluation: Evaluation, verdict: Verdict, run: str, actor: str
) -> Registered:
    """Number the candidate as a version of its loop. Conflict without a passed gate verdict on this very evaluation.

    The same candidate, evaluation and verdict again give the same number and no second decision.
    """
    prove_gate(candidate.id, evaluation, verdict)
    version = Version(loop=loop, candidate=candidate.id, evaluation=evaluation.id, verdict=verdict.id)
    with workspace.write() as tx:
        serialise(tx)
        known = {entry.version for entry in registry.find(tx, loop=loop, candidate=candidate.id)}
        records.keep(tx, candidate, evaluation, verdict, version)
        entry = registry.register(tx, version, model=candidate.model, run=run)
        if version.id not in known:
            ledger.append(
                tx, loop=loop, rule=RULE, action="register", actor=actor,
                reason=f"The candidate passed its gate and is version {entry.number}.",
                about=(entry.name, version.id, candidate.id, evaluation.id, verdict.id, run),
                evidence={"gate": verdict.sentence()},
            )  # fmt: skip
    return entry


def prove_gate(candidate: str, evaluation: Evaluation, verdict: Verdict) -> None:
    """Conflict unless the verdict passed, is about this evaluation, and the evaluation about this candidate."""
    if evaluation.candidate != candidate:
        raise Conflict(f"Evaluation {evaluation.id} is about {evaluation.candidate}, not about {candidate}. Evaluate the candidate.")
    if verdict.about != evaluation.id:
        raise Conflict(f"Verdict {verdict.id} is about {verdict.about or 'nothing'}, not about {evaluation.id}. Judge this evaluation.")
    if not verdict.findings:
        raise Conflict(f"Verdict {verdict.id} has no finding: nothing was held against a gate. Give the loop at least one gate.")
    if not verdict.passed:
        raise Conflict(f"The candidate {candidate} did not pass its gate ({verdict.sentence()}). It is not registered.")


def proven(tx: Transaction, entry: Registered) -> Version:
    """The version's record, after its gate record was found and holds. No deployment without it."""
    version = records.load(tx, entry.version, Version)
    prove_gate(version.candidate, records.load(tx, version.evaluation, Evaluation), records.load(tx, version.verdict, Verdict))
    return version

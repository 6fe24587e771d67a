"""Moves of a rollout -> the deployment, the ledger and the verdict behind them, together or not at all."""

from __future__ import annotations

import msgspec

from everloop.core.errors import Conflict, unknown
from everloop.core.live import Decision, Deployment
from everloop.core.models import Candidate
from everloop.release.register import proven
from everloop.release.rollout import Move, Rollout, compares, first_step, next_step
from everloop.release.traffic import Trial, begins, collect, errors_of, labels_of, load_trial, put_trial, weigh
from everloop.store import ledger, records, registry
from everloop.store.database import Transaction, serialise
from everloop.store.registry import Registered
from everloop.store.workspace import Workspace

PERSON = "person"


def begin(workspace: Workspace, registered: Registered, config: Rollout, *, now: float, actor: str) -> Decision:
    """Start the rollout of a version; the decision on it. An older challenger gives way.

    Conflict when the version has no gate record that passed. A version that stands already, or has the champion's very model, begins
    nothing: then the decision that put it there is returned, or one that says so is written.
    """
    loop = registered.loop
    with workspace.read() as tx:
        seen = registry.deployment(tx, loop)
    position, newest = begins(workspace.predictions, loop, seen.champion, config.probation_rows)
    with workspace.write() as tx:
        serialise(tx)
        deployment = registry.deployment(tx, loop)
        version = proven(tx, registered)
        standing = _standing(tx, deployment, registered)
        if standing:
            return _known(tx, registered) or ledger.append(
                tx, loop=loop, rule="rollout:begin", action="shadow", outcome="suppressed", reason=standing,
                about=(registered.name, version.id), actor=actor, at=now,
            )  # fmt: skip
        idle_s = None if newest is None else now - newest
        move = first_step(config, deployment, registered.number, about=version.id, idle_s=idle_s, now=now)
        trial = Trial(version=registered.number, position=position, probation=move.action == "promote" and move.to.previous is not None)
        return _commit(tx, deployment, move, trial, rule="rollout:begin", number=registered.number, now=now, actor=actor)


def advance(workspace: Workspace, loop: str, config: Rollout, *, now: float, actor: str) -> list[Decision]:
    """Look at what was answered since the stage began and make at most one move. Safe from several processes at once."""
    with workspace.read() as tx:
        deployment = registry.deployment(tx, loop)
        trial = load_trial(tx, loop)
        if deployment.champion is None or (deployment.stage == "none" and not trial.probation):
            return []
        number = deployment.challenger if deployment.stage != "none" else deployment.champion
        entry = registry.get(tx, loop, number or deployment.champion)
        binary = records.load(tx, entry.candidate, Candidate).signature.task == "classification"
        errors = errors_of(tx, loop, deployment.challenger)
    both = collect(workspace.predictions, deployment, trial)
    with workspace.read() as tx:
        known = labels_of(tx, both)
    traffic = weigh(both, known, deployment, trial, binary=binary, errors=errors, now=now)
    move = next_step(config, deployment, traffic, about=entry.version, now=now, on_probation=trial.probation)
    if move is not None:
        try:
            return [apply(workspace, deployment, move, config, now=now, actor=actor)]
        except Conflict:
            return []  # another process moved first; the next look sees where to
    after = trial
    if compares(config, traffic):
        after = msgspec.structs.replace(after, looks=trial.looks + 1, looked_at=traffic.challenger.n + traffic.champion.n)
    if deployment.stage == "none" and _survived(config, traffic.challenger.n, traffic.rows):
        after = msgspec.structs.replace(after, probation=False)
    if after != trial:
        with workspace.write() as tx:
            serialise(tx)
            if load_trial(tx, loop) == trial and registry.deployment(tx, loop).revision == deployment.revision:
                put_trial(tx, loop, after)
    return []


def apply(workspace: Workspace, deployment: Deployment, move: Move, config: Rollout, *, now: float, actor: str) -> Decision:
    """Make a move from the deployment that it was decided on. Conflict when that changed, or a gate record is missing."""
    loop = deployment.loop
    number = deployment.challenger if deployment.challenger is not None else deployment.champion
    assert number is not None
    compared = deployment.champion if move.action == "promote" else None
    position, _ = begins(workspace.predictions, loop, compared, config.probation_rows if compared is not None else 0)
    with workspace.write() as tx:
        serialise(tx)
        if move.action != "rollback":
            proven(tx, registry.get(tx, loop, number))
        trial = Trial(
            version=number,
            position=position,
            looks=load_trial(tx, loop).looks + 1,
            probation=move.action == "promote" and move.to.previous is not None,
        )
        rule = f"rollout:{deployment.stage if deployment.stage != 'none' else 'probation'}"
        return _commit(tx, deployment, move, trial, rule=rule, number=number, now=now, actor=actor)


def rollback(workspace: Workspace, loop: str, *, actor: str, reason: str, now: float) -> Decision:
    """A person goes back: the challenger is withdrawn, or where there is none, the champion gives way to the one before it.

    Nothing is trained. Conflict when there is nothing to go back to.
    """
    with workspace.write() as tx:
        serialise(tx)
        deployment = registry.deployment(tx, loop)
        if deployment.revision == 0 and loop not in registry.loops(tx):
            raise unknown("Model", loop, registry.loops(tx))
        if deployment.challenger is not None:
            to = msgspec.structs.replace(deployment, challenger=None, stage="none", share=0.0, since=now)
            done = f"Version {deployment.challenger} is withdrawn from its {deployment.stage}; version {deployment.champion} stays champion"
            number = deployment.challenger
        elif deployment.previous is not None and deployment.champion is not None:
            to = msgspec.structs.replace(deployment, champion=deployment.previous, previous=None, since=now, champion_since=now)
            done = f"Version {deployment.champion} is rolled back to version {deployment.previous}"
            number = deployment.champion
        else:
            raise Conflict(
                f"Loop {loop!r} has nothing to go back to: version {deployment.champion} is champion, and no earlier one is noted. "
                "Run the loop again to make another version."
            )
        registry.deploy(tx, to, replacing=deployment)
        put_trial(tx, loop, Trial(version=number))
        return ledger.append(
            tx, loop=loop, rule=PERSON, action="rollback", reason=f"{done}: {reason}", actor=actor, at=now,
            about=_about(tx, loop, number, to.champion),
        )  # fmt: skip


def _commit(
    tx: Transaction, deployment: Deployment, move: Move, trial: Trial, *, rule: str, number: int, now: float, actor: str
) -> Decision:
    loop = deployment.loop
    registry.deploy(tx, move.to, replacing=deployment)
    records.keep(tx, move.verdict)
    put_trial(tx, loop, trial)
    evidence = {"findings": msgspec.to_builtins(move.verdict.findings), "from": deployment.stage, "to": move.to.stage}
    return ledger.append(
        tx, loop=loop, rule=rule, action=move.action, reason=move.reason, actor=actor, at=now,
        about=(*_about(tx, loop, number, deployment.challenger, move.to.champion), move.verdict.id), evidence=evidence,
    )  # fmt: skip


def _about(tx: Transaction, loop: str, *numbers: int | None) -> list[str]:
    entries = [registry.get(tx, loop, number) for number in dict.fromkeys(numbers) if number is not None]
    return [name for entry in entries for name in (entry.name, entry.version)]


def _standing(tx: Transaction, deployment: Deployment, registered: Registered) -> str:
    """Why a version has nothing to begin; empty when it has."""
    if registered.number == deployment.champion:
        return f"Version {registered.number} is champion already."
    if registered.number == deployment.challenger:
        return f"Version {registered.number} is in {deployment.stage} already."
    if deployment.champion is not None:
        champion = registry.get(tx, registered.loop, deployment.champion)
        if champion.candidate == registered.candidate:
            return f"Version {registered.number} is the same candidate as the champion, version {champion.number}: there is nothing to roll out."
    return ""


def _known(tx: Transaction, registered: Registered) -> Decision | None:
    found = ledger.find(tx, loop=registered.loop, about=registered.name, rule="rollout:begin", newest_first=True, limit=1)
    return found[0] if found else None


def _survived(config: Rollout, labelled: int, rows: int) -> bool:
    """Probation ends with enough labels, or when labels evidently do not come."""
    return labelled >= config.probation_rows or rows >= 10 * config.probation_rows

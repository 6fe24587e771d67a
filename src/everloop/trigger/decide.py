"""A trigger and what it is shown -> a proposal. Decides, never acts."""

from __future__ import annotations

from collections.abc import Mapping

from everloop.core.live import Decision
from everloop.trigger.evidence import Condition, Evidence, Proposal
from everloop.trigger.triggers import Trigger

ACTION = "start_run"
JOINED = "join_run"
PERSON = "trigger:person"


def decide(
    trigger: Trigger, evidence: Evidence, *, last: Decision | None, running: int, now: float, options: Mapping[str, object] | None = None
) -> Proposal | None:
    """None when the trigger's condition does not hold, or was acted on before.

    `last` is this trigger's last decision that started a run or joined one, `running` how many runs of the loop are queued or running.
    A run that failed or was refused is not repeated: what it was started for never starts another one.
    """
    condition = trigger.condition(evidence, now)
    if condition is None or (last is not None and last.evidence.get("seen") == condition.id):
        return None
    reason = suppressed_by(trigger, last, running, now)
    proposal = Proposal(
        trigger.rule,
        ACTION,
        "done",
        condition.reason,
        _about(condition),
        {**condition.evidence, "seen": condition.id, "episode": condition.episode or condition.id},
        dict(options or {}),
    )
    return proposal._replace(outcome="suppressed", reason=f"{condition.reason} {reason}") if reason else proposal


def suppressed_by(trigger: Trigger, last: Decision | None, running: int, now: float) -> str:
    """Why no run is started although the condition holds; empty when nothing is in the way."""
    if last is not None and now - last.at < trigger.cooldown_s:
        return (
            f"No run was started: the last one by this trigger was {now - last.at:.0f} s ago, and it rests for {trigger.cooldown_s:.0f} s."
        )
    if running:
        return "No run was started: one of this loop is queued or running already."
    return ""


def by_person(reason: str = "", *, options: Mapping[str, object] | None = None) -> Proposal:
    """A person asks for a run: no cool-down."""
    return Proposal(PERSON, ACTION, "done", reason or "A person asked for a run.", (), {}, dict(options or {}))


def _about(condition: Condition) -> tuple[str, ...]:
    records = (str(condition.evidence[name]) for name in ("window", "verdict") if name in condition.evidence)
    return tuple(dict.fromkeys((condition.id, *records, condition.episode)))

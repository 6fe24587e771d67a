"""What the engine says when a call cannot be made, or came to nothing: which step, what happened, what to do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from everloop.core.errors import BadInput, Lost, Stopped
from everloop.core.work import Resources

if TYPE_CHECKING:
    from everloop.engine.handle import Handle
    from everloop.engine.step import StepFunction


def another_runs(step: StepFunction[..., Any], where: str, handle: Handle[Any]) -> BadInput:
    return BadInput(
        f"Step {step.name!r}: {where} is a handle of step {handle.step.name!r} from another run ({handle.step.run}). "
        "Pass its value, .result(), or call that step in this run: its result is found again."
    )


def two_of_one_name(known: StepFunction[..., Any], step: StepFunction[..., Any]) -> BadInput:
    return BadInput(
        f"Two steps of this run are called {step.name!r}: {known.place} and {step.place}. Rename one, or give it a name: @step(name=...)."
    )


def changed_before(step: StepFunction[..., Any], what: str) -> BadInput:
    return BadInput(
        f"Step {step.name!r} ({step.place}): {what} was changed after the call and before the step could run, so nobody can say which of the "
        "two it should see. Pass a copy, or change it after the run."
    )


def changed_while(step: StepFunction[..., Any], what: str) -> BadInput:
    return BadInput(
        f"Step {step.name!r} ({step.place}): {what} was changed while the step ran, by itself or by somebody else, so its result is not kept: "
        "it would depend on when and how often the step ran. Copy what you change, or write to another file."
    )


def too_much(step: StepFunction[..., Any], capacity: Resources) -> BadInput:
    return BadInput(
        f"Step {step.name!r} ({step.place}) asks for {_amount(step.settings.resources)}, and there is only {_amount(capacity)}. "
        "Ask for less, or run on a larger machine."
    )


def lost(step: StepFunction[..., Any], reason: str, log: Path) -> Lost:
    return Lost(
        f"Step {step.name!r} ({step.place}): its process {reason}. What it printed is in {log}. Give it more memory or mend what crashed, "
        "and run again: finished steps are kept."
    )


def late(step: StepFunction[..., Any]) -> Stopped:
    return Stopped(
        f"Step {step.name!r} ({step.place}) did not end within its timeout_s={step.settings.timeout_s:g} and was stopped. "
        "Allow it more, or make it do less."
    )


def _amount(needs: Resources) -> str:
    return f"{needs.cpus:g} cpus, {needs.gpus:g} gpus and {needs.memory_mb:,.0f} MB"

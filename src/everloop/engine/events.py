"""What an observer of a run is told: a step began, got on, ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from everloop.core.runs import Step


class Event(NamedTuple):
    """`finished` has the step's last row: done, hit, failed, skipped or cancelled. A hit or a skipped step has no `started`.

    `progress` has how much of the body's work is done, `of` how much there is (None: nobody knows).
    """

    kind: Literal["started", "progress", "finished"]
    step: Step
    done: float = 0.0
    of: float | None = None


Observer: TypeAlias = Callable[[Event], object]
"""Called in the coordinator between two transactions: what the step's row says is already kept. One call at a time, from any thread."""

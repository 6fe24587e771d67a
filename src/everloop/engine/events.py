"""What an observer of a run is told: a step began, a step ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from everloop.core.runs import Step


class Event(NamedTuple):
    """`finished` has the step's last row: done, hit or failed. A hit has no `started`."""

    kind: Literal["started", "finished"]
    step: Step


Observer: TypeAlias = Callable[[Event], object]
"""Called in the coordinator between two transactions: what the step's row says is already kept."""

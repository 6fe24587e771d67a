"""Which run is going on here, which step bodies are being executed, and whom they tell how far they are."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from everloop.engine.coordinator import Execution
    from everloop.engine.step import StepFunction

execution: ContextVar[Execution | None] = ContextVar("everloop_execution", default=None)
bodies: ContextVar[tuple[StepFunction[..., Any], ...]] = ContextVar("everloop_bodies", default=())
# (done, of): what the body that is executed here has done of its work.
progress: ContextVar[Callable[[float, float | None], object] | None] = ContextVar("everloop_progress", default=None)

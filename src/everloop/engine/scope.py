"""Which run is going on here, and which step bodies are being executed."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from everloop.engine.run import Execution
    from everloop.engine.step import StepFunction

execution: ContextVar[Execution | None] = ContextVar("everloop_execution", default=None)
bodies: ContextVar[tuple[StepFunction[..., Any], ...]] = ContextVar("everloop_bodies", default=())

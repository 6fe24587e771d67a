"""One call of a step within a run, from the moment that the pipeline makes it until it ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from everloop.core.runs import Step

if TYPE_CHECKING:
    from everloop.engine.artifacts import Artifact
    from everloop.engine.keys import Key
    from everloop.engine.step import StepFunction
    from everloop.engine.watch import Watched

# waiting: for inputs. twin: an equal call of this run is under way. held: another process has the lease of the key.
# queued: ours to run, when there is room. running. The others are ends.
State: TypeAlias = Literal["waiting", "twin", "held", "queued", "running", "done", "failed", "skipped", "cancelled"]
ENDS: frozenset[State] = frozenset({"done", "failed", "skipped", "cancelled"})


class Call:
    """Mutable, and changed by the coordinator alone, under its lock. `row` is what the store knows of it, or shall know next."""

    __slots__ = (
        "arguments",
        "artifact",
        "attempt",
        "dependents",
        "early",
        "error",
        "key",
        "missing",
        "row",
        "seen",
        "state",
        "step",
        "twins",
        "value",
    )

    def __init__(self, step: StepFunction[..., Any], arguments: Mapping[str, Any], row: Step) -> None:
        self.step = step
        self.arguments = arguments
        self.row = row
        self.state: State = "waiting"
        self.key: Key | None = None
        self.artifact: Artifact | None = None
        # Only what cannot be kept: the result of some effects.
        self.value: Any = None
        self.error: BaseException | None = None
        # Somebody asked for the result and was given the error: it is theirs to handle.
        self.seen = False
        self.missing = 0
        self.attempt = 0
        self.dependents: list[Call] = []
        self.twins: list[Call] = []
        # The parameters of a call that has to wait, as they were: nobody may change them meanwhile.
        self.early: Watched | None = None

    @property
    def ended(self) -> bool:
        return self.state in ENDS

"""What a detector is given and what it answers.

A detector is a frozen record of its thresholds with a stated false-alarm rate: the share of windows without any change on which its
finding fails, at whatever size the windows have. `examine` is a pure function.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np

from everloop.core.models import Evaluation
from everloop.core.profiles import ColumnProfile, Profile
from everloop.core.verdict import Finding

Value: TypeAlias = bool | int | float | str | None
Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A window: `confidence` is each row's top probability as the model gave it, empty where it gives none; `labelled` are
    (answer, label) pairs, as many as labels are known; `profile` counts features in the reference's bins."""

    rows: int
    profile: Profile
    outputs: Mapping[str, int]
    """Answers by their text, with counts; empty for regression."""
    output: ColumnProfile | None
    """The numeric answers in the bins of the reference's, None for classification."""
    confidence: Floats
    labelled: tuple[tuple[Value, Value], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What was normal when the model was evaluated. `outputs` counts the answers on the evaluation rows, `output` the first window's
    numeric answers; both empty where unknown."""

    task: str
    evaluation: Evaluation
    profile: Profile | None
    outputs: Mapping[str, int]
    output: ColumnProfile | None


class Detector(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def false_alarm_rate(self) -> float:
        """Share of windows without a change on which the finding fails."""
        ...

    def examine(self, seen: Seen, reference: Reference) -> Finding: ...


def quiet(check: str, message: str, **evidence: object) -> Finding:
    """A detector that has nothing to examine says why."""
    return Finding(check=check, passed=True, message=message, severity="info", evidence=evidence)

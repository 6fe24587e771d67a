"""What the sections of a benchmark find, and what they are told."""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from measure.bars import Bar
from measure.tools import Tool


@dataclass(frozen=True)
class Step:
    """Median and half the distance of the quartiles, in ms."""

    ms: float
    spread_ms: float

    def __str__(self) -> str:
        return f"{self.ms:.2f} ±{self.spread_ms:.2f}"


def step_of(sample_s: Sequence[float]) -> Step:
    low, middle, high = statistics.quantiles(sample_s, n=4, method="inclusive")
    return Step(1000 * middle, 1000 * (high - low) / 2)


@dataclass(frozen=True)
class Row:
    """Medians of one tool. `cached_cpu_s` is None where nothing is cached."""

    import_cpu_s: float
    one_wall_s: float
    one_cpu_s: float
    wall: Step
    cpu: Step
    cached_cpu_s: float | None


@dataclass(frozen=True)
class Table:
    """One to show: the first line is its head, `below` explains it."""

    title: str
    lines: Sequence[tuple[str, ...]]
    below: str = ""


@dataclass
class Findings:
    """Everything measured: bars, the table of tools, other tables, plain facts, and who was left out why."""

    bars: list[Bar] = field(default_factory=list)
    rows: dict[str, Row] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    def skip(self, what: str, reason: str) -> None:
        talk(f"skipped: {what}: {reason}")
        self.skipped[what] = reason


@dataclass(frozen=True)
class Settings:
    quick: bool
    root: Path
    tools: tuple[Tool, ...]


def talk(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def told(figure: float) -> float:
    """A cost, or NaN when noise made it vanish."""
    return figure if figure > 0 else math.nan


def ratios(ours: Row, theirs: Row) -> dict[str, float]:
    """Ours through theirs; NaN where one of the two cannot be told from noise."""
    pairs = {"wall of a step": (ours.wall.ms, theirs.wall.ms), "CPU of a step": (ours.cpu.ms, theirs.cpu.ms)}
    if ours.cached_cpu_s is not None and theirs.cached_cpu_s is not None:
        pairs["CPU of the cached re-run"] = (ours.cached_cpu_s, theirs.cached_cpu_s)
    return {what: told(mine) / told(other) for what, (mine, other) in pairs.items()}

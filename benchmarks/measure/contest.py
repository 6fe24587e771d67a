"""The same work by several tools: each time in a fresh process, in turns, and checked; medians."""

from __future__ import annotations

import os
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from measure import tools
from measure.bars import Failed
from measure.findings import Findings, Settings, talk
from measure.tools import US, Tool

# What our own programs do by hand, or with a library that everloop stands on: it needs no other environment.
BY_HAND = replace(US, name="by hand")
POLARS = replace(US, name="polars")


@dataclass(frozen=True)
class Side:
    """A tool's program in `peers/<peer>/`. `rounds`: how often it is measured at most, since some take a minute each time."""

    tool: Tool
    program: str
    rounds: int = 9


Medians = Mapping[str, float]


def contest(
    sides: Sequence[Side],
    arguments: Sequence[str | Path],
    settings: Settings,
    found: Findings,
    *,
    rounds: int,
    wanted: Mapping[str, float],
    timeout_s: float = 600,
    cold: Path | None = None,
) -> dict[str, Medians]:
    """Tool -> medians of what its program reports. `wanted` is what each must have found, else it did not do the work; a peer that did not,
    or is not there, is skipped by name, and ours is an error. `cold` is a file that no run finds in memory because the one before read it."""
    samples: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    left = [side for side in sides if not _absent(side, found)]
    for number in range(rounds):
        for side in list(left):
            if number >= side.rounds:
                continue
            talk(f"{side.program}, round {number + 1} of {min(rounds, side.rounds)}: {side.tool.name}")
            folder = tools.fresh(settings.root)
            _settle(cold)
            try:
                facts = tools.program(side.tool, side.program, [str(one) for one in arguments], folder, timeout_s=timeout_s).facts
                _check(facts, wanted)
            except Failed as error:
                if side.tool.ours:
                    raise Failed(f"{side.tool.name}: {error}") from error
                found.skip(side.tool.name, str(error))
                left.remove(side)
                samples.pop(side.tool.name, None)
                continue
            finally:
                tools.clear(folder)
            for name, fact in facts.items():
                samples[side.tool.name][name].append(fact)
    return {tool: {name: statistics.median(values) for name, values in sample.items()} for tool, sample in samples.items()}


def _settle(cold: Path | None) -> None:
    """What was written before is on the disk, so that writing it does not slow down whoever is measured next."""
    if cold is None:
        return
    os.sync()
    if hasattr(os, "posix_fadvise"):
        with cold.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _absent(side: Side, found: Findings) -> bool:
    reason = tools.missing(side.tool)
    if reason and side.tool.name not in found.skipped:
        found.skip(side.tool.name, reason)
    return bool(reason)


def _check(facts: Mapping[str, float], wanted: Mapping[str, float]) -> None:
    for name, value in wanted.items():
        if facts.get(name) != value:
            raise Failed(f"measured wrongly: {name} is {facts.get(name)}, not {value}")

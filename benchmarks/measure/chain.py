"""One step, fifty steps, and fifty that are cached, in cold processes: everloop and its peers in turns."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from pathlib import Path

from measure import tools
from measure.bars import Failed, bar
from measure.findings import Findings, Row, Settings, ratios, step_of, talk, told
from measure.tools import US, Ran, Tool

STEPS = 50


def chain(settings: Settings, found: Findings) -> None:
    samples: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    kept: dict[str, Path] = {}
    measured = [tool for tool in settings.tools if _warm(tool, settings.root, kept, found)]
    rounds = 4 if settings.quick else max(tool.rounds for tool in settings.tools)
    for number in range(rounds):
        talk(f"round {number + 1} of {rounds}")
        for tool in list(measured):
            if number >= tool.rounds:
                continue
            try:
                _measure(tool, settings.root, kept.get(tool.name), samples[tool.name])
            except Failed as error:
                if tool is US:
                    raise
                found.skip(tool.name, str(error))
                measured.remove(tool)
    found.rows.update({tool.name: _row(samples[tool.name], inside=tool.inside) for tool in measured})
    ours = found.rows[US.name]
    wall, cpu = (step_of(samples[US.name][name]) for name in ("inside_wall_s", "inside_cpu_s"))
    found.facts.append(("everloop's step, measured within the process, ms", f"{wall} wall, {cpu} CPU"))
    found.bars += [
        bar("from everloop import pipeline, step: CPU s", ours.import_cpu_s, 0.3),
        bar("1 step in a cold process and a fresh folder, CPU s", ours.one_cpu_s, 0.5),
        bar(f"an executed step of {STEPS}, wall ms", told(ours.wall.ms), 5),
        bar(f"an executed step of {STEPS}, CPU ms", told(ours.cpu.ms), 1),
        bar(f"cached re-run of {STEPS} steps in a cold process, CPU s", ours.cached_cpu_s or math.nan, 0.3),
    ]
    for tool in measured:
        if tool.barred:
            for what, ratio in ratios(ours, found.rows[tool.name]).items():
                found.bars.append(bar(f"{what} of {tool.name}'s, ratio", ratio, 1))


def _warm(tool: Tool, root: Path, kept: dict[str, Path], found: Findings) -> bool:
    """One run before the clock starts, which compiles files and, where there is a cache, fills it. False when the tool must be skipped."""
    reason = tools.missing(tool)
    if not reason:
        folder = tools.fresh(root)
        talk(f"warming up {tool.name}")
        try:
            tools.steps(tool, STEPS if tool.caches else tool.least, folder, keep=tool.caches)
            if tool.caches:
                kept[tool.name] = folder
            return True
        except Failed as error:
            if tool is US:
                raise
            reason = str(error)
    found.skip(tool.name, reason)
    return False


def _measure(tool: Tool, root: Path, kept: Path | None, sample: dict[str, list[float]]) -> None:
    sample["import_cpu_s"].append(tools.import_cost(tool, root).cpu_s)
    for short_first in (True, False) if tool.light else (True,):
        # The two runs of a difference are neighbours in time, in both orders, so that other load on the machine falls out of it.
        first = _run(tool, root, short=short_first)
        second = _run(tool, root, short=not short_first)
        one, many = (first, second) if short_first else (second, first)
        for name in ("wall_s", "cpu_s"):
            short, long = getattr(one.cost, name), getattr(many.cost, name)
            sample[f"one_{name}"].append(short)
            sample[f"step_{name}"].append((long - short) / tool.more)
            if name in many.facts:
                sample[f"inside_{name}"].append(many.facts[name] / tool.more)
    if kept:
        sample["cached_cpu_s"].append(tools.steps(tool, STEPS, kept, keep=True, executed=0).cost.cpu_s)


def _run(tool: Tool, root: Path, *, short: bool) -> Ran:
    return tools.steps(tool, tool.least if short else tool.least + tool.more, tools.fresh(root), keep=tool.keeps)


def _row(sample: dict[str, list[float]], *, inside: bool) -> Row:
    middle = {name: statistics.median(values) for name, values in sample.items()}
    return Row(
        import_cpu_s=middle["import_cpu_s"],
        one_wall_s=middle["one_wall_s"],
        one_cpu_s=middle["one_cpu_s"],
        wall=step_of(sample["inside_wall_s" if inside else "step_wall_s"]),
        cpu=step_of(sample["step_cpu_s"]),
        cached_cpu_s=middle.get("cached_cpu_s"),
    )

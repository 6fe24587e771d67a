"""Findings -> the table for people, or the engine's section of docs/benchmarks.md."""

from __future__ import annotations

import math
import os
import platform
import time
from pathlib import Path

from measure import tools
from measure.bars import UNMEASURED, machine
from measure.chain import STEPS
from measure.findings import Findings, ratios
from measure.tools import PEERS, US

HEAD = (
    "tool",
    "import, CPU s",
    "1 step cold, wall s",
    "CPU s",
    "wall ms / step",
    "CPU ms / step",
    f"cached re-run of {STEPS}, CPU s",
    "ours / theirs",
)


def table(found: Findings) -> list[tuple[str, ...]]:
    ours = found.rows[US.name]
    lines: list[tuple[str, ...]] = [HEAD]
    for tool in (US, *PEERS):
        row = found.rows.get(tool.name)
        shown = f"{tool.name} {tools.version(tool)}".strip()
        if row is not None:
            cached = "none" if row.cached_cpu_s is None else f"{row.cached_cpu_s:.2f}"
            figures = [f"{row.import_cpu_s:.2f}", f"{row.one_wall_s:.2f}", f"{row.one_cpu_s:.2f}"]
            figures += [str(row.wall), str(row.cpu), cached]
            compared = "" if tool is US else "  ".join("noise" if math.isnan(one) else f"{one:.2g}" for one in ratios(ours, row).values())
            lines.append((shown, *figures, compared))
        elif tool.name in found.skipped:
            lines.append((shown, *["-"] * 6, "skipped"))
    return lines


def show_text(found: Findings) -> None:
    print(machine())
    if found.rows:
        lines = table(found)
        widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
        for line in lines:
            print(
                "  ".join(
                    cell.ljust(width) if not number else cell.rjust(width)
                    for number, (cell, width) in enumerate(zip(line, widths, strict=True))
                )
            )
        print("ours / theirs: wall of a step, CPU of a step, CPU of the cached re-run\n")
    for name, reason in found.skipped.items():
        print(f"skipped: {name}: {reason}")
    for what, figure in found.facts:
        print(f"{what}: {figure}")


def show_markdown(found: Findings) -> None:
    """The engine's section of docs/benchmarks.md."""
    print("## The engine (`benchmarks/engine.py`)\n")
    print(f"{time.strftime('%Y-%m-%d')}, {_machine_in_words()}.")
    print(
        "`make bench-peers` installs the peers, `python benchmarks/engine.py --markdown` measures and prints this section. Trivial steps in a"
    )
    print(
        "chain, each run in a cold process, the tools in turns. Medians; ± is half the distance of the quartiles; CPU is that of the process"
    )
    print("and all that it starts. How each peer is set up, and what is checked, stands on top of the file.\n")
    if found.rows:
        head, *lines = table(found)
        for line in (head, tuple("---" for _ in head), *lines):
            print(f"| {' | '.join(line)} |")
        print("\nOurs through theirs: wall of a step, CPU of a step, CPU of the cached re-run; below 1 ours is faster. Kedro, Dagster and")
        print("Hamilton without its cache keep nothing; Luigi's re-run looks at the last file only.\n")
    for name, reason in found.skipped.items():
        print(f"Skipped: {name}: {reason}\n")
    print("| bar | measured | limit |\n|---|---|---|")
    for one in found.bars:
        print(
            f"| {one.name} | {'noise' if one.value == UNMEASURED else f'{one.value:g}'}{'' if one.holds else ' (missed)'} | {one.limit:g} |"
        )
    print("\n| besides | |\n|---|---|")
    for what, figure in found.facts:
        print(f"| {what} | {figure} |")


def _machine_in_words() -> str:
    model, memory = platform.processor() or platform.machine(), ""
    if Path("/proc/cpuinfo").exists():
        names = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else model
        memory = f", {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    return f"{os.cpu_count()} cores of {model}{memory}, {platform.system()}, Python {platform.python_version()}"

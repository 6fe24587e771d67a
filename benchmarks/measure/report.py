"""Findings -> the tables for people, or a section of docs/benchmarks.md."""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Sequence
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
        _print_aligned(table(found))
        print("ours / theirs: wall of a step, CPU of a step, CPU of the cached re-run\n")
    for one in found.tables:
        print(one.title)
        _print_aligned(one.lines)
        print(f"{one.below}\n" if one.below else "")
    for name, reason in found.skipped.items():
        print(f"skipped: {name}: {reason}")
    for what, figure in found.facts:
        print(f"{what}: {figure}")


def _print_aligned(lines: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        cells = [cell.rjust(width) if number else cell.ljust(width) for number, (cell, width) in enumerate(zip(line, widths, strict=True))]
        print("  ".join(cells))


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
        _print_markdown(table(found))
        print("\nOurs through theirs: wall of a step, CPU of a step, CPU of the cached re-run; below 1 ours is faster. Kedro, Dagster and")
        print("Hamilton without its cache keep nothing; Luigi's re-run looks at the last file only.\n")
    _rest_in_markdown(found)


def show_data_markdown(found: Findings) -> None:
    """The data's section of docs/benchmarks.md."""
    print("## Data (`benchmarks/data.py`)\n")
    print(f"{time.strftime('%Y-%m-%d')}, {_machine_in_words()}.")
    print(
        "`make bench-peers` installs the peers, `python benchmarks/data.py --markdown` measures and prints this section. Each figure is the"
    )
    print(
        "median of several fresh processes, the tools in turns; CPU and wall are those of the work itself, after imports and after the table"
    )
    print(
        "was read, in all threads. The table is made by the benchmark: 12 numeric columns and 8 texts of 2 to 100,000 different values.\n"
    )
    for one in found.tables:
        print(f"**{one.title}**\n")
        _print_markdown(one.lines)
        print(f"\n{one.below}\n" if one.below else "")
    _rest_in_markdown(found)


def _rest_in_markdown(found: Findings) -> None:
    for name, reason in found.skipped.items():
        print(f"Skipped: {name}: {reason}\n")
    print("| bar | measured | limit |\n|---|---|---|")
    for one in found.bars:
        print(
            f"| {one.name} | {'noise' if one.value == UNMEASURED else f'{one.value:g}'}{'' if one.holds else ' (missed)'} | {one.limit:g} |"
        )
    if found.facts:
        print("\n| besides | |\n|---|---|")
    for what, figure in found.facts:
        print(f"| {what} | {figure} |")


def _print_markdown(lines: Sequence[tuple[str, ...]]) -> None:
    head, *rest = lines
    for line in (head, tuple("---" for _ in head), *rest):
        print(f"| {' | '.join(line)} |")


def _machine_in_words() -> str:
    model, memory = platform.processor() or platform.machine(), ""
    if Path("/proc/cpuinfo").exists():
        names = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else model
        memory = f", {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    return f"{os.cpu_count()} cores of {model}{memory}, {platform.system()}, Python {platform.python_version()}"

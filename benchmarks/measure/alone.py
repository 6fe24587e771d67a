"""Growth, partitions, many processes at once, worker processes: what is measured of everloop alone, or nearly."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from measure import tools
from measure.bars import Failed, bar
from measure.findings import Findings, Settings, talk
from measure.tools import US

from everloop.core import plugins

PROCESSES = 8


def growth(settings: Settings, found: Findings) -> None:
    for what, count in (("steps", 1_000 if settings.quick else 10_000), ("runs", 100 if settings.quick else 1_000)):
        talk(f"growth: {count:,} {what}")
        folder = tools.fresh(settings.root)
        facts = tools.program(US, "growth", [what, str(count), str(folder / "state")], folder).facts
        where = f"in a run of {count:,} steps" if what == "steps" else f"with {count:,} runs in the store"
        found.bars.append(bar(f"CPU of a step {where}: last through first", facts["last_ms"] / facts["first_ms"], 1.3))
        found.facts.append((f"CPU of a step {where}", f"{facts['first_ms']:.2f} ms at first, {facts['last_ms']:.2f} ms at last"))
        found.facts.append((f"memory of that process, {where}", f"{facts['peak_mb']:.0f} MB at most"))


def partitions(settings: Settings, found: Findings) -> None:
    count = 50 if settings.quick else 200
    talk(f"partitions: {count}")
    folder = tools.fresh(settings.root)
    costs = {}
    for what, last, wanted in (("all new", 1, count), ("one changed", 2, 1), ("nothing changed", 2, 0)):
        ran = tools.program(US, "parts", [str(count), str(last), str(folder / "state")], folder)
        costs[what] = f"{ran.cost.cpu_s:.2f} CPU s"
        if what != "all new":
            found.bars.append(bar(f"{count} partitions, {what}: parts processed needlessly", abs(ran.executed - wanted), 0))
        elif ran.executed != wanted:
            raise Failed(f"{ran.executed} of {wanted} partitions were processed")
    found.facts.append(
        (f"{count} partitions and their merge, in a cold process", ", ".join(f"{what} {spent}" for what, spent in costs.items()))
    )


def together(settings: Settings, found: Findings) -> None:
    """Each round a fresh folder: opening the store at once is part of it."""
    wrong, rounds, steps = 0, 2 if settings.quick else 5, 10
    for number in range(rounds):
        talk(f"{PROCESSES} processes at once, round {number + 1} of {rounds}")
        folder = tools.fresh(settings.root)
        wrong += _together(folder, steps)
    found.bars.append(bar(f"{PROCESSES} processes, the same {steps} steps, {rounds} times: bodies run twice, and errors", wrong, 0))


def _together(folder: Path, steps: int) -> int:
    go, program = folder / "go", tools.HERE / "everloop" / "together.py"
    (folder / "state").mkdir()
    env = tools.environment(folder)
    started: list[subprocess.Popen[str]] = []
    for number in range(PROCESSES):
        started.append(
            subprocess.Popen(
                [sys.executable, str(program), str(steps), str(folder / "state"), str(go)],
                env={**env, "BENCH_REPORT": str(folder / f"report{number}")},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    deadline = time.monotonic() + 60
    while len(list(folder.glob("go.*"))) < PROCESSES and time.monotonic() < deadline and all(one.poll() is None for one in started):
        time.sleep(0.01)
    go.touch()
    wrong = 0
    for number, process in enumerate(started):
        try:
            said = process.communicate(timeout=120)[1]
        except subprocess.TimeoutExpired:
            process.kill()
            said = process.communicate()[1] + "not done after 120 s"
        report = folder / f"report{number}"
        if process.returncode or not report.exists() or report.read_text().split() != ["value", str(steps)]:
            talk(said.strip().rpartition("\n")[2])
            wrong += 1
    return wrong + abs(tools.executions(folder) - steps)


def workers(settings: Settings, found: Findings) -> None:
    """No bar: what a step costs on worker processes, beside joblib's loky."""
    if "processes" not in plugins.names("executors"):
        found.skip("workers", "this everloop has no executor 'processes'")
        return
    count, figures = 200, {}
    for tool in (tool for tool in settings.tools if tool.peer in ("everloop", "joblib") and not tools.missing(tool)):
        talk(f"{count} steps on 2 workers: {tool.name}")
        took: list[float] = []
        for _ in range(3):
            folder = tools.fresh(settings.root)
            ran = tools.program(tool, "parallel", [str(count), "2", str(folder / "state")], folder)
            if ran.facts["value"] != count * (count + 1) / 2 or ran.executed != count + 2:
                raise Failed(f"measured wrongly: {ran.executed} bodies ran, not {count + 2}; the value is {ran.facts['value']}")
            took.append(1000 * ran.facts["wall_s"] / count)
        figures[tool.name] = f"{tool.name} {statistics.median(took):.2f} ms wall each"
    found.facts.append((f"{count} independent steps on 2 worker processes", ", ".join(figures.values())))

"""everloop and its peers as the engine's benchmark sees them: a program each, a place to run it, and proof that it did what it should."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from measure.bars import Cost, Failed, cost
from peers.install import HERE, python_of, why_not

QUIET = {
    "DO_NOT_TRACK": "1",
    "KEDRO_DISABLE_TELEMETRY": "1",
    "HAMILTON_TELEMETRY_ENABLED": "false",
    "DAGSTER_DISABLE_TELEMETRY": "yes",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "ERROR",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
    "ZENML_ANALYTICS_OPT_IN": "false",
    "ZENML_LOGGING_VERBOSITY": "ERROR",
    "ZENML_ENABLE_RICH_TRACEBACK": "false",
    "AUTO_OPEN_DASHBOARD": "false",
    "GX_ANALYTICS_ENABLED": "false",
    "YDATA_PROFILING_NO_ANALYTICS": "true",
    "PYTHONWARNINGS": "ignore",
}


@dataclass(frozen=True)
class Tool:
    """`least`: the fewest steps it can run. `caches`: a second run can find what the first kept. `keeps`: it does so while steps are
    timed, too. `barred`: everloop must be faster. `light`: fast enough for --quick. `rounds`: how often it is measured in full.
    `inside`: the process itself says how long its steps took, because at its start and end it waits for seconds. `more`: how many steps a step's cost is measured over; 50 of those that take seconds to start would drown in the start."""

    name: str
    peer: str
    imports: str
    least: int = 1
    caches: bool = True
    keeps: bool = True
    barred: bool = True
    light: bool = False
    rounds: int = 5
    inside: bool = False
    more: int = 50

    @property
    def ours(self) -> bool:
        """Runs in the environment of everloop itself."""
        return self.peer == "everloop"


US = Tool("everloop", "everloop", "from everloop import pipeline, step", barred=False, light=True, rounds=15)
PEERS = (
    Tool("joblib", "joblib", "from joblib import Memory", barred=False, light=True, rounds=15),
    Tool("luigi", "luigi", "import luigi", light=True, rounds=15),
    Tool("kedro", "kedro", "import kedro.pipeline, kedro.runner, kedro.io", caches=False, keeps=False, light=True, rounds=15),
    Tool("hamilton", "hamilton", "from hamilton import driver", light=True, rounds=15),
    # Without its cache it is a loop that calls functions: shown, for what ours does besides.
    Tool("hamilton, no cache", "hamilton", "from hamilton import driver", caches=False, keeps=False, barred=False, light=True, rounds=15),
    Tool("dbos", "dbos", "from dbos import DBOS", rounds=7, more=500),
    Tool("dagster", "dagster", "import dagster", caches=False, keeps=False),
    Tool("metaflow", "metaflow", "from metaflow import FlowSpec, step", least=2),
    Tool("prefect", "prefect", "from prefect import flow, task", keeps=False, inside=True, more=250),
    Tool("zenml", "zenml", "from zenml import pipeline, step", keeps=False),
)


def version(tool: Tool) -> str:
    if tool.ours:
        return ""
    return (HERE / tool.peer / "requirements.txt").read_text().split()[0].partition("==")[2]


def missing(tool: Tool) -> str:
    """Why a tool cannot be measured here; empty when it can."""
    return "" if tool.ours else why_not(tool.peer)


@dataclass(frozen=True)
class Ran:
    """What one process cost and said; `executed` counts the bodies that really ran, in whatever process."""

    cost: Cost
    facts: Mapping[str, float]
    executed: int


def fresh(within: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=within))


def clear(folder: Path) -> None:
    """Gigabytes of one run must not lie there during the next."""
    shutil.rmtree(folder, ignore_errors=True)


def import_cost(tool: Tool, root: Path) -> Cost:
    return cost([str(_python(tool)), "-c", tool.imports], env=environment(fresh(root)), folder=root)


def steps(tool: Tool, count: int, folder: Path, *, keep: bool, executed: int | None = None) -> Ran:
    """Run `count` chained steps in a cold process. Failed unless the value is right and exactly `executed` (default: all) bodies ran."""
    ran = program(tool, "steps", [str(count), str(folder / "state"), "keep" if keep else "run"], folder)
    wanted = count if executed is None else executed
    if ran.facts.get("value") != count or ran.executed != wanted:
        raise Failed(f"measured wrongly: {ran.executed} bodies ran, not {wanted}; the value is {ran.facts.get('value')}, not {count}")
    return ran


def program(tool: Tool, name: str, arguments: list[str], folder: Path, *, timeout_s: float = 600) -> Ran:
    """Run one of a tool's programs; its state belongs below `folder`."""
    (folder / "state").mkdir(exist_ok=True)
    for old in ("executed", "report"):
        (folder / old).unlink(missing_ok=True)
    command = [str(_python(tool)), str(HERE / tool.peer / f"{name}.py"), *arguments]
    spent = cost(command, env=environment(folder), folder=folder / "state", timeout_s=timeout_s)
    return Ran(spent, _facts(folder / "report"), executions(folder))


def environment(folder: Path) -> dict[str, str]:
    """Nothing of this machine's user, no telemetry, and all state below `folder`."""
    for name in ("home", "tmp"):
        (folder / name).mkdir(exist_ok=True)
    return {
        **QUIET,
        "PATH": os.environ["PATH"],
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "USER": "bench",
        "USERNAME": "bench",
        "PYTHONPATH": os.pathsep.join((str(HERE / "trivial"), str(HERE / "meter"))),
        "BENCH_EXECUTED": str(folder / "executed"),
        "BENCH_REPORT": str(folder / "report"),
        "DAGSTER_HOME": str(folder / "home"),
        "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(folder / "home"),
        "PREFECT_HOME": str(folder / "home" / "prefect"),
        "ZENML_CONFIG_PATH": str(folder / "home" / "zenml"),
    }


def executions(folder: Path) -> int:
    path = folder / "executed"
    return path.stat().st_size if path.exists() else 0


def _python(tool: Tool) -> Path:
    return Path(sys.executable) if tool.ours else python_of(tool.peer)


def _facts(path: Path) -> dict[str, float]:
    if not path.exists():
        return {}
    return {name: float(value) for name, value in (line.split() for line in path.read_text().splitlines())}

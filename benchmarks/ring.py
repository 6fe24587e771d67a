"""The bars of the whole ring: how fast it starts, how long the demo takes, what it needs.

    python benchmarks/ring.py [--quick] [--json]

No peer does what the demo does, so there is none beside it here; the areas that have peers measure them in files of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

RUNS = 5


@dataclass(frozen=True)
class Bar:
    """`value` must be at most `limit`."""

    name: str
    value: float
    limit: float
    holds: bool


def bar(name: str, value: float, limit: float) -> Bar:
    return Bar(name, round(value, 3), limit, value <= limit)


def cpu_of(command: list[str]) -> float:
    """User and system seconds of one finished child."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)


def median_cpu(command: list[str]) -> float:
    cpu_of(command)  # once for the compiled files
    return statistics.median(cpu_of(command) for _ in range(RUNS))


def starting() -> list[Bar]:
    python = sys.executable
    return [
        bar("import everloop, CPU s", median_cpu([python, "-c", "import everloop"]), 0.3),
        bar("everloop --help, CPU s", median_cpu([python, "-m", "everloop", "--help"]), 0.3),
    ]


def demo() -> list[Bar]:
    """Twice in the same folder; the slower one counts."""
    facts: list[dict[str, float]] = []
    seconds: list[float] = []
    codes: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(2):
            begun = time.monotonic()
            result = subprocess.run(
                [sys.executable, "-m", "everloop", "demo", "--json", "--folder", str(Path(folder) / "demo")],
                capture_output=True,
                text=True,
                check=False,
            )
            seconds.append(time.monotonic() - begun)
            codes.append(result.returncode)
            if result.returncode:
                sys.stderr.write(result.stderr)
                break
            facts.append(json.loads(result.stdout))
    return [
        bar("everloop demo twice in one folder, worst exit code", max(codes), 0),
        bar("everloop demo, wall s", max(seconds), 60),
        bar("everloop demo, MB in all processes", max((one["memory_mb"] for one in facts), default=float("inf")), 1500),
        bar("everloop demo, failed requests", max((one["requests_failed"] for one in facts), default=float("inf")), 0),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="without the demo, under a minute")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    args = parser.parse_args()
    parts: list[Callable[[], list[Bar]]] = [starting] if args.quick else [starting, demo]
    bars = [found for part in parts for found in part()]
    if args.json:
        print(json.dumps({"bars": [asdict(one) for one in bars]}))
    else:
        print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}")
        for one in bars:
            print(f"{'holds' if one.holds else 'FAILS':6} {one.name:52} {one.value:>9} (at most {one.limit:g})")
    return 0 if all(one.holds for one in bars) else 1


if __name__ == "__main__":
    sys.exit(main())

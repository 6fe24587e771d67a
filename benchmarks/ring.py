"""The bars of the whole ring: how fast it starts, how long the demo takes, what it needs.

    python benchmarks/ring.py [--quick] [--json]

No peer does what the demo does, so there is none beside it here; the areas that have peers measure them in files of their own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from measure.bars import Bar, bar, cost, machine, show

RUNS = 5


def median_cpu(command: list[str]) -> float:
    cost(command)  # once for the compiled files
    return statistics.median(cost(command).cpu_s for _ in range(RUNS))


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
    if not args.json:
        print(machine())
    return show(bars, as_json=args.json)


if __name__ == "__main__":
    sys.exit(main())

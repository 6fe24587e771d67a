"""The engine's bars, beside its peers in the same run.

    python benchmarks/engine.py [--quick] [--json | --markdown] [--only NAME ...]

`make bench-peers` installs the peers; one that is not installed, or fails, is named with the reason. Each tool runs the same chain of
trivial steps in a cold process and a fresh folder, in turns with the others, so that what else the machine does hits all alike. A step's
cost is a difference quotient: 50 steps more, divided by 50 (of those that take seconds to start, some hundreds;
Prefect, whose process waits for seconds at its end, says itself how long its tasks took). CPU seconds are those of the process and all that it starts. A peer is
measured at its fastest setting that is still honest: Dagster in memory, Kedro without a project, Prefect and ZenML without results kept
for a second run, except where that second run is what is timed. Every body counts itself, so that a run which did not execute what it
should, or a re-run which did, is an error and no figure.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from measure.alone import growth, partitions, together, workers
from measure.bars import Failed, bar, show
from measure.chain import chain
from measure.findings import Findings, Settings, talk
from measure.report import show_markdown, show_text
from measure.tools import PEERS, US

SECTIONS: dict[str, Callable[[Settings, Findings], None]] = {
    "chain": chain,
    "growth": growth,
    "partitions": partitions,
    "together": together,
    "workers": workers,
}


def main() -> int:
    names = [*SECTIONS, *(tool.name for tool in PEERS)]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under a minute: light peers, fewer rounds, less growth")
    parser.add_argument(
        "--only", action="append", choices=names, metavar="NAME", help=f"a section or a peer, more than once if need be: {', '.join(names)}"
    )
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="one JSON object: the bars")
    shown.add_argument("--markdown", action="store_true", help="the section of docs/benchmarks.md")
    args = parser.parse_args()
    only = set(args.only or ())
    named = [tool for tool in PEERS if tool.name in only]
    peers = named or [tool for tool in PEERS if tool.light or not args.quick]
    sections = [name for name in SECTIONS if not only or name in only or (name == "chain" and named)]
    found = Findings()
    found.facts.append(("load of the machine before the benchmark began", f"{os.getloadavg()[0]:.1f} processes on {os.cpu_count()} cores"))
    with tempfile.TemporaryDirectory(prefix="everloop-bench-", ignore_cleanup_errors=True) as folder:
        settings = Settings(args.quick, Path(folder).resolve(), (US, *peers))
        for name in sections:
            try:
                SECTIONS[name](settings, found)
            except Failed as error:
                talk(f"{name}: {error}")
                found.bars.append(bar(f"{name}: could not be measured", 1, 0))
    if args.markdown:
        show_markdown(found)
        return 0 if all(one.holds for one in found.bars) else 1
    if not args.json:
        show_text(found)
    return show(found.bars, as_json=args.json)


if __name__ == "__main__":
    sys.exit(main())

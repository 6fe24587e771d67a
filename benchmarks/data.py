"""The bars of data, beside the tools that people use for it today.

    python benchmarks/data.py [--quick] [--gb N] [--json | --markdown] [--only NAME ...]

`make bench-peers` installs the peers; one that is not installed, or fails, is named with the reason. All are given the same table, made here
(`measure/orders.py`), each time in a fresh process and in turns. What counts is the work itself, after imports and after the table was read
into whatever the tool works on: CPU seconds of all threads and children. A peer is measured at its fastest setting that is still honest:
ydata-profiling and Evidently without a page made of the figures, Great Expectations without the whole list of what it found. Every
program says what it found, and one that did not find what is there is an error and no figure.

`--gb` is the size of the CSV file that is ingested, profiled and validated (10; with --quick 0.2). Twice that is needed on the disk of `--folder`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from measure.bars import Failed, bar, show
from measure.dirty import dirty
from measure.findings import Findings, talk
from measure.intake import append, ingest
from measure.report import show_data_markdown, show_text
from measure.tabular import PEERS, DataSettings, profile, row_check, rules

SECTIONS: dict[str, Callable[[DataSettings, Findings], None]] = {
    "profile": profile,
    "rules": rules,
    "row_check": row_check,
    "ingest": ingest,
    "append": append,
    "dirty": dirty,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under a minute: slow peers with 100k rows, a small CSV file, fewer rounds")
    parser.add_argument("--gb", type=float, metavar="N", help="size of the CSV file")
    parser.add_argument(
        "--only",
        action="append",
        choices=list(SECTIONS),
        metavar="NAME",
        help=f"a section, more than once if need be: {', '.join(SECTIONS)}",
    )
    parser.add_argument("--folder", type=Path, help="where the tables are made, and deleted at the end (default: the system's)")
    parser.add_argument("--data", type=Path, help="folder with real data (default: EVERLOOP_TEST_DATA, if that is set)")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="one JSON object: the bars")
    shown.add_argument("--markdown", action="store_true", help="the section of docs/benchmarks.md")
    args = parser.parse_args()
    data = args.data or Path(os.environ.get("EVERLOOP_TEST_DATA") or "nowhere")
    found = Findings()
    found.facts.append(("load of the machine before the benchmark began", f"{os.getloadavg()[0]:.1f} processes on {os.cpu_count()} cores"))
    with tempfile.TemporaryDirectory(prefix="everloop-bench-", dir=args.folder, ignore_cleanup_errors=True) as folder:
        gb = args.gb or (0.2 if args.quick else 10)
        settings = DataSettings(args.quick, Path(folder).resolve(), PEERS, gb, data if data.is_dir() else None)
        for name in args.only or SECTIONS:
            try:
                SECTIONS[name](settings, found)
            except Failed as error:
                talk(f"{name}: {error}")
                found.bars.append(bar(f"{name}: could not be measured", 1, 0))
    if args.markdown:
        show_data_markdown(found)
        return 0 if all(one.holds for one in found.bars) else 1
    if not args.json:
        show_text(found)
    return show(found.bars, as_json=args.json)


if __name__ == "__main__":
    sys.exit(main())

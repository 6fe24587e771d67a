"""`everloop data history`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from everloop.cli.output import emit_json, moment, short, table
from everloop.queries.figures import size


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("dataset")


def run(args: Namespace) -> int:
    from everloop.cli.workspace import existing
    from everloop.queries import datasets

    with existing(args.project) as workspace:
        found = datasets.history(workspace, args.dataset)
    if args.json:
        emit_json({"dataset": args.dataset, "versions": found})
        return 0
    table(
        ["VERSION", "SNAPSHOT", "ROWS", "COLUMNS", "SIZE", "NEW", "HOW", "NEW AT", "LAST SEEN", "BY", "NAMES"],
        [
            (
                version.take.number,
                short(version.take.snapshot),
                f"{version.take.rows:,}",
                version.columns,
                "collected" if version.collected else size(version.take.bytes),
                size(version.take.new_bytes),
                version.take.mode,
                moment(version.take.at),
                moment(version.take.seen_at),
                short(version.take.by),
                ", ".join(version.aliases),
            )
            for version in found
        ],
    )
    return 0

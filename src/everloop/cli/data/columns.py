"""`everloop data columns`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from everloop.cli.output import emit_json, say, table


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--differ", action="store_true", help="only columns with another type, or another spelling, somewhere else")


def run(args: Namespace) -> int:
    from everloop.cli.workspace import existing
    from everloop.queries import datasets

    with existing(args.project) as workspace:
        found = [use for use in datasets.columns(workspace) if use.differs or not args.differ]
    if args.json:
        emit_json({"columns": found})
        return 0
    shown = [
        (
            use.name,
            ", ".join(
                f"{kind} in {' and '.join(name for name, it in use.datasets.items() if it == kind)}"
                for kind in dict.fromkeys(use.datasets.values())
            ),
            ", ".join(use.spellings),
        )
        for use in found
    ]
    table(
        ["COLUMN", "IS", "ALSO SPELLED"],
        shown,
        empty="No column differs between the datasets." if args.differ else "There is no dataset yet.",
    )
    count = sum(use.differs for use in found)
    if count and not args.differ:
        say(f"{count} columns are not the same everywhere.")
    return 0

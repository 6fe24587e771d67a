"""`everloop data list`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from everloop.cli.output import emit_json, moment, say, table
from everloop.queries.figures import size


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "search", nargs="*", metavar="WORD", help="only datasets with each word in their name, owner, description, source, columns …"
    )


def run(args: Namespace) -> int:
    from everloop.cli.workspace import existing
    from everloop.queries import datasets

    words = " ".join(args.search)
    with existing(args.project) as workspace:
        found = datasets.catalogue(workspace, search=words)
    if args.json:
        emit_json({"datasets": found})
        return 0
    shown = [
        (
            entry.name,
            entry.version,
            f"{entry.rows:,}",
            len(entry.columns),
            size(entry.bytes),
            moment(entry.new_at),
            entry.owner,
            ", ".join(entry.used_by),
            ", ".join(entry.found_in) if words else entry.description,
        )
        for entry in found
    ]
    last = "FOUND IN" if words else "DESCRIPTION"
    empty = f"No dataset has {words!r}." if words else "There is no dataset yet. 'everloop data take' or 'everloop run' makes the first."
    table(["DATASET", "VERSION", "ROWS", "COLUMNS", "SIZE", "NEW AT", "OWNER", "USED BY", last], shown, empty=empty)
    if any(entry.collected for entry in found):
        say(
            f"The rows of {', '.join(entry.name for entry in found if entry.collected)} were collected; only what is known of them is there."
        )
    return 0

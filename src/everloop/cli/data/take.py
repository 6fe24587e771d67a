"""`everloop data take`: the first arrow of the ring alone."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from everloop.cli.output import emit_json, say
from everloop.queries.figures import size


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--loop", help="whose source; needed when loop.py declares several loops")


def run(args: Namespace) -> int:
    from everloop.project import choose, load
    from everloop.runner import take
    from everloop.store.workspace import Workspace

    loop = choose(load(args.project), args.loop)
    with Workspace(args.project) as workspace:
        taken = take(workspace, loop)
    if args.json:
        emit_json({"take": taken})
        return 0
    news = "is new" if taken.at == taken.seen_at else "is still what the source has"
    say(
        f"{taken.dataset}@{taken.number} {news}: {taken.rows:,} rows, {size(taken.bytes)}, {size(taken.new_bytes)} of them new. It is {taken.snapshot}."
    )
    return 0

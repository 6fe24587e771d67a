"""`everloop cancel`: end a run; what it has finished stays."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from everloop.cli.output import emit_json, say


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("run", help="the run (a beginning of its id will do)")


def run(args: Namespace) -> int:
    from everloop.cli.workspace import existing
    from everloop.core.errors import Conflict
    from everloop.runner import cancel
    from everloop.store import runs

    with existing(args.project) as workspace:
        with workspace.read() as tx:
            found = runs.one(tx, args.run)
        if found.status not in ("queued", "running", "waiting"):
            raise Conflict(f"{found.id} has ended already: {found.status}. There is nothing to cancel.")
        found = cancel(workspace, found)
    if args.json:
        emit_json({"run": found})
    elif found.status == "running":
        say(f"{found.id} is told to end. 'everloop runs {found.id}' shows when it has.")
    else:
        say(f"{found.id} is {found.status}.")
    return 0

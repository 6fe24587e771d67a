"""`everloop data describe`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from everloop.cli.output import emit_json, say


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("dataset")
    parser.add_argument("--owner", metavar="WHO", help="who answers for it")
    parser.add_argument("--description", metavar="TEXT", help="what a row is, and what it is for")


def run(args: Namespace) -> int:
    from everloop.cli.workspace import existing
    from everloop.core.errors import BadInput
    from everloop.store import datasets

    if args.owner is None and args.description is None:
        raise BadInput("Say what to change: --owner WHO, --description TEXT, or both.")
    with existing(args.project) as workspace, workspace.write() as tx:
        found = datasets.describe(tx, args.dataset, owner=args.owner, description=args.description)
    if args.json:
        emit_json({"dataset": found})
    else:
        say(f"{found.name} belongs to {found.owner or 'nobody yet'}: {found.description or 'no description yet'}")
    return 0

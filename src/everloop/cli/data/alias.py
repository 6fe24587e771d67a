"""`everloop data alias`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from everloop.cli.output import emit_json, say


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("version", help="NAME, NAME@3, NAME@2026-11-20 or a snapshot's id")
    parser.add_argument("alias", help="small letters, digits, '.', '_' and '-'; it moves here when another version had it")


def run(args: Namespace) -> int:
    from everloop.cli.workspace import existing
    from everloop.steps import person
    from everloop.store import datasets

    with existing(args.project) as workspace, workspace.write() as tx:
        found = datasets.resolve(tx, args.version)
        datasets.call(tx, found, args.alias, by=person())
    if args.json:
        emit_json({"alias": f"{found.dataset}@{args.alias}", "snapshot": found.id})
    else:
        say(f"{found.dataset}@{args.alias} is {found.id}.")
    return 0

"""`everloop data rm`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from everloop.cli.output import emit_json, say


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("what", help="NAME@ALIAS, NAME@3, NAME@2026-11-20, a snapshot's id, or NAME for the dataset with all its versions")


def run(args: Namespace) -> int:
    from everloop.cli.workspace import existing
    from everloop.steps import person
    from everloop.store import datasets

    with existing(args.project) as workspace, workspace.write() as tx:
        told = datasets.forget(tx, args.what, by=person())
    if args.json:
        emit_json({"removed": args.what, "sentence": told})
    else:
        say(told, "'everloop gc' deletes what neither a run nor a version needs any more.")
    return 0

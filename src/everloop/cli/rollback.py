"""`everloop rollback`: go back to the version before, or withdraw the one that is rolling out."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from everloop.cli.output import emit_json, say


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("loop", nargs="?", help="which loop, when there are several")
    parser.add_argument("--reason", default="", help="why, for the ledger")


def run(args: Namespace) -> int:
    import time

    from everloop.cli.workspace import existing
    from everloop.core.errors import BadInput
    from everloop.queries import status
    from everloop.release.deploy import rollback
    from everloop.runner import person, show

    with existing(args.project) as workspace:
        if args.loop is not None:
            status.must_know(workspace, args.loop)
        names = status.loop_names(workspace) if args.loop is None else [args.loop]
        if len(names) != 1:
            raise BadInput(f"There are several loops: {', '.join(names)}. Say which one." if names else "No loop has run here yet.")
        loop = names[0]
        decision = rollback(workspace, loop, actor=person(), reason=args.reason or "asked for by a person", now=time.time())
        show(workspace, loop)
    if args.json:
        emit_json({"decision": decision})
    else:
        print(decision.reason)
        say(f"'everloop why {decision.id}' shows it; running servers follow within a second.")
    return 0

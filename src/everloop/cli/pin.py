"""`everloop pin`: keep a record, a run or a version from being collected; without an id, what is kept so."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from everloop.cli.output import emit_json, moment, say, table


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("id", nargs="?", help="a record, a run (a beginning of its id will do) or a version (name/3); none lists the pins")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why it must stay, for whoever finds the pin later")
    parser.add_argument("--remove", action="store_true", help="take the pin off")


def run(args: Namespace) -> int:
    from everloop.cli.workspace import existing
    from everloop.core.errors import BadInput
    from everloop.steps import person
    from everloop.store import pins

    if args.id is None and (args.remove or args.reason):
        raise BadInput("Which one? Give the id of a record, a run or a version. 'everloop pin' alone lists the pins.")
    with existing(args.project) as workspace:
        if args.id is None:
            with workspace.read() as tx:
                found = pins.find(tx)
            if args.json:
                emit_json({"pins": found})
            else:
                rows = [(pin.id, moment(pin.at), pin.by, pin.reason) for pin in found]
                table(["PINNED", "SINCE", "BY", "REASON"], rows, empty="Nothing is pinned.")
            return 0
        with workspace.write() as tx:
            if args.remove:
                pin = pins.remove(tx, args.id, by=person())
            else:
                pin = pins.add(tx, workspace.blobs, args.id, reason=args.reason, by=person())
    if args.json:
        emit_json({"pin": pin, "removed": args.remove})
    elif args.remove:
        say(f"{pin.id} is not pinned any more; the next 'everloop gc' may delete it.")
    else:
        say(f"{pin.id} and all that it was made from stay until 'everloop pin --remove {pin.id}'.")
    return 0

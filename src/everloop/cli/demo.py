"""`everloop demo`: the whole loop closing on real images, in a minute."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from everloop.cli.exits import OK, UNPROVEN
from everloop.cli.output import emit_json, say


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--folder", default="everloop-demo", help="where to play it (default: everloop-demo; an earlier demo there is replaced)"
    )


def run(args: Namespace) -> int:
    from pathlib import Path

    from everloop.demo.play import play
    from everloop.demo.story import Unproven

    folder = Path(args.folder).absolute()
    tell = say if args.json else print
    tell(f"everloop demo: 1,797 real images of handwritten digits, streamed through a real loop in {folder}")
    try:
        facts = play(folder, tell)
    except Unproven as error:
        say(f"\nThe story does not hold. {error}\nThe processes' talk is in {folder / 'up.log'}.")
        return UNPROVEN
    if args.json:
        emit_json(facts)
        return OK
    width = max(map(len, facts))
    print()
    for name, value in facts.items():
        print(f"    {name.replace('_', ' '):{width}}  {', '.join(value) if isinstance(value, list) else value}")
    say("", f"Look around: cd {args.folder}; everloop status; everloop models; everloop why {facts['champion']}")
    return OK

"""`everloop annotate`: queues of rows that people label, and the labels that come of them; a sub-command each."""

from __future__ import annotations

import argparse
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from everloop.store.workspace import Workspace


def arguments(parser: ArgumentParser) -> None:
    parser.epilog = "The page for labelling is at /labelling of 'everloop up'. 'everloop annotate COMMAND --help' explains one command."
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, text: str, *, queue: bool = True) -> ArgumentParser:
        one = commands.add_parser(name, help=text, description=text.capitalize() + ".")
        if queue:
            one.add_argument("queue", help="the queue's name")
        one.add_argument("--project", default=argparse.SUPPRESS, metavar="FOLDER", help="the folder with loop.py (default: here)")
        one.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="one JSON object on stdout instead of text")
        return one

    create = command("create", "open a queue over the rows of a dataset, or of files")
    rows = create.add_mutually_exclusive_group(required=True)
    rows.add_argument(
        "--dataset", metavar="NAME", help="a dataset's newest snapshot; NAME@3, NAME@2026-11-20 or a snapshot's id is another one"
    )
    rows.add_argument("--files", metavar="PATTERN", help="take these files first, as a dataset of the queue's name")
    create.add_argument(
        "--target", required=True, metavar="COLUMN", help="the column that the labels become; rows that have a value in it are left out"
    )
    create.add_argument("--choices", metavar="A,B", help="the vocabulary, separated by commas")
    create.add_argument("--kind", choices=("choice", "number", "text"), help="what a label is (default: choice)")
    create.add_argument("--tolerance", type=float, default=0.0, metavar="X", help="numbers this near to each other are the same answer")
    create.add_argument("--key", default="", metavar="COLUMN", help="the column that names a row (default: its whole content)")
    create.add_argument("--instruction", default="", metavar="TEXT", help="what labellers are to do, shown above each row")
    create.add_argument("--labellers", type=int, default=1, metavar="N", help="how many people look at each row")
    create.add_argument("--review", choices=("ties", "all"), default="ties", help="what goes to a reviewer: disagreement, or everything")
    create.add_argument("--lease", type=float, default=600.0, metavar="SECONDS", help="how long a row is lent to one person")
    create.add_argument("--all", action="store_true", help="queue rows that have a value already, too")
    _order(create)

    refresh = command("refresh", "put the newest rows into a queue, and order them by the champion of today")
    refresh.add_argument("--dataset", metavar="NAME", help="another snapshot than the newest of the queue's dataset")
    refresh.add_argument("--files", metavar="PATTERN", help="take these files first")
    _order(refresh)

    _declare(command)


def _declare(command: Callable[..., ArgumentParser]) -> None:
    command("list", "all queues, and how far they are", queue=False)
    command("show", "one queue: people, values, who looks at what now")
    command("agreement", "how far the labellers of a queue agree, beyond chance")

    _who(command("next", "lend a row and show it"))
    label = _who(command("label", "say what a row is, and show the next"))
    label.add_argument("row")
    label.add_argument("value")
    skip = _who(command("skip", "leave a row to others, and show the next"))
    skip.add_argument("row")
    skip.add_argument("--reason", default="", metavar="TEXT")
    _who(command("undo", "take back your last answer"))

    review = _who(command("review", "list what waits for a reviewer, or say the last word on a row"))
    review.add_argument("row", nargs="?")
    said = review.add_mutually_exclusive_group()
    said.add_argument("--value", metavar="VALUE", help="accept the row with this value (default: what the majority says)")
    said.add_argument("--reject", action="store_true", help="the row has no label")
    review.add_argument("--reason", default="", metavar="TEXT")
    command("accept", "accept the majority's value on every row that waits for review and has one")

    export = command("export", "write the labels, now or as they stood at an earlier time")
    export.add_argument("--output", metavar="FILE", help=".csv, .parquet, .jsonl, or .json for Label Studio; default: CSV on stdout")
    export.add_argument(
        "--at", default="", metavar="WHEN", help="an annotation's number, a time (UTC), or the id of labels exported before"
    )
    export.add_argument("--config", action="store_true", help="instead, Label Studio's labelling configuration for the queue")
    take = command("import", "take in a JSON export of Label Studio")
    take.add_argument("file")
    take.add_argument(
        "--ignore-unknown", action="store_true", help="leave out tasks that are not in the queue, instead of refusing the file"
    )


def run(args: Namespace) -> int:
    from everloop.cli.workspace import existing
    from everloop.store.workspace import Workspace, using

    # Files can be taken where nothing was kept yet.
    opened = Workspace(args.project) if args.command == "create" and args.files else existing(args.project)
    with opened as workspace, using(workspace):
        return _act(args.command)(workspace, args)


def _act(command: str) -> Callable[[Workspace, Namespace], int]:
    from everloop.cli import annotate_desk as desk
    from everloop.cli import annotate_queues as queues

    return {
        "create": queues.create, "refresh": queues.refresh, "list": queues.every, "show": queues.show, "agreement": queues.agreement,
        "accept": queues.accept, "export": queues.export, "import": queues.take_in, "next": desk.following, "label": desk.answer,
        "skip": desk.answer, "undo": desk.undo, "review": desk.review,
    }[command]  # fmt: skip


def _order(parser: ArgumentParser) -> None:
    how = ("auto", "plain", "random", "uncertainty", "diversity", "mixed")
    parser.add_argument(
        "--order", choices=how, default="auto", help="which rows come first (default: mixed by the loop's champion, else plain)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--loop", metavar="NAME", help="whose champion says which rows are worth most")


def _who(parser: ArgumentParser) -> ArgumentParser:
    parser.add_argument("--as", dest="person", metavar="NAME", help="who says it (default: you)")
    return parser

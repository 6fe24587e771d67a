"""What a labeller and a reviewer do with `everloop annotate`: next, label, skip, undo, review."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from everloop.cli.output import emit_json, say, table

if TYPE_CHECKING:
    from everloop.store.workspace import Workspace


def following(workspace: Workspace, args: Namespace) -> int:
    import time

    from everloop.data.labelling import desk

    with workspace.write() as tx:
        lent = desk.lend(tx, args.queue, _person(args), now=time.time())
    return _shown(workspace, args, lent.row if lent else None)


def answer(workspace: Workspace, args: Namespace) -> int:
    import time

    from everloop.data.labelling import desk

    value, reason = (args.value, "") if args.command == "label" else (None, args.reason)
    with workspace.write() as tx:
        desk.answer(
            tx, args.queue, row=args.row, person=_person(args), action=args.command, value=value, reason=reason, token=_token(), now=time.time(),
            origin="command",
        )  # fmt: skip
    return following(workspace, args)


def undo(workspace: Workspace, args: Namespace) -> int:
    import time

    from everloop.data.labelling import desk

    with workspace.write() as tx:
        desk.undo(tx, args.queue, person=_person(args), token=_token(), now=time.time(), origin="command")
    return following(workspace, args)


def review(workspace: Workspace, args: Namespace) -> int:
    import time

    from everloop.data.labelling import desk
    from everloop.data.labelling.values import text_of
    from everloop.queries.labelling import to_review

    if args.row is None:
        found = to_review(workspace, args.queue)
        if args.json:
            emit_json({"rows": [{"item": item, "standing": stands} for item, stands in found]})
            return 0
        said = [(item, ", ".join([*(f"{who} {text_of(value)}" for who, value in stands.votes.items()), *(f"{who} skips" for who in stands.skips)]))
                for item, stands in found]  # fmt: skip
        table(["ROW", "STATE", "SAID"], [(item.row, item.state, text) for item, text in said], empty="Nothing waits for a reviewer.")
        return 0
    with workspace.write() as tx:
        made = desk.review(
            tx, args.queue, row=args.row, person=_person(args), action="reject" if args.reject else "accept", value=args.value, reason=args.reason,
            token=_token(), now=time.time(), origin="command",
        )  # fmt: skip
    if args.json:
        emit_json(made)
    else:
        say(f"{made.row} is {'rejected' if made.value is None else text_of(made.value)}.")
    return 0


def _person(args: Namespace) -> str:
    from everloop.steps import person

    return person() if args.person is None else args.person


def _token() -> str:
    import secrets

    return secrets.token_hex(16)


def _shown(workspace: Workspace, args: Namespace, row: str | None) -> int:
    from everloop.queries import labelling

    if row is None:
        if args.json:
            emit_json({"row": None})
        else:
            say("Nothing is left for you in this queue.")
        return 0
    shown = labelling.row(workspace, args.queue, row)
    if args.json:
        emit_json({"row": shown})
        return 0
    print(row)
    for field in shown.fields:
        print(f"  {field.name}: {f'({field.media}, {field.length} bytes)' if field.media else field.text[:2000]}")
    return 0

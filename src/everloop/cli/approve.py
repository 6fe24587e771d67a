"""`everloop approve`: what waits for a person, and the person's answer."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from everloop.cli.output import emit_json, moment, say, short, table

if TYPE_CHECKING:
    from everloop.store.workspace import Workspace


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("id", nargs="?", help="the question to answer (a beginning of its id will do); without one, what waits is listed")
    given = parser.add_mutually_exclusive_group()
    given.add_argument("--reject", action="store_true", help="the answer is no")
    given.add_argument("--reopen", action="store_true", help="take the answer back, and ask again")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, for the ledger")
    parser.add_argument("--all", action="store_true", help="list what was answered, too, newest first")


def run(args: Namespace) -> int:
    from everloop.cli.workspace import existing
    from everloop.core.errors import BadInput

    if args.id is None and (args.reject or args.reopen or args.reason):
        raise BadInput("Which question? 'everloop approve' lists what waits; 'everloop approve ID --reject --reason TEXT' answers one.")
    with existing(args.project) as workspace:
        return _list(workspace, args) if args.id is None else _answer(workspace, args)


def _list(workspace: Workspace, args: Namespace) -> int:
    from everloop.queries.approvals import asked

    found = asked(workspace, waiting=not args.all)
    if args.json:
        emit_json({"approvals": found})
        return 0
    table(
        ["ID", "LOOP", "PIPELINE", "QUESTION", "ABOUT", "SINCE", "UNTIL", "STANDS"],
        [
            (
                short(one.approval.id),
                one.approval.loop,
                one.approval.pipeline,
                one.approval.question,
                ", ".join(map(short, one.approval.about)),
                moment(one.approval.asked_at),
                moment(one.approval.deadline),
                one.sentence,
            )
            for one in found
        ],
        empty="Nothing waits for a person.",
    )
    if found and not args.all:
        say("'everloop approve ID' approves, with --reject it rejects; --reason says why.")
    return 0


def _answer(workspace: Workspace, args: Namespace) -> int:
    import time

    from everloop.runner import person
    from everloop.store import approvals

    now, by = time.time(), person()
    going_on: list[str] = []
    with workspace.write() as tx:
        found = approvals.one(tx, args.id)
        # A policy whose time has come was there before this person.
        approvals.expire(tx, now=now, actor=by)
    with workspace.write() as tx:
        if args.reopen:
            asked, decision = approvals.reopen(tx, found.id, reason=args.reason, by=by, now=now)
        else:
            given = "rejected" if args.reject else "approved"
            asked, decision, going_on = approvals.answer(tx, found.id, given, reason=args.reason, by=by, now=now)
    if args.json:
        emit_json({"approval": asked, "decision": decision, "going_on": going_on})
        return 0
    print(decision.reason)
    for id in going_on:
        say(f"{id} is queued again: 'everloop up' goes on with it.")
    say(f"'everloop why {decision.id}' shows it.")
    return 0

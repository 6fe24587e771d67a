"""`everloop why`: where something came from, back to the source, and the decisions on the way."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from everloop.cli.exits import UNPROVEN
from everloop.cli.output import emit_json, moment, say, short


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("id", help="a prediction (p-...), a version (name/3, name/champion), a decision, a run, or any record")
    parser.add_argument("--replay", action="store_true", help="for a prediction: answer it again from the record and compare")


def run(args: Namespace) -> int:
    from everloop.cli.workspace import existing
    from everloop.queries.chain import explain
    from everloop.store import captures, ledger

    replayed = None
    with existing(args.project) as workspace:
        explanation = explain(workspace, args.id)
        with workspace.read() as tx:
            broken = ledger.verify(tx)
        if args.replay:
            from everloop.serve.replay import replay

            replayed = replay(workspace, captures.find(workspace.predictions, explanation.id))
    if args.json:
        again = replayed and {"equal": replayed.equal, "recorded": replayed.recorded._asdict(), "recomputed": replayed.recomputed._asdict()}
        emit_json({"explanation": explanation, "ledger": {"sound": not broken, "breaks": broken}, "replay": again})
    else:
        for link in explanation.chain:
            print(f"{link.role:14} {link.kind:10} {short(link.id)}")
            if link.summary:
                print(f"{'':25} {link.summary}")
        if explanation.decisions:
            print("\ndecisions")
        for decision in explanation.decisions:
            held = "" if decision.outcome == "done" else " (suppressed)"
            print(f"  {moment(decision.at)}  {decision.action}{held}  {short(decision.id)}")
            print(f"  {'':19}  {decision.reason}  [{decision.rule}, {decision.actor}]")
        if replayed is not None:
            print(f"\nreplayed: {'the same answer' if replayed.equal else 'ANOTHER ANSWER'}")
    for finding in broken:
        say(f"THE LEDGER IS BROKEN: {finding.message}")
    return UNPROVEN if broken or (replayed is not None and not replayed.equal) else 0

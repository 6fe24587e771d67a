"""`everloop status`: how the loops stand."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from everloop.cli.output import emit_json, moment, say, short


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--loop", help="only this loop")


def run(args: Namespace) -> int:
    from everloop.cli.workspace import existing
    from everloop.queries import status
    from everloop.queries.chain import metric_text, summary

    with existing(args.project) as workspace:
        if args.loop is not None:
            status.must_know(workspace, args.loop)
        names = status.loop_names(workspace) if args.loop is None else [args.loop]
        states = [status.state(workspace, name) for name in names]
    if args.json:
        emit_json({"loops": states})
        return 0
    if not states:
        say("No loop has run here yet. 'everloop run' runs one cycle.")
    for state in states:
        print(f"{state.loop}")
        if state.champion is None:
            print("  champion    none")
        else:
            print(f"  champion    {state.champion.name}  {', '.join(metric_text(metric) for metric in state.champion.metrics)}")
        if state.deployment.challenger is not None:
            share = f", {state.deployment.share:.0%} of the traffic" if state.deployment.stage == "canary" else ""
            print(f"  challenger  {state.loop}/{state.deployment.challenger} in {state.deployment.stage}{share}")
        if state.window is not None:
            print(f"  last window {summary(state.window)}, until {moment(state.window.end)}")
        print(f"  labels      {state.labels}")
        for run_ in state.runs[:3]:
            print(f"  run         {moment(run_.queued_at)}  {run_.status:8} {run_.id}")
        for decision in state.decisions:
            held = "" if decision.outcome == "done" else " (suppressed)"
            print(f"  decision    {moment(decision.at)}  {decision.action}{held}: {decision.reason}  {short(decision.id)}")
    return 0

"""`everloop runs`: past and present runs, or the steps of one."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from everloop.cli.output import duration, emit_json, moment, short, table


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", help="show the steps of this run (a beginning of its id will do)")
    parser.add_argument("--loop", help="only this loop")
    parser.add_argument("--limit", type=int, default=50, help="how many, newest first (default 50)")


def run(args: Namespace) -> int:
    from everloop.cli.workspace import existing
    from everloop.store import runs

    with existing(args.project) as workspace, workspace.read() as tx:
        if args.run is None:
            found = runs.find(tx, loop=args.loop, limit=args.limit)
            if args.json:
                emit_json({"runs": found})
                return 0
            table(
                ["RUN", "LOOP", "PIPELINE", "STATUS", "STARTED", "TOOK", "RESULT"],
                [
                    (
                        r.id,
                        r.loop,
                        r.pipeline,
                        r.status,
                        moment(r.started_at),
                        duration(r.started_at, r.ended_at),
                        r.error or r.result.get("summary", ""),
                    )
                    for r in found
                ],
                empty="No run yet. 'everloop run' makes the first.",
            )
            return 0
        run_ = runs.one(tx, args.run)
        steps = runs.steps_of(tx, run_.id)
    if args.json:
        emit_json({"run": run_, "steps": steps})
        return 0
    table(
        ["STEP", "STATUS", "TOOK", "OUTPUT", "BECAUSE"],
        [(s.name, s.status, duration(s.started_at, s.ended_at), short(s.output), s.error or s.because) for s in steps],
    )
    return 0

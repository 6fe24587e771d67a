"""`everloop logs`: what the steps of a run printed."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from everloop.cli.output import emit_json, say


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("run", help="the run (a beginning of its id will do), or RUN/STEP for one step, by number or name")


def run(args: Namespace) -> int:
    from everloop.cli.workspace import existing
    from everloop.core.errors import unknown
    from everloop.engine import logs
    from everloop.store import runs

    beginning, _, wanted = args.run.partition("/")
    with existing(args.project) as workspace:
        with workspace.read() as tx:
            found = runs.one(tx, beginning)
            steps = runs.steps_of(tx, found.id)
        chosen = [step for step in steps if wanted in ("", step.name, str(step.seq))]
        if wanted and not chosen:
            raise unknown("Step", wanted, {step.name for step in steps})
        found_logs = [(step, logs.path_of(workspace.home, found.id, step.seq, step.name)) for step in chosen]
        written = [(step, path) for step, path in found_logs if path.is_file()]
        whole = workspace.home / "logs" / f"{found.id}.log"
        if args.json:
            emit_json({"run": found.id, "logs": [{"step": step.name, "seq": step.seq, "path": str(path)} for step, path in written]})
            return 0
        if not wanted and whole.is_file():
            _copy(whole)
        for step, path in written:
            if len(written) > 1:
                print(f"==> {step.seq} {step.name} <==")
            _copy(path)
        if not written and (wanted or not whole.is_file()):
            say("Nothing was printed.")
    return 0


def _copy(path: Path) -> None:
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            sys.stdout.write(line)

"""`everloop gc`: delete what no run, version or pin reaches."""

from __future__ import annotations

import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace

from everloop.cli.output import emit_json, say, table
from everloop.queries.figures import size

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="say what would go, delete nothing")
    parser.add_argument("--keep-runs", type=_count, metavar="N", help="drop finished runs but for the newest N of each pipeline")
    parser.add_argument("--older-than", type=_seconds, metavar="AGE", help="drop only runs that ended so long ago: 30d, 12h")
    parser.add_argument("--grace", type=_seconds, metavar="AGE", help="leave alone what was written since then (default 1h)")
    parser.add_argument(
        "--claim-blobs", action="store_true", help="the blobs are outside the workspace, and no other database keeps any there"
    )
    parser.epilog = "Without --keep-runs and --older-than no run is dropped. What made a version, is pinned, or is mentioned by a decision of that age stays."


def run(args: Namespace) -> int:
    import time

    from everloop.cli.workspace import existing
    from everloop.engine import artifacts
    from everloop.steps import person
    from everloop.store.collector import GRACE_S, collect
    from everloop.store.retention import Retention

    with existing(args.project) as workspace:
        found = collect(
            workspace,
            artifacts.reached,
            retention=Retention(keep_runs=args.keep_runs, older_than_s=args.older_than),
            now=time.time(),
            actor=person(),
            grace_s=GRACE_S if args.grace is None else args.grace,
            dry_run=args.dry_run,
            claim=args.claim_blobs,
        )
    if args.json:
        emit_json({"collected": found, "count": found.count, "bytes": found.bytes})
        return 0
    rows = [(kind, freed.count, size(freed.bytes) if freed.bytes else "") for kind, freed in found.freed.items() if freed.count]
    table(["WHAT", "COUNT", "BYTES"], rows, empty="Everything here is reached by a run, a version or a pin.")
    if rows:
        say(f"{size(found.bytes)} {'would be' if found.dry_run else 'were'} freed.")
    if found.waiting:
        say(f"{found.waiting} results stay until the {found.going_on} runs that are going on have ended: collect again then.")
    if found.young:
        say(f"{found.young} more are too new to tell whether somebody is still about to use them.")
    return 0


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise ArgumentTypeError(f"{text!r} is no number of runs; give 0 or more")
    return int(text)


def _seconds(text: str) -> float:
    found = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)([smhdw])", text)
    if found is None:
        raise ArgumentTypeError(f"{text!r} is no age; give a number and a unit: 45s, 30m, 12h, 30d, 8w")
    return float(found[1]) * _UNITS_S[found[2]]

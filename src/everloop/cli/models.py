"""`everloop models`: registered versions."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from everloop.cli.output import emit_json, moment, table


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--loop", help="only this loop")


def run(args: Namespace) -> int:
    from everloop.cli.workspace import existing
    from everloop.queries import status
    from everloop.queries.chain import metric_text

    with existing(args.project) as workspace:
        if args.loop is not None:
            status.must_know(workspace, args.loop)
        versions = status.versions(workspace, args.loop)
    if args.json:
        emit_json({"versions": versions})
        return 0
    table(
        ["VERSION", "STANDS", "MODEL", "ESTIMATOR", "METRICS", "REGISTERED"],
        [
            (v.name, v.stands, v.model[:12], v.estimator, "; ".join(metric_text(metric) for metric in v.metrics), moment(v.created_at))
            for v in versions
        ],
        empty="No version is registered yet. 'everloop run' makes the first.",
    )
    return 0

"""`everloop data report`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from everloop.cli.output import emit_json, say


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("version", help="NAME, NAME@3, NAME@ALIAS, NAME@2026-11-20 or a snapshot's id")
    parser.add_argument("--against", metavar="VERSION", help="an earlier version to show beside; a number alone is one of the same dataset")
    parser.add_argument(
        "--target", metavar="COLUMN", help="show how this column goes with each other (default: the target of the dataset's loop)"
    )
    parser.add_argument("--output", metavar="FILE", help="write the page there (default: NAME.html); '-' is stdout")
    parser.add_argument("--terminal", action="store_true", help="show it here, write no page")


def run(args: Namespace) -> int:
    import sys
    from datetime import UTC, datetime
    from pathlib import Path

    from everloop.cli.workspace import existing
    from everloop.queries import datasets

    with existing(args.project) as workspace:
        study = datasets.study(workspace, args.version, against=args.against, target=args.target)
    if args.terminal:
        from everloop.data.eda.terminal import lines

        for line in lines(study):
            print(line)
        return 0
    if args.json:
        emit_json(
            {
                "snapshot": study.snapshot.id,
                "against": study.against.id if study.against else None,
                "target": study.target,
                "findings": study.findings,
                "relations": [
                    relation._asdict() | {"groups": [group._asdict() for group in relation.groups]} for relation in study.relations
                ],
                "missing": study.missing._asdict(),
                "differences": study.differences,
                "profile": study.profile,
            }
        )
        return 0
    from everloop.data.eda.page import page

    made = page(study, made_at=f"{datetime.now(UTC):%Y-%m-%d %H:%M}")
    if args.output == "-":
        sys.stdout.write(made)
        return 0
    path = Path(args.output or f"{study.snapshot.dataset}.html")
    path.write_text(made, encoding="utf-8")
    say(f"{path} has the report, {len(made) / 1000:,.0f} kB. Open it in a browser, send it to a colleague; it needs nothing beside it.")
    return 0

"""`everloop data show`."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from everloop.cli.output import emit_json, say, table
from everloop.queries.figures import size, told

if TYPE_CHECKING:
    import polars as pl

    from everloop.core.tables import Snapshot


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("version", help="NAME, NAME@3, NAME@ALIAS, NAME@2026-11-20 or a snapshot's id")
    parser.add_argument("--rows", type=int, default=0, metavar="N", help="print the first N rows as CSV instead")


def run(args: Namespace) -> int:
    import sys

    from everloop.cli.workspace import existing
    from everloop.core.errors import BadInput
    from everloop.queries import datasets
    from everloop.store import snapshots

    if args.rows < 0:
        raise BadInput(f"--rows {args.rows}: give 0 or more.")
    with existing(args.project) as workspace:
        found = datasets.snapshot(workspace, args.version)
        if args.rows:
            head = snapshots.rows(workspace.blobs, found, 0, args.rows)
            if args.json:
                emit_json({"snapshot": found.id, "rows": head.to_dicts()})
            else:
                sys.stdout.write(_printable(head).write_csv())
            return 0
        profile = datasets.profile(workspace, found)
    if args.json:
        emit_json({"snapshot": {"id": found.id, **_described(found)}, "profile": profile})
        return 0
    say(
        f"{found.id} of {found.dataset}: {found.rows:,} rows, {len(found.columns)} columns, "
        + ("collected" if found.collected else f"{size(found.bytes)} in {len(found.chunks)} chunks")
    )
    for origin in found.origins[:10]:
        say(f"  from {origin.get('locator', '?')} ({origin.get('rows', '?')} rows, sha256 {str(origin.get('sha256', ''))[:12]})")
    if len(found.origins) > 10:
        say(f"  and {len(found.origins) - 10} more")
    table(
        ["COLUMN", "KIND", "NULLS", "DISTINCT", "VALUES"],
        [
            (
                column.name,
                column.kind,
                f"{(column.nulls + column.nans) / max(column.rows, 1):.1%}" if column.nulls + column.nans else "",
                f"{'' if column.exact_distinct else '~'}{column.distinct:,}",
                told(column),
            )
            for column in (profile.columns if profile else ())
        ],
        empty="Its statistics were collected with its rows.",
    )
    return 0


def _printable(frame: pl.DataFrame) -> pl.DataFrame:
    """What CSV has no form for as text: lists as JSON, bytes by their number."""
    import polars as pl

    texts: list[pl.Series] = []
    for series in frame.iter_columns():
        if series.dtype == pl.Binary:
            texts.append(
                pl.Series(series.name, [None if value is None else f"<{len(value):,} bytes>" for value in series], dtype=pl.String)
            )
        elif series.dtype.is_nested():
            texts.append(
                pl.Series(
                    series.name, [None if value is None else json.dumps(value, default=str) for value in series.to_list()], dtype=pl.String
                )
            )
        else:
            texts.append(series)
    return pl.DataFrame(texts)


def _described(found: Snapshot) -> dict[str, object]:
    return {
        "dataset": found.dataset,
        "rows": found.rows,
        "bytes": found.bytes,
        "columns": found.columns,
        "source": found.source,
        "origins": found.origins,
        "chunks": len(found.chunks),
        "collected": found.collected,
    }

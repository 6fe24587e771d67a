"""`everloop data diff`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from everloop.cli.output import emit_json, say, table
from everloop.queries.figures import told

if TYPE_CHECKING:
    from everloop.data.difference import ColumnDifference, Difference


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("before", help="NAME@3, NAME@ALIAS, NAME@2026-11-20 or a snapshot's id")
    parser.add_argument("after", nargs="?", help="the same (default: the newest version of the dataset)")
    parser.add_argument(
        "--key", default="", metavar="A,B", help="columns that tell rows apart: with them changed rows are told from new ones"
    )


def run(args: Namespace) -> int:
    from everloop.cli.workspace import existing
    from everloop.data.difference import compare
    from everloop.queries import datasets

    with existing(args.project) as workspace:
        before = datasets.snapshot(workspace, args.before)
        after = datasets.snapshot(workspace, args.after or before.dataset)
        found = compare(workspace.blobs, before, after, key=[name.strip() for name in args.key.split(",") if name.strip()])
    if args.json:
        emit_json({"difference": found})
        return 0
    say(f"{found.before} ({found.rows_before:,} rows) against {found.after} ({found.rows_after:,} rows)")
    if found.equal:
        say("They have the same rows and columns.")
        return 0
    _rows(found)
    shown = [_line(column) for column in found.columns if column.status != "same" or column.shift]
    table(["COLUMN", "IS", "BEFORE", "AFTER", "SHIFT"], shown, empty="The columns are alike in types and distributions.")
    return 0


def _rows(found: Difference) -> None:
    rows = found.rows
    told = [f"{rows.added:,} rows came", f"{rows.removed:,} went", f"{rows.same:,} are the same"]
    if rows.changed is not None:
        told.insert(2, f"{rows.changed:,} changed")
    print(", ".join(told))
    if rows.changed_columns:
        print(
            "changed in "
            + ", ".join(f"{name} ({count:,})" for name, count in sorted(rows.changed_columns.items(), key=lambda item: -item[1]))
        )
    for mark, samples in (("+", rows.added_samples), ("-", rows.removed_samples), ("~", rows.changed_samples)):
        for row in samples:
            print(f"  {mark} " + _row(row))


def _row(row: dict[str, Any]) -> str:
    text = ", ".join(f"{name}={value!r:.40}" for name, value in row.items())
    return text if len(text) <= 160 else text[:157] + "..."


def _line(column: ColumnDifference) -> tuple[str, ...]:
    before = told(column.before) if column.before else ""
    after = told(column.after) if column.after else ""
    if column.status == "retyped" and column.before and column.after:
        before, after = f"{column.before.kind}: {before}", f"{column.after.kind}: {after}"
    return column.name, column.status, before, after, "" if column.shift is None else f"{column.shift:.3f}"

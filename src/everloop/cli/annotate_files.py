"""Labels of a queue -> a file, for `everloop annotate export`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from everloop.core.errors import BadInput

if TYPE_CHECKING:
    import polars as pl

    from everloop.core.labelling import LabelSet
    from everloop.core.tables import Snapshot
    from everloop.steps.labelling import Export
    from everloop.store.workspace import Workspace

ENDINGS = (".csv", ".parquet", ".jsonl", ".ndjson", ".json")


def write(workspace: Workspace, name: str, *, at: str, output: str | None, quiet: bool) -> tuple[LabelSet, int]:
    """The labelled rows with their labels (stdout: CSV, unless `quiet`), or all rows with all annotations as Label Studio's JSON; and how many."""
    from everloop.core.tables import Snapshot
    from everloop.steps import person
    from everloop.steps.labelling import export
    from everloop.store import annotations, records

    suffix = Path(output).suffix if output else ""
    if output and suffix not in ENDINGS:
        raise BadInput(f"Cannot write {output!r}: its ending is none of {', '.join(ENDINGS)}.")
    with workspace.read() as tx:
        snapshot = records.load(tx, annotations.queue(tx, name).snapshot, Snapshot)
    _check(snapshot, suffix or ("" if quiet else ".csv"))
    found = export(workspace, name, at=at, actor=person())
    if suffix == ".json":
        return found.set, _tasks(workspace, found, snapshot, Path(output or ""))
    frame = _joined(workspace, found, snapshot)
    match suffix:
        case "":
            if not quiet:
                sys.stdout.write(frame.write_csv())
        case ".csv":
            frame.write_csv(output)
        case ".parquet":
            frame.write_parquet(output or "")
        case _:
            frame.write_ndjson(output)
    return found.set, frame.height


def _check(snapshot: Snapshot, suffix: str) -> None:
    """BadInput, before anything is exported, when a column cannot stand in such a file."""
    refused = {".csv": ("bytes", "list"), ".jsonl": ("bytes",), ".ndjson": ("bytes",)}.get(suffix, ())
    odd = next((column for column in snapshot.columns if column.kind in refused), None)
    if odd is not None:
        raise BadInput(f"Column {odd.name!r} holds {odd.kind}, which {suffix} files cannot. Write to a .parquet or .json file.")


def configuration(workspace: Workspace, name: str) -> str:
    from everloop.core.tables import Snapshot
    from everloop.data.labelling.label_studio import config
    from everloop.store import annotations, records

    with workspace.read() as tx:
        queue = annotations.queue(tx, name)
        return config(queue, records.load(tx, queue.snapshot, Snapshot).columns)


def _joined(workspace: Workspace, found: Export, snapshot: Snapshot) -> pl.DataFrame:
    """`row`, the fields, the target; and `labelled_by` and `votes`, how the label came about."""
    import polars as pl

    from everloop.data.labelling.rows import names
    from everloop.data.sources.labels import join
    from everloop.store import snapshots

    queue, label = found.queue, {row: one.value for row, one in found.rows.items()}
    parts: list[pl.DataFrame] = []
    for frame in snapshots.batches(workspace.blobs, snapshot):
        joined = join(frame, label, key=queue.key, target=queue.target)
        rows = names(joined, key=queue.key, target=queue.target)
        said = pl.DataFrame(
            {"row": rows, "labelled_by": [found.rows[row].by for row in rows], "votes": [found.rows[row].votes for row in rows]},
            schema={"row": pl.String, "labelled_by": pl.String, "votes": pl.Int64},
        )
        parts.append(pl.concat([said.select("row"), joined, said.select("labelled_by", "votes")], how="horizontal"))
    return pl.concat(parts)


def _tasks(workspace: Workspace, found: Export, snapshot: Snapshot, path: Path) -> int:
    import json

    from everloop.data.labelling.label_studio import tasks
    from everloop.data.labelling.rows import names
    from everloop.store import annotations, snapshots

    queue = found.queue
    with workspace.read() as tx:
        said = annotations.by_row(tx, queue.name, until=found.set.until)
        wanted = {item.row for item in annotations.items(tx, queue.name) if item.position is not None}
    rows: dict[str, dict[str, object]] = {}
    for frame in snapshots.batches(workspace.blobs, snapshot):
        for row, cells in zip(names(frame, key=queue.key, target=queue.target), frame.iter_rows(named=True), strict=True):
            if row in wanted and row not in rows:
                rows[row] = {name: value for name, value in cells.items() if name != queue.target}
    path.write_text(json.dumps(tasks(queue, rows.items(), said), indent=2, ensure_ascii=False) + "\n", encoding="utf-8", errors="replace")
    return len(rows)

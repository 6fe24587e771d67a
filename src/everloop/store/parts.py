"""A prepared snapshot -> the rows of one of its parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

import numpy as np
import polars as pl

from everloop.core.errors import BadInput, Broken, unknown
from everloop.core.tables import Part, Prepared, Snapshot
from everloop.store import records, snapshots
from everloop.store.workspace import Workspace

if TYPE_CHECKING:
    from everloop.store.blobs import Blobs

PARTS: tuple[Part, ...] = get_args(Part)


def load_part(workspace: Workspace, prepared: Prepared, part: Part) -> tuple[pl.DataFrame, pl.Series]:
    """(features in their order, target) of one part, rows in snapshot order."""
    names = [column.name for column in prepared.features]
    rows = load_rows(workspace, prepared, part, columns=[*names, prepared.target])
    return rows.select(names), rows[prepared.target]


def load_rows(workspace: Workspace, prepared: Prepared, part: Part, *, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """One part's rows; of all columns, also those that are no features (times, dropped ones), for slices and reports, or of some."""
    if part not in PARTS:
        raise BadInput(str(unknown("Part", part, PARTS)))
    with workspace.read() as tx:
        snapshot = records.load(tx, prepared.snapshot, Snapshot)
    parts = np.frombuffer(workspace.blobs.get(prepared.split), dtype=np.uint8)
    if len(parts) != snapshot.rows:
        raise Broken(f"The split of {prepared.id} covers {len(parts)} rows, but {prepared.snapshot} has {snapshot.rows}.")
    return select(workspace.blobs, snapshot, pl.Series(parts == PARTS.index(part)), columns)


def select(blobs: Blobs, snapshot: Snapshot, mask: pl.Series, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The rows where the mask is true, without the others ever being in memory together."""
    found: list[pl.DataFrame] = []
    at = 0
    for batch in snapshots.batches(blobs, snapshot, columns):
        found.append(batch.filter(mask[at : at + batch.height]))
        at += batch.height
    return found[0] if len(found) == 1 else pl.concat(found)

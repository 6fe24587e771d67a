"""A prepared snapshot -> the rows of one of its parts."""

from __future__ import annotations

from typing import get_args

import numpy as np
import polars as pl

from everloop.core.errors import BadInput, Broken, unknown
from everloop.core.tables import Part, Prepared, Snapshot
from everloop.store import records
from everloop.store.tables import load_table
from everloop.store.workspace import Workspace

PARTS: tuple[Part, ...] = get_args(Part)


def load_part(workspace: Workspace, prepared: Prepared, part: Part) -> tuple[pl.DataFrame, pl.Series]:
    """(features in their order, target) of one part, rows in snapshot order."""
    rows = load_rows(workspace, prepared, part)
    return rows.select([column.name for column in prepared.features]), rows[prepared.target]


def load_rows(workspace: Workspace, prepared: Prepared, part: Part) -> pl.DataFrame:
    """All columns of one part's rows, also those that are no features (times, dropped ones), for slices and reports."""
    if part not in PARTS:
        raise BadInput(str(unknown("Part", part, PARTS)))
    with workspace.read() as tx:
        snapshot = records.load(tx, prepared.snapshot, Snapshot)
    table = load_table(workspace.blobs, snapshot.table)
    parts = np.frombuffer(workspace.blobs.get(prepared.split), dtype=np.uint8)
    if len(parts) != table.height:
        raise Broken(f"The split of {prepared.id} covers {len(parts)} rows, but {prepared.snapshot} has {table.height}.")
    return table.filter(pl.Series(parts == PARTS.index(part)))

"""Source -> snapshot."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl

from everloop.core.errors import BadInput, Broken
from everloop.core.ports import Place, Source
from everloop.core.tables import Snapshot
from everloop.data.kinds import columns_of, normalise
from everloop.store.tables import content_digest, keep_table
from everloop.store.workspace import current

__all__ = ["columns_of", "take"]


def take(source: Source, *, dataset: str, place: Place) -> Snapshot:
    """Read everything now and keep it. Unchanged data gives the same snapshot, whatever file format it came in.

    Raises BadInput for a table without rows or columns, and Broken before anything is written when the disk has no room for it.
    """
    extract = source.read(place)
    table = normalise(extract.table)
    if table.height == 0 or table.width == 0:
        raise BadInput(f"The source of {dataset!r} ({source.describe()}) has no rows. A snapshot needs at least one.")
    blobs = current().blobs
    if blobs.folder is not None:
        refuse_too_large(table, blobs.folder, dataset)
    return Snapshot(
        dataset=dataset,
        content=content_digest(table),
        table=keep_table(blobs, table),
        rows=table.height,
        columns=columns_of(table),
        source=source.describe(),
        parts=extract.parts,
    )


def refuse_too_large(table: pl.DataFrame, folder: Path, dataset: str) -> None:
    """Broken when the table in memory is larger than what is free where `folder` lies. On disk it is mostly smaller: this is the safe side."""
    needed, free = int(table.estimated_size()), shutil.disk_usage(folder).free
    if needed > free:
        raise Broken(
            f"The table of {dataset!r} needs up to {needed / 1e6:,.0f} MB, but only {free / 1e6:,.0f} MB are free in {folder}. "
            "Nothing was written. Free some space, or set EVERLOOP_BLOBS to another place."
        )

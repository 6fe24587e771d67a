"""The rows of a snapshot, whole or chunk by chunk."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import TYPE_CHECKING

from everloop.core.errors import Broken, NotFound, unknown
from everloop.core.tables import Chunk, Snapshot

if TYPE_CHECKING:
    import polars as pl

    from everloop.store.blobs import Blobs


def load(blobs: Blobs, snapshot: Snapshot, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """All rows in order; of some columns, in the order given, or of all."""
    import polars as pl

    found = list(batches(blobs, snapshot, columns))
    return found[0] if len(found) == 1 else pl.concat(found, rechunk=False)


def batches(blobs: Blobs, snapshot: Snapshot, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
    """The rows, one chunk in memory at a time."""
    _must_have(snapshot, columns)
    return (read(blobs, chunk, columns) for chunk in snapshot.chunks)


def read(blobs: Blobs, chunk: Chunk, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The rows of one chunk."""
    import polars as pl

    content = blobs.content(chunk.blob)
    frame = pl.read_parquet(io.BytesIO(content) if isinstance(content, bytes) else content, columns=list(columns) if columns else None)
    if frame.height != chunk.rows:
        raise Broken(f"Chunk {chunk.blob[:12]} holds {frame.height} rows, not {chunk.rows}.")
    return frame.select(columns) if columns else frame


def types(blobs: Blobs, snapshot: Snapshot) -> dict[str, pl.DataType]:
    """The columns' types as they are stored."""
    import polars as pl

    _must_have(snapshot, None)
    return dict(pl.read_parquet_schema(blobs.file(snapshot.chunks[0].blob)))


def scan(blobs: Blobs, snapshot: Snapshot) -> pl.LazyFrame:
    """The rows as a lazy table, read from local files when it is collected."""
    import polars as pl

    _must_have(snapshot, None)
    return pl.scan_parquet([blobs.file(chunk.blob) for chunk in snapshot.chunks], glob=False)


def rows(blobs: Blobs, snapshot: Snapshot, start: int, stop: int) -> pl.DataFrame:
    """Rows [start, stop), reading only the chunks that they lie in."""
    import polars as pl

    _must_have(snapshot, None)
    found: list[pl.DataFrame] = []
    at = 0
    for chunk in snapshot.chunks:
        low, high = max(start - at, 0), min(stop - at, chunk.rows)
        if low < high:
            found.append(pl.scan_parquet(blobs.file(chunk.blob), glob=False).slice(low, high - low).collect())
        at += chunk.rows
    return reduce(pl.DataFrame.vstack, found) if found else load(blobs, snapshot).clear()


def _must_have(snapshot: Snapshot, columns: Sequence[str] | None) -> None:
    if snapshot.collected:
        raise NotFound(f"The rows of {snapshot.id} were collected: only what is known about them is still there. Take the data again.")
    known = [column.name for column in snapshot.columns]
    for name in columns or ():
        if name not in known:
            raise unknown("Column", name, known)

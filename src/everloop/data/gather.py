"""Batches that may differ in columns and types -> the chunks of one table."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterable, Sequence
from types import TracebackType

import polars as pl

from everloop.core.errors import Broken
from everloop.core.tables import Chunk, Snapshot
from everloop.data.kinds import normalise
from everloop.data.sources.union import fitted, widened
from everloop.data.tallies import tally
from everloop.store import snapshots
from everloop.store.blobs import Blobs
from everloop.store.chunks import Writer, Written
from everloop.store.tables import PIECE_ROWS


class Gathering:
    """Takes batches one by one; when one asks for another type or column, the rows before it are written again with that.

    Statistics are taken of each chunk. `known` are chunks that may come again. Raises Broken, naming `dataset`, when the disk is full.
    """

    def __init__(self, blobs: Blobs, dataset: str, *, known: Sequence[Chunk] = ()) -> None:
        self._blobs = blobs
        self._dataset = dataset
        self._known = known
        self._types: dict[str, pl.DataType] = {}
        self._writer = self._new()

    def __enter__(self) -> Gathering:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._writer.close()

    def behind(self, before: Snapshot) -> None:
        """Begin with the rows of a snapshot, which are not read but for the last few."""
        types = snapshots.types(self._blobs, before)
        whole = before.rows // PIECE_ROWS
        self._types = dict(types)
        self._writer.resume(before.chunks, before.pieces[:whole], types)
        if before.rows % PIECE_ROWS:
            self._writer.rehash(snapshots.rows(self._blobs, before, whole * PIECE_ROWS, before.rows))

    def add(self, batch: pl.DataFrame) -> None:
        batch = normalise(batch)
        if not batch.height:
            return
        self._refuse_too_large(batch)
        types = widened(self._types, batch)
        if self._writer.rows and _final(types) != _final(self._types):
            self._again(types)
        self._types = types
        self._writer.write(fitted(batch, types))

    def add_all(self, batches: Iterable[pl.DataFrame]) -> Written:
        found = iter(batches)
        try:
            for batch in found:
                self.add(batch)
        finally:
            # A source may have files and threads open for the batches that nobody asks for any more.
            if isinstance(found, Generator):
                found.close()
        return self._writer.finish()

    def _again(self, types: dict[str, pl.DataType]) -> None:
        earlier = self._writer.finish()
        self._writer.close()
        self._writer = self._new()
        for chunk in earlier.chunks:
            self._writer.write(fitted(snapshots.read(self._blobs, chunk), types))

    def _new(self) -> Writer:
        return Writer(self._blobs, known=self._known, tally=tally)

    def _refuse_too_large(self, batch: pl.DataFrame) -> None:
        """On disk a table is mostly smaller than in memory: this is the safe side."""
        folder = self._blobs.folder
        if folder is None:
            return
        needed, free = int(batch.estimated_size()), shutil.disk_usage(folder).free
        if needed > free:
            raise Broken(
                f"The next rows of {self._dataset!r} need up to {needed / 1e6:,.1f} MB, but only {free / 1e6:,.1f} MB are free in {folder}. "
                "No snapshot was made. Free some space, or set EVERLOOP_BLOBS to another place."
            )


def _final(types: dict[str, pl.DataType]) -> list[tuple[str, pl.DataType]]:
    return [(name, pl.String() if isinstance(dtype, pl.Null) else dtype) for name, dtype in types.items()]

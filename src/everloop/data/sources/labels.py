"""What people labelled in a queue -> rows to learn from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from everloop.core.labelling import Value
from everloop.core.ports import Extract, Place, Source
from everloop.core.tables import Origin, Snapshot
from everloop.data.sources.chain import Chain
from everloop.store import annotations, records, snapshots
from everloop.store.workspace import current

if TYPE_CHECKING:
    import polars as pl


class Labels(msgspec.Struct, frozen=True):
    """The rows of a labelling queue that have a label, in the order of its snapshot, with the label in the queue's target column.

    Rows with equal content share a label, and each of them comes. With `known`, rows that had a value in the target column before anybody was asked come
    too. Until there are labels there is no table.
    """

    queue: str
    known: bool = False

    def __add__(self, other: Source) -> Chain:
        return Chain((self,)) + other

    def describe(self) -> str:
        return f"labels: {self.queue}" + (", and rows that had one" if self.known else "")

    def stamp(self, place: Place) -> str:
        with current().read() as tx:
            return f"{annotations.queue(tx, self.queue).snapshot} {annotations.newest(tx, self.queue)}"

    def read(self, place: Place, *, since: Sequence[Origin] = ()) -> Extract:
        """Always everything: a label may change what an earlier one said."""
        extract = Extract(lambda: self._batches(extract))
        return extract

    def _batches(self, extract: Extract) -> Iterator[pl.DataFrame]:
        from everloop.data.labelling.labels import derive

        extract.origins.clear()
        workspace = current()
        with workspace.read() as tx:
            queue = annotations.queue(tx, self.queue)
            labelled = derive(tx, queue)
            snapshot = records.load(tx, queue.snapshot, Snapshot)
        label = {row: found.value for row, found in labelled.rows.items()}
        rows = 0
        for frame in snapshots.batches(workspace.blobs, snapshot):
            joined = join(frame, label, key=queue.key, target=queue.target, known=self.known)
            rows += joined.height
            if joined.height:
                yield joined
        if rows:
            extract.origins.append(
                {
                    "locator": f"labels:{queue.name}",
                    "sha256": labelled.set.content,
                    "rows": rows,
                    "labels": labelled.set.id,
                    "until": labelled.set.until,
                    "snapshot": snapshot.id,
                }
            )


def join(frame: pl.DataFrame, label: Mapping[str, Value], *, key: str, target: str, known: bool = False) -> pl.DataFrame:
    """The rows of `frame` whose name has a label, with it as the column `target`; of the type that the column has, else of the labels' own."""
    import polars as pl

    from everloop.data.labelling.rows import names

    found = [label.get(row) for row in names(frame, key=key, target=target)]
    there = frame[target] if target in frame.columns else None
    column = _column(target, found, list(label.values()), there)
    if there is not None and known:
        column = (
            column.fill_null(there.cast(column.dtype)) if column.dtype != there.dtype else pl.select(pl.coalesce(column, there)).to_series()
        )
    joined = frame.with_columns(column.alias(target))
    return joined.filter(joined[target].is_not_null())


def _column(target: str, found: Sequence[Value | None], every: Sequence[Value], there: pl.Series | None) -> pl.Series:
    """One type whatever the batch: that of the column if all labels fit into it, else the narrowest that all of them fit into."""
    import polars as pl

    dtype: pl.DataType
    if all(isinstance(value, bool) for value in every):
        dtype = pl.Boolean()
    elif all(isinstance(value, int) and not isinstance(value, bool) for value in every):
        dtype = pl.Int64()
    elif all(isinstance(value, int | float) and not isinstance(value, bool) for value in every):
        dtype = pl.Float64()
    else:
        dtype = pl.String()
        found = [None if value is None else value if isinstance(value, str) else str(value) for value in found]
    series = pl.Series(target, found, dtype=dtype)
    if (
        there is not None
        and every
        and there.dtype.is_numeric()
        and dtype.is_numeric()
        and not (there.dtype.is_integer() and dtype.is_float())
    ):
        return series.cast(there.dtype)
    return series if every or there is None else series.cast(there.dtype)

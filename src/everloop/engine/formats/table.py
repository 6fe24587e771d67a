"""Polars tables and series as Parquet, named by their values."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, cast

from everloop.core.artifacts import Artifact, InBlob, Kept
from everloop.core.errors import BadInput

if TYPE_CHECKING:
    import polars as pl

    from everloop.store.blobs import Blobs
    from everloop.store.database import Transaction


class TableFormat(InBlob):
    def takes(self, value: object) -> bool:
        polars = cast("Any", sys.modules.get("polars"))
        if polars is not None and isinstance(value, polars.LazyFrame):
            raise BadInput("a polars.LazyFrame is a plan that reads its data later, when they may be others. Return .collect() of it")
        return polars is not None and type(value) is polars.DataFrame

    def save(self, blobs: Blobs, value: pl.DataFrame) -> Kept | None:
        from everloop.store.tables import content_digest, keep_table, load_table

        polars = cast("Any", sys.modules["polars"])
        if value.width == 0 or any(dtype == polars.Object for dtype in value.dtypes):
            return None
        blob = keep_table(blobs, value)
        if any(dtype.is_nested() or dtype in (polars.Categorical, polars.Enum, polars.Null) for dtype in value.dtypes):
            # Types that Parquet may widen or lose.
            again = load_table(blobs, blob)
            if again.schema != value.schema or not again.equals(value):
                return None
        return Kept(content_digest(value), blob)

    def load(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> object:
        from everloop.store.tables import load_table

        return load_table(blobs, artifact.blob)

    def duplicate(self, value: Any) -> object:
        # Shares the columns, which never change; what changes in place is the list of them.
        return value.clone()


class SeriesFormat(TableFormat):
    """A series is kept as a table of one column."""

    def takes(self, value: object) -> bool:
        polars = cast("Any", sys.modules.get("polars"))
        return polars is not None and type(value) is polars.Series

    def save(self, blobs: Blobs, value: Any) -> Kept | None:
        return super().save(blobs, value.to_frame())

    def load(self, tx: Transaction, blobs: Blobs, artifact: Artifact) -> object:
        return cast("pl.DataFrame", super().load(tx, blobs, artifact)).to_series()

    def duplicate(self, value: Any) -> object:
        return value.clone()

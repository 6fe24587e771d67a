"""Tables that should be alike -> one table. No row and no column is ever lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from everloop.core.ports import Extract, Restart
from everloop.data.kinds import kind_of, normalise


def union(tables: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Rows of all tables one below the other, columns in the order of first appearance.

    A column that a table lacks is null there. Where types disagree, integers widen to floats, and anything else becomes text.
    Tables without rows only contribute columns when all are without.
    """
    parts = [normalise(table) for table in tables]
    parts = [part for part in parts if part.height] or [part for part in parts if part.width][:1]
    if not parts:
        return pl.DataFrame()
    types: dict[str, pl.DataType] = {}
    for part in parts:
        types = widened(types, part)
    return pl.concat([fitted(part, types) for part in parts], rechunk=True)


def widened(types: Mapping[str, pl.DataType], part: pl.DataFrame) -> dict[str, pl.DataType]:
    """The types that hold both what had `types` and the (normalised) rows of `part`. Null is the type of a column that has no value yet."""
    found = dict(types)
    for (name, dtype), nulls in zip(part.schema.items(), _nulls(part), strict=True):
        valid = nulls < part.height
        if name not in found or isinstance(found[name], pl.Null):
            found[name] = dtype if valid else pl.Null()
        elif valid:
            found[name] = _common(found[name], dtype)
    return found


def fitted(part: pl.DataFrame, types: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """The rows with all columns of `types`, which hold them. A column that never had a value is text."""
    wanted = {name: pl.String() if isinstance(dtype, pl.Null) else dtype for name, dtype in types.items()}
    has = part.schema
    if list(has.items()) == list(wanted.items()):
        return part
    series = dict(zip(has, part.get_columns(), strict=True))
    empty = {name for name, nulls in zip(has, _nulls(part), strict=True) if nulls == part.height}
    return pl.DataFrame(
        [
            _cast(series[name], dtype) if name in has and name not in empty else pl.Series(name, [None] * part.height, dtype=dtype)
            for name, dtype in wanted.items()
        ]
    )


def collect(extract: Extract) -> pl.DataFrame:
    """All batches as one table: for what is known to be small. Begins again when the source says so."""
    while True:
        try:
            return union(list(extract.batches()))
        except Restart:
            continue


def _common(a: pl.DataType, b: pl.DataType) -> pl.DataType:
    if a == b:
        return a
    kinds = {kind_of(a), kind_of(b)}
    if kinds == {"int"}:
        # Signed and unsigned 64 bits have no common integer; text keeps every digit.
        return pl.String()
    if kinds == {"int", "float"}:
        return pl.Float64()
    if kinds == {"time"} and isinstance(a, pl.Date | pl.Datetime) and isinstance(b, pl.Date | pl.Datetime):
        return pl.Datetime("us")
    return pl.String()


def _nulls(part: pl.DataFrame) -> tuple[int, ...]:
    return part.null_count().row(0) if part.width else ()


def _cast(series: pl.Series, dtype: pl.DataType) -> pl.Series:
    if series.dtype == dtype:
        return series
    if isinstance(dtype, pl.String) and kind_of(series.dtype) in ("list", "bytes"):
        return pl.Series(series.name, [None if value is None else str(value) for value in series.to_list()], dtype=pl.String)
    if isinstance(dtype, pl.Datetime) and isinstance(series.dtype, pl.Datetime) and series.dtype.time_zone:
        series = series.dt.replace_time_zone(None)
    return series.cast(dtype)

"""Tables that should be alike -> one table. No row and no column is ever lost."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

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
        for name, dtype in part.schema.items():
            valid = part[name].null_count() < part.height
            if name not in types or isinstance(types[name], pl.Null):
                types[name] = dtype if valid else pl.Null()
            elif valid:
                types[name] = _common(types[name], dtype)
    final = {name: pl.String() if isinstance(dtype, pl.Null) else dtype for name, dtype in types.items()}
    return pl.concat([_as(part, final) for part in parts], rechunk=True)


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


def _as(part: pl.DataFrame, types: dict[str, pl.DataType]) -> pl.DataFrame:
    return part.select([_column(part, name, dtype) for name, dtype in types.items()])


def _column(part: pl.DataFrame, name: str, dtype: pl.DataType) -> pl.Series:
    if name not in part.columns or part[name].null_count() == part.height:
        return pl.Series(name, [None] * part.height, dtype=dtype)
    series = part[name]
    if series.dtype == dtype:
        return series
    if isinstance(dtype, pl.String) and kind_of(series.dtype) in ("list", "bytes"):
        return pl.Series(name, [None if value is None else str(value) for value in series.to_list()], dtype=pl.String)
    if isinstance(dtype, pl.Datetime) and isinstance(series.dtype, pl.Datetime) and series.dtype.time_zone:
        series = series.dt.replace_time_zone(None)
    return series.cast(dtype)

"""Physical column types -> the few kinds that people think in, in one width each."""

from __future__ import annotations

from typing import Any

import polars as pl

from everloop.core.tables import Column, Kind


def kind_of(dtype: pl.DataType) -> Kind:
    """The kind of a column that went through `normalise`."""
    if dtype.is_integer():
        return "int"
    if dtype.is_float():
        return "float"
    if dtype == pl.Boolean:
        return "bool"
    if isinstance(dtype, pl.Date | pl.Datetime | pl.Time):
        return "time"
    if dtype == pl.Binary:
        return "bytes"
    if dtype.is_nested() and not isinstance(dtype, pl.Struct):
        return "list"
    return "text"


def columns_of(frame: pl.DataFrame) -> tuple[Column, ...]:
    return tuple(Column(name, kind_of(dtype)) for name, dtype in frame.schema.items())


def normalise(frame: pl.DataFrame) -> pl.DataFrame:
    """One width a kind, so that equal tables are equal whatever file format held them.

    Integers become 64 bits (text where even those are too few), decimals, durations (seconds) and floats 64-bit floats,
    categories text, structs JSON text, times with a zone UTC, a column without any value text.
    """
    # By position: a name such as "*" or "^x$" means more than one column to Polars.
    return frame.select([_normalise(at, dtype) for at, dtype in enumerate(frame.dtypes)]) if frame.width else frame


def _normalise(at: int, dtype: pl.DataType) -> pl.Expr:
    column: Any = pl.nth(at)
    match dtype:
        case pl.Int128() | pl.UInt128():
            return column.cast(pl.String)
        case pl.UInt64():
            return column
        case _ if dtype.is_integer():
            return column.cast(pl.Int64)
        case _ if dtype.is_float() or dtype.is_decimal():
            return column.cast(pl.Float64)
        case pl.Duration():
            return column.dt.total_microseconds() / 1e6
        case pl.Datetime(time_unit=unit, time_zone=zone):
            moved = column.dt.convert_time_zone("UTC") if zone else column
            return moved.dt.cast_time_unit("us") if unit == "ms" else moved
        case pl.Categorical() | pl.Enum() | pl.Null():
            return column.cast(pl.String)
        case pl.Struct():
            return column.struct.json_encode()
        case _:
            return column

"""A table and a rule that it breaks -> a few of the rows that break it. Only asked for rules that are broken."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import polars as pl

from everloop.data.validate.compile import Check
from everloop.data.validate.counts import Which

SAMPLES = 5
_CHARACTERS = 80
_BYTES = 16


class Sample(NamedTuple):
    """A row by its number from 0, and what the rule's columns hold there."""

    row: int
    values: tuple[Any, ...]


def fetch(frame: pl.DataFrame | pl.LazyFrame, check: Check, which: Which, *, first_row: int = 0) -> list[Sample]:
    """The first few rows; of unknown categories and lengths one a value, so that one common slip does not hide the others."""
    columns = columns_of(check, which)
    index = "row"
    while index in check.dtypes:
        index += "_"
    rows = frame.lazy().with_row_index(index).filter(check.breaks(which)).select(index, *columns)
    if which.check in ("categories", "pattern"):
        rows = rows.unique(subset=list(columns), keep="first", maintain_order=True)
    found = rows.head(SAMPLES).collect()
    return [Sample(first_row + row[0], tuple(_short(value) for value in row[1:])) for row in found.iter_rows()]


def columns_of(check: Check, which: Which) -> tuple[str, ...]:
    return check.of.get(which) or check.distinct.get(which) or (which.subject,)


def _short(value: Any) -> Any:
    """Fit for a message and for a record: a cell may hold a hundred megabytes."""
    match value:
        case str():
            return value if len(value) <= _CHARACTERS else f"{value[:_CHARACTERS]}… ({len(value):,} characters)"
        case bytes():
            return f"{value[:_BYTES].hex(' ')}… ({len(value):,} bytes)" if len(value) > _BYTES else value.hex(" ")
        case None | bool() | int():
            return value
        case float():
            # A finding is kept as JSON, which knows neither NaN nor infinities.
            return value if abs(value) < float("inf") else str(value)
        case list() | pl.Series():
            return _short(str(list(cast("Any", value))))
        case _:
            return str(value)

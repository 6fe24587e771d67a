"""One column of a batch -> its tally; the tallies of two parts of a column -> that of both."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import polars as pl

from everloop.core.errors import BadInput
from everloop.core.tables import Kind
from everloop.data.kinds import kind_of
from everloop.data.profile import numbers, words
from everloop.data.profile.buckets import Numbers
from everloop.data.profile.numbers import NumberTally
from everloop.data.profile.words import Words

NUMBERS = ("int", "float", "bool", "time")
# A column without any value takes the kind of the part that has some; where neither has, the first of these.
_KINDS: tuple[Kind, ...] = ("float", "int", "bool", "time", "bytes", "list", "text")


class SizeTally(NamedTuple):
    """Sizes of byte strings or lists: the `n` that are there, shortest, longest, sum."""

    n: int = 0
    shortest: int = 0
    longest: int = -1
    total: int = 0


Body: TypeAlias = NumberTally | Words | SizeTally


class ColumnTally(NamedTuple):
    name: str
    kind: Kind
    rows: int
    nulls: int
    body: Body


def tally_column(series: pl.Series) -> tuple[ColumnTally, Numbers | None]:
    """Of a normalised column; for numbers that can be correlated also the values as floats, (rows,)."""
    kind = kind_of(series.dtype)
    nulls = series.null_count()
    aligned: Numbers | None = None
    body: Body
    if kind in NUMBERS:
        aligned = numbers.floats(series)
        body = numbers.numbers(series, aligned)
        aligned = aligned if kind != "time" else None
    elif kind == "text":
        # Whatever is no number, time, bytes or list is read as text.
        texts = series.drop_nulls() if nulls else series
        body = words.words(texts if texts.dtype == pl.String else texts.cast(pl.String))
    else:
        body = _sizes(series.drop_nulls() if nulls else series)
    return ColumnTally(series.name, kind, len(series), nulls, body), aligned


def merge_columns(a: ColumnTally, b: ColumnTally) -> ColumnTally:
    rows, nulls = a.rows + b.rows, a.nulls + b.nulls
    empty = (a.rows == a.nulls, b.rows == b.nulls)
    if any(empty):
        kind: Kind = _KINDS[min(_KINDS.index(a.kind), _KINDS.index(b.kind))] if all(empty) else b.kind if empty[0] else a.kind
        return ColumnTally(a.name, kind, rows, nulls, _blank(kind) if all(empty) else b.body if empty[0] else a.body)
    if a.kind != b.kind and {a.kind, b.kind} != {"int", "float"}:
        raise BadInput(f"Column {a.name!r} is {a.kind} in one part and {b.kind} in the other; they cannot be merged.")
    return ColumnTally(a.name, a.kind if a.kind == b.kind else "float", rows, nulls, _merged(a.body, b.body))


def _merged(a: Body, b: Body) -> Body:
    match a, b:
        case NumberTally(), NumberTally():
            return numbers.merge(a, b)
        case Words(), Words():
            return words.merge(a, b)
        case SizeTally(), SizeTally():
            return SizeTally(a.n + b.n, min(a.shortest, b.shortest), max(a.longest, b.longest), a.total + b.total)
        case _:
            raise TypeError("Tallies of different kinds.")


def _blank(kind: Kind) -> Body:
    return NumberTally() if kind in NUMBERS else words.NONE if kind == "text" else SizeTally()


def _sizes(series: pl.Series) -> SizeTally:
    if not len(series):
        return SizeTally()
    match series.dtype:
        case pl.Binary():
            sizes = series.bin.size()
        case pl.Array():
            sizes = series.arr.len()
        case _:
            sizes = series.list.len()
    found: Any = sizes.cast(pl.Int64).to_numpy()
    return SizeTally(len(found), int(found.min()), int(found.max()), int(np.sum(found)))

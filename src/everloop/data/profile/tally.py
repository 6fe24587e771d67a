"""Batches of a table -> a Tally, which merges with those of other rows; a Tally -> the Profile."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple, cast

import numpy as np
import polars as pl

from everloop.core.errors import BadInput
from everloop.core.profiles import Profile
from everloop.data.kinds import normalise
from everloop.data.profile import codec
from everloop.data.profile.buckets import Numbers
from everloop.data.profile.columns import ColumnTally, merge_columns, tally_column
from everloop.data.profile.comoments import COLUMNS, Comoments, comoments, correlations
from everloop.data.profile.comoments import merge as merge_comoments
from everloop.data.profile.describe import describe
from everloop.data.profile.numbers import NumberTally
from everloop.data.profile.recount import recount

# Columns of so many rows are worked through in the processor's cache.
BATCH_ROWS = 1 << 17
# Floats, 16 MB.
_LARGEST = 1 << 21
_PLAIN = (pl.Int64(), pl.Float64(), pl.Boolean(), pl.String(), pl.Date(), pl.Datetime("us"), pl.Binary())


class Tally(NamedTuple):
    """The mergeable statistics of a stretch of rows.

    Merging is associative and commutative, and the profile of a whole equals that of its merged parts whatever the cut: exactly, but for
    the moments and correlations, which may differ in their last digits, and for the `top` of text columns with thousands of different values
    (see `Words`). What it keeps does not grow with the rows: some 16 kB a numeric column when encoded, less when it has few values.
    """

    rows: int
    columns: tuple[ColumnTally, ...]
    together: Comoments

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Tally:
        """Of a batch, in memory for some copies of a column at a time."""
        _keep_freed_memory()
        if frame.height <= BATCH_ROWS:
            return _tally(frame)
        parts = [_tally(frame.slice(at, BATCH_ROWS)) for at in range(0, frame.height, BATCH_ROWS)]
        while len(parts) > 1:
            parts = [merge_tallies(*parts[at : at + 2]) if at + 1 < len(parts) else parts[at] for at in range(0, len(parts), 2)]
        return parts[0]

    def encode(self) -> bytes:
        """For the store; the format has a version."""
        return codec.encode(*self)

    @classmethod
    def decode(cls, blob: bytes) -> Tally:
        """BadInput when the bytes are damaged or of another version: summarise the rows again then."""
        return cls(*codec.decode(blob))

    def profile(self, *, about: str, reference: Profile | None = None, duplicates: int | None = None) -> Profile:
        """`about` is the id of the snapshot or window; `duplicates` whatever is known of them, for no part of the rows can know.

        With a `reference` columns are counted in its bins and categories, as `summarise` does: exactly where a column has up to MOST different
        values or the bins end where buckets end, else interpolated within the bucket that an edge falls into.
        """
        usual = {column.name: column for column in reference.columns} if reference is not None else {}
        return Profile(
            about=about,
            rows=self.rows,
            columns=tuple(recount(column, usual[column.name]) if column.name in usual else describe(column) for column in self.columns),
            duplicates=duplicates,
            correlations=correlations(self.together),
        )


def merge_tallies(a: Tally, b: Tally) -> Tally:
    """Of both parts' rows together. BadInput when their columns differ in name, order or kind; int and float become float, and a column
    without any value takes the other's kind."""
    names = [column.name for column in a.columns]
    if names != [column.name for column in b.columns]:
        raise BadInput(f"Tallies of different columns cannot be merged: {_few(names)} and {_few([c.name for c in b.columns])}.")
    columns = tuple(merge_columns(left, right) for left, right in zip(a.columns, b.columns, strict=True))
    return Tally(a.rows + b.rows, columns, merge_comoments(a.together, b.together, names))


def _few(names: list[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def plain(frame: pl.DataFrame) -> pl.DataFrame:
    """Normalised; at no cost where it is so already."""
    return frame if all(dtype in _PLAIN for dtype in frame.dtypes) else normalise(frame)


@cache
def _keep_freed_memory() -> None:
    """Arrays of a megabyte come and go here by the hundred. glibc gives such back to the system at once, and to fetch the pages again costs as much
    as the counting; once it has seen a large piece freed it keeps up to twice as much (mallopt(3), M_MMAP_THRESHOLD). This one is never touched."""
    np.empty(_LARGEST)


def _tally(frame: pl.DataFrame) -> Tally:
    columns: list[ColumnTally] = []
    numeric: list[ColumnTally] = []
    values: list[Numbers] = []
    for series in plain(frame).iter_columns():
        column, aligned = tally_column(series)
        columns.append(column)
        if aligned is not None and len(values) < COLUMNS:
            numeric.append(column)
            values.append(aligned)
    bodies = [cast("NumberTally", column.body) for column in numeric]
    means, complete = [body.moments.mean for body in bodies], [body.moments.n == frame.height for body in bodies]
    return Tally(frame.height, tuple(columns), comoments([column.name for column in numeric], values, means, complete))

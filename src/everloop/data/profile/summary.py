"""A table in memory -> its profile."""

from __future__ import annotations

import polars as pl

from everloop.core.profiles import Profile
from everloop.data.profile.against import column_against
from everloop.data.profile.columns import tally_column
from everloop.data.profile.describe import describe
from everloop.data.profile.tally import Tally, plain


def summarise(frame: pl.DataFrame, *, about: str, reference: Profile | None = None) -> Profile:
    """Statistics of every column. `about` is the id of the snapshot or window.

    Without a `reference` equal rows are counted, too: exactly, but for rows whose 64-bit hashes agree by chance.
    With one its bins and categories are used, so that the two can be compared and parts merged: values outside the
    reference's range count in its outer bins; text that is not among its top categories is `unseen` when these were all there were,
    `other` when not. Infinities count among `nans`: neither has a place among numbers that can be averaged.
    """
    if reference is None:
        return Tally.of(frame).profile(about=about, duplicates=_duplicates(frame))
    columns = tuple(
        column_against(series, usual) if (usual := reference.column(series.name)) is not None else describe(tally_column(series)[0])
        for series in plain(frame).iter_columns()
    )
    return Profile(about=about, rows=frame.height, columns=columns)


def _duplicates(frame: pl.DataFrame) -> int:
    # These hashes never leave the process, so that it does not matter that they differ between versions of the library.
    return frame.height - frame.hash_rows().n_unique() if frame.width else 0

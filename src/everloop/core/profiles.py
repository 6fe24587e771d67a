"""Nouns of statistics: Profile and what it says of each column."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from everloop.core.record import Record


class Lengths(msgspec.Struct, frozen=True):
    """Of texts in characters, of bytes in bytes, of lists in members."""

    low: int
    high: int
    mean: float


class Gap(msgspec.Struct, frozen=True):
    """How different times follow each other, in seconds: the usual step between neighbours, and the longest, which began `after`.

    Exact for up to 16,384 different times (`usual_s` is the median then). Beyond that `usual_s` is the mean step, with the different times
    estimated, and `longest_s` and `after` are right to the width of a histogram's bucket, a few thousandths of a percent of the span's end.
    """

    usual_s: float
    longest_s: float
    after: float


class ColumnProfile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Statistics of one column.

    Numeric and time columns carry `edges` (k + 1 ascending bin edges taken from the reference's quantiles, time as epoch
    seconds) and `counts` (k); values below the first or above the last edge count in the outer bins. Text columns carry
    `top` (value, count) in falling order, `other`, and `unseen` (values that the reference did not know).
    `nans` counts what is no finite number: NaN and the infinities (`infinite` of them). Moments are over the rest: `m2`, `m3` and `m4` are the
    sums of powers of deviations from the mean, None where a float cannot hold them. `points` are single values of a numeric column that hold a
    percent of its rows or more, most frequent first.
    `distinct` is exact as long as it is small (`exact_distinct`: up to 16,384 numbers, 4,096 texts), an estimate with a standard error of 3 % beyond
    that; so is `top`, where counts of a column with more texts are lower bounds, and only what a thousandth of the rows hold is listed.
    `lengths` are over rows. `patterns` are shapes of texts (`A` upper case, `a` other letters, `9` digits, the rest as it is; `9+` for digits in
    any number) with their share of a sample of the different values; `pii` is the share of values that look like personal data, by kind (email,
    phone, card, iban, national_id), none where it is too small to mean anything.
    """

    name: str
    kind: str
    rows: int
    nulls: int
    nans: int = 0
    infinite: int = 0
    distinct: int = 0
    exact_distinct: bool = True
    mean: float | None = None
    m2: float | None = None
    m3: float | None = None
    m4: float | None = None
    low: float | None = None
    high: float | None = None
    zeros: int = 0
    negatives: int = 0
    edges: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    points: tuple[tuple[float, int], ...] = ()
    top: tuple[tuple[str, int], ...] = ()
    other: int = 0
    unseen: int = 0
    lengths: Lengths | None = None
    patterns: tuple[tuple[str, float], ...] = ()
    pii: Mapping[str, float] = {}
    gap: Gap | None = None

    @property
    def valid(self) -> int:
        """Values that are neither null nor NaN."""
        return self.rows - self.nulls - self.nans


class Correlation(msgspec.Struct, frozen=True):
    """Pearson's r of two numeric columns over the `n` rows in which both have a value; None where one of them is constant there."""

    a: str
    b: str
    r: float | None
    n: int


class Profile(Record, frozen=True, kw_only=True, tag="profile"):
    """Statistics of a table. `about` is the snapshot or window that was summarised. `duplicates` counts rows that equal an earlier one, None if
    that was not looked at. `correlations` are between the first 64 columns of numbers or booleans, each pair once."""

    about: str
    rows: int
    columns: tuple[ColumnProfile, ...]
    duplicates: int | None = None
    correlations: tuple[Correlation, ...] = ()

    def parents(self) -> dict[str, str]:
        return {"about": self.about} if self.about else {}

    def column(self, name: str) -> ColumnProfile | None:
        return next((column for column in self.columns if column.name == name), None)

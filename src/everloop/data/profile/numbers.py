"""Numbers and times -> their mergeable statistics."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np
import polars as pl

from everloop.data.hashing import CUT, Bits, mix
from everloop.data.profile import buckets, distinct, moments
from everloop.data.profile.buckets import Buckets, Numbers
from everloop.data.profile.moments import Moments

# Beyond it neighbouring whole numbers become one float.
WHOLE = 2.0**53


class NumberTally(NamedTuple):
    """Of the values that are no nulls: `nans` are NaN or infinite (`infinite` of them), the rest is of the finite ones.

    `wide` says that floats do not tell all values apart (whole numbers beyond 2^53, nanoseconds): the sketch of different values does.
    While buckets do tell all of them apart there is no sketch: it follows from them.
    """

    nans: int = 0
    infinite: int = 0
    zeros: int = 0
    negatives: int = 0
    low: float = np.inf
    high: float = -np.inf
    wide: bool = False
    moments: Moments = Moments()
    buckets: Buckets = buckets.EMPTY
    sketch: Bits = distinct.EMPTY


def floats(series: pl.Series) -> Numbers:
    """A column of numbers, booleans or times as floats, (rows,), nulls as NaN; times as seconds since the epoch (or midnight)."""
    match series.dtype:
        case pl.Date():
            series = series.cast(pl.Int32).cast(pl.Float64) * 86_400.0
        case pl.Datetime(time_unit=unit):
            series = series.to_physical() / {"ns": 1e9, "us": 1e6, "ms": 1e3}[unit]
        case pl.Time():
            series = series.to_physical() / 1e9
        case pl.Float64():
            pass
        case _:
            series = series.cast(pl.Float64)
    return series.to_numpy()


def numbers(series: pl.Series, aligned: Numbers) -> NumberTally:
    """Of a column whose `floats` are `aligned`."""
    finite = np.isfinite(aligned)
    kept = int(np.count_nonzero(finite))
    if not kept:
        return NumberTally(*_odd(series, aligned, kept))
    values = aligned if kept == len(aligned) else aligned[finite]
    low, high = float(values.min()), float(values.max())
    whole = series.dtype.is_integer() or series.dtype == pl.Boolean
    wide = _is_wide(series, max(-low, high))
    found = buckets.bucket(values, whole=whole)
    # Where each value is counted for itself these are fewer to go through.
    powers = moments.moments(found.lows(), found.counts) if found.exact else moments.moments(values)
    return NumberTally(
        *_odd(series, aligned, kept),
        zeros=int(np.count_nonzero(values == 0)) if low <= 0 <= high else 0,
        negatives=int(np.count_nonzero(values < 0)) if low < 0 else 0,
        low=low + 0.0,
        high=high + 0.0,
        wide=wide,
        moments=powers,
        buckets=found,
        sketch=distinct.EMPTY if found.exact and not wide else _sketch(series, values, wide=wide),
    )


def merge(a: NumberTally, b: NumberTally) -> NumberTally:
    found = buckets.merge(a.buckets, b.buckets)
    wide = a.wide or b.wide
    return NumberTally(
        a.nans + b.nans,
        a.infinite + b.infinite,
        a.zeros + b.zeros,
        a.negatives + b.negatives,
        min(a.low, b.low),
        max(a.high, b.high),
        wide,
        moments.merge(a.moments, b.moments),
        found,
        distinct.EMPTY if found.exact and not wide else distinct.merge(sketch_of(a), sketch_of(b)),
    )


def sketch_of(a: NumberTally) -> Bits:
    return a.sketch if a.wide or not a.buckets.exact else distinct.smallest(mix(a.buckets.lows().view(np.uint64)))


def _odd(series: pl.Series, aligned: Numbers, kept: int) -> tuple[int, int]:
    """How many values are no finite numbers, and how many of these infinite."""
    nans = len(aligned) - series.null_count() - kept
    return nans, int(np.count_nonzero(np.isinf(aligned))) if nans else 0


def _is_wide(series: pl.Series, largest: float) -> bool:
    nanoseconds = isinstance(series.dtype, pl.Datetime) and series.dtype.time_unit == "ns"
    return nanoseconds or (series.dtype.is_integer() and largest >= WHOLE)


def _sketch(series: pl.Series, values: Numbers, *, wide: bool) -> Bits:
    """Of the finite `values` of `series`."""
    share = distinct.share(len(values))
    if not wide and share < 1:
        # The hashes of all would be an array to fetch from memory for the few that matter.
        least = np.uint64(int(share * 2.0**64))
        hashes = (mix((values[at : at + CUT] + 0.0).view(np.uint64)) for at in range(0, len(values), CUT))
        found = distinct.smallest(np.concatenate([some[some < least] for some in hashes]))
        if len(found) == distinct.K:
            return found
    return distinct.smallest(_hashes(series, values, wide=wide))


def _hashes(series: pl.Series, values: Numbers, *, wide: bool) -> Bits:
    """A hash of each of the finite `values` of `series`, which is the same in every batch, beside whatever other values."""
    plain = mix((values + 0.0).view(np.uint64))
    if not wide:
        return plain
    raw: Any = series.drop_nulls().to_physical().to_numpy()
    exact = mix(raw.view(np.uint64) ^ np.uint64(0x5851F42D4C957F2D))
    return exact if isinstance(series.dtype, pl.Datetime) else cast("Bits", np.where(np.abs(values) >= WHOLE, exact, plain))

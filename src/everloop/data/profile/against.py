"""A window -> its statistics in the bins and categories of a reference, and such profiles merged. Called often, on few rows: one sort a column."""

from __future__ import annotations

from typing import cast

import msgspec
import numpy as np
import polars as pl

from everloop.core.errors import BadInput
from everloop.core.profiles import ColumnProfile, Lengths, Profile
from everloop.core.tables import Kind
from everloop.data.kinds import kind_of
from everloop.data.profile import moments
from everloop.data.profile.bins import bin_counts
from everloop.data.profile.columns import NUMBERS, tally_column
from everloop.data.profile.describe import describe
from everloop.data.profile.moments import Moments
from everloop.data.profile.numbers import floats


def column_against(series: pl.Series, reference: ColumnProfile) -> ColumnProfile:
    """Of a normalised column. What only a person looks at (patterns, points, gaps) is left out."""
    kind = kind_of(series.dtype)
    nulls = series.null_count()
    if nulls == len(series):
        # Without a value there is no type: the reference knows it.
        return _empty(series, reference)
    if kind in NUMBERS and reference.kind in NUMBERS and reference.edges:
        return _numbers(series, kind, reference)
    if kind == "text" and reference.kind == "text":
        return _text(series, reference)
    return describe(tally_column(series)[0])


def _empty(series: pl.Series, reference: ColumnProfile) -> ColumnProfile:
    zeros = tuple(0 for _ in reference.counts)
    top = tuple((value, 0) for value, _ in sorted(reference.top))
    kind = cast("Kind", reference.kind)
    return ColumnProfile(name=series.name, kind=kind, rows=len(series), nulls=len(series), edges=reference.edges, counts=zeros, top=top)


def _numbers(series: pl.Series, kind: Kind, reference: ColumnProfile) -> ColumnProfile:
    nulls = series.null_count()
    # Everything reads the sorted values. Infinities sort to the ends, NaN behind them.
    ordered = np.sort(floats(series.drop_nulls() if nulls else series) + 0.0)
    below, above = (int(at) for at in ordered.searchsorted((-np.inf, np.inf), side="left"))
    below += int(ordered.searchsorted(-np.inf, side="right")) - below
    finite = ordered[below:above]
    edges = np.asarray(reference.edges, dtype=np.float64)
    found = moments.moments(finite)
    powers = found.known()
    there = found.n > 0
    negatives, zeros = (int(finite.searchsorted(0.0, side=side)) for side in ("left", "right"))
    beyond = int(ordered.searchsorted(np.inf, side="right"))
    return ColumnProfile(
        name=series.name,
        kind=kind,
        rows=len(series),
        nulls=nulls,
        nans=len(ordered) - len(finite),
        infinite=below + beyond - above,
        distinct=1 + int(np.count_nonzero(finite[1:] != finite[:-1])) if there else 0,
        mean=powers.mean,
        m2=powers.m2,
        m3=powers.m3,
        m4=powers.m4,
        low=float(finite[0]) if there else None,
        high=float(finite[-1]) if there else None,
        zeros=zeros - negatives,
        negatives=negatives,
        edges=reference.edges,
        counts=tuple(bin_counts(finite, edges).tolist()),
    )


def _text(series: pl.Series, reference: ColumnProfile) -> ColumnProfile:
    counted = series.drop_nulls().cast(pl.String).value_counts(name="rows of it")
    values, counts = counted.to_series(0), counted.to_series(1)
    known = [value for value, _ in reference.top]
    among = values.is_in(known)
    found = dict(zip(values.filter(among).to_list(), counts.filter(among).to_list(), strict=True))
    top = [(value, found.get(value, 0)) for value in known]
    valid = len(series) - series.null_count()
    rest = valid - sum(count for _, count in top)
    # A reference whose top categories were all it had makes the rest news; otherwise the rest may well have been there.
    news = reference.other == 0
    return ColumnProfile(
        name=series.name,
        kind="text",
        rows=len(series),
        nulls=series.null_count(),
        distinct=counted.height,
        top=_falling(top),
        other=0 if news else rest,
        unseen=rest if news else 0,
    )


def merge(a: Profile, b: Profile) -> Profile:
    """The profile of two tables' rows together. Associative and commutative, moments up to rounding.

    Both must have been summarised against the same reference; without one, merge their tallies. `distinct` becomes a lower bound, and
    what cannot be known from profiles (duplicates, correlations, patterns, points, gaps) is left out. `about` stays when both agree.
    """
    names = [column.name for column in a.columns]
    if names != [column.name for column in b.columns]:
        raise BadInput(f"Profiles of different columns cannot be merged: {', '.join(names)} and {', '.join(c.name for c in b.columns)}.")
    columns = tuple(_merged(left, right) for left, right in zip(a.columns, b.columns, strict=True))
    return Profile(about=a.about if a.about == b.about else "", rows=a.rows + b.rows, columns=columns)


def _falling(top: list[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(top, key=lambda item: (-item[1], item[0])))


def _merged(a: ColumnProfile, b: ColumnProfile) -> ColumnProfile:
    if a.edges != b.edges or {value for value, _ in a.top} != {value for value, _ in b.top}:
        raise BadInput(
            f"Column {a.name!r} was summarised in different bins. Give both parts the same reference: summarise(..., reference=…)."
        )
    if a.kind != b.kind and {a.kind, b.kind} != {"int", "float"}:
        raise BadInput(f"Column {a.name!r} is {a.kind} in one part and {b.kind} in the other; they cannot be merged.")
    right = dict(b.top)
    together = moments.merge(_moments(a), _moments(b)).known()
    return msgspec.structs.replace(
        a,
        kind=a.kind if a.kind == b.kind else "float",
        rows=a.rows + b.rows,
        nulls=a.nulls + b.nulls,
        nans=a.nans + b.nans,
        infinite=a.infinite + b.infinite,
        distinct=max(a.distinct, b.distinct),
        exact_distinct=a.exact_distinct and b.exact_distinct and not (a.valid and b.valid),
        mean=together.mean,
        m2=together.m2,
        m3=together.m3,
        m4=together.m4,
        low=min((x for x in (a.low, b.low) if x is not None), default=None),
        high=max((x for x in (a.high, b.high) if x is not None), default=None),
        zeros=a.zeros + b.zeros,
        negatives=a.negatives + b.negatives,
        counts=tuple(x + y for x, y in zip(a.counts, b.counts, strict=True)),
        points=(),
        top=_falling([(value, count + right[value]) for value, count in a.top]),
        other=a.other + b.other,
        unseen=a.unseen + b.unseen,
        lengths=_lengths(a, b),
        patterns=(),
        pii={},
        gap=None,
    )


def _moments(a: ColumnProfile) -> Moments:
    if a.mean is None:
        return Moments()
    m2, m3, m4 = (np.nan if power is None else power for power in (a.m2, a.m3, a.m4))
    return Moments(a.valid, a.mean, m2, m3, m4)


def _lengths(a: ColumnProfile, b: ColumnProfile) -> Lengths | None:
    """Windows do not measure texts."""
    if a.lengths is None or b.lengths is None:
        return None if a.valid and b.valid else a.lengths or b.lengths
    mean = (a.lengths.mean * a.valid + b.lengths.mean * b.valid) / (a.valid + b.valid)
    return Lengths(min(a.lengths.low, b.lengths.low), max(a.lengths.high, b.lengths.high), mean)

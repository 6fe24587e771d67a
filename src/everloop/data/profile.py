"""Table -> profile; profiles of parts -> the profile of the whole."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import numpy as np
import polars as pl

from everloop.core.errors import BadInput
from everloop.core.tables import ColumnProfile, Kind, Profile
from everloop.data.bins import Numbers, bin_counts, quantile_edges
from everloop.data.kinds import kind_of, normalise

TOP = 50
NUMBERS = ("int", "float", "bool", "time")


def summarise(frame: pl.DataFrame, *, about: str, reference: Profile | None = None) -> Profile:
    """Statistics of every column. `about` is the id of the snapshot or window.

    With a `reference` its bins and categories are used, so that the two can be compared and parts merged: values outside the
    reference's range count in its outer bins; text that is not among its top categories is `unseen` when these were all there were,
    `other` when not. Infinities count among `nans`: neither has a place among numbers that can be averaged.
    """
    frame = normalise(frame)
    columns = tuple(_column(frame[name], reference.column(name) if reference else None) for name in frame.columns)
    return Profile(about=about, rows=frame.height, columns=columns)


def merge(a: Profile, b: Profile) -> Profile:
    """The profile of two tables' rows together. Associative and commutative, moments up to rounding.

    Both must have been summarised against the same reference. `distinct` becomes a lower bound. `about` stays when both agree.
    """
    names = [column.name for column in a.columns]
    if names != [column.name for column in b.columns]:
        raise BadInput(f"Profiles of different columns cannot be merged: {', '.join(names)} and {', '.join(c.name for c in b.columns)}.")
    columns = tuple(_merged(left, right) for left, right in zip(a.columns, b.columns, strict=True))
    return Profile(about=a.about if a.about == b.about else "", rows=a.rows + b.rows, columns=columns)


def _column(series: pl.Series, reference: ColumnProfile | None) -> ColumnProfile:
    kind = kind_of(series.dtype)
    nulls = series.null_count()
    if nulls == len(series) and reference is not None:
        # Without a value there is no type: the reference knows it.
        return _empty(series, cast("Kind", reference.kind), reference)
    if kind in NUMBERS:
        return _numbers(series, kind, reference if reference is not None and reference.kind in NUMBERS else None)
    if kind == "text":
        return _text(series, reference if reference is not None and reference.kind == "text" else None)
    return ColumnProfile(name=series.name, kind=kind, rows=len(series), nulls=nulls)


def _empty(series: pl.Series, kind: Kind, reference: ColumnProfile) -> ColumnProfile:
    zeros = tuple(0 for _ in reference.counts)
    top = tuple((value, 0) for value, _ in sorted(reference.top))
    return ColumnProfile(name=series.name, kind=kind, rows=len(series), nulls=len(series), edges=reference.edges, counts=zeros, top=top)


def _seconds(series: pl.Series) -> pl.Series:
    """Times as seconds since the epoch (times of day since midnight), everything else as it is."""
    match series.dtype:
        case pl.Date():
            return series.cast(pl.Int32).cast(pl.Float64) * 86_400.0
        case pl.Datetime(time_unit=unit):
            return series.to_physical() / (1e9 if unit == "ns" else 1e6)
        case pl.Time():
            return series.to_physical() / 1e9
        case _:
            return series


def _numbers(series: pl.Series, kind: Kind, reference: ColumnProfile | None) -> ColumnProfile:
    nulls = series.null_count()
    values: Any = _seconds(series.drop_nulls() if nulls else series).cast(pl.Float64).to_numpy()
    # One sort; everything below reads the sorted values. Infinities sort to the ends, NaN behind them.
    ordered: Numbers = np.sort(values)
    finite = ordered[int(np.searchsorted(ordered, -np.inf, side="right")) : int(np.searchsorted(ordered, np.inf, side="left"))]
    edges = np.asarray(reference.edges, dtype=np.float64) if reference is not None and reference.edges else quantile_edges(finite)
    mean = float(finite.mean()) if len(finite) else None
    return ColumnProfile(
        name=series.name,
        kind=kind,
        rows=len(series),
        nulls=nulls,
        nans=len(ordered) - len(finite),
        distinct=1 + int(np.count_nonzero(finite[1:] != finite[:-1])) if len(finite) else 0,
        mean=mean,
        m2=float(np.square(finite - mean).sum()) if mean is not None else None,
        low=float(finite[0]) if len(finite) else None,
        high=float(finite[-1]) if len(finite) else None,
        edges=tuple(edges.tolist()),
        counts=tuple(bin_counts(finite, edges).tolist()) if len(edges) else (),
    )


def _text(series: pl.Series, reference: ColumnProfile | None) -> ColumnProfile:
    counted = series.drop_nulls().value_counts(name="count_")
    values, counts = counted.columns[0], "count_"
    total = int(counted[counts].sum())
    if reference is None:
        best = counted.top_k(TOP, by=[counts, values], reverse=[False, True])
        top = list(zip(best[values].to_list(), best[counts].to_list(), strict=True))
    else:
        known = [value for value, _ in reference.top]
        kept = counted.filter(pl.col(values).is_in(known))
        found = dict(zip(kept[values].to_list(), kept[counts].to_list(), strict=True))
        top = [(value, found.get(value, 0)) for value in known]
    rest = total - sum(count for _, count in top)
    # A reference whose top categories were all it had makes the rest news; otherwise the rest may well have been there.
    news = reference is not None and reference.other == 0
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
    mean, m2 = _moments(a, b)
    return msgspec.structs.replace(
        a,
        kind=a.kind if a.kind == b.kind else "float",
        rows=a.rows + b.rows,
        nulls=a.nulls + b.nulls,
        nans=a.nans + b.nans,
        distinct=max(a.distinct, b.distinct),
        mean=mean,
        m2=m2,
        low=min((x for x in (a.low, b.low) if x is not None), default=None),
        high=max((x for x in (a.high, b.high) if x is not None), default=None),
        counts=tuple(x + y for x, y in zip(a.counts, b.counts, strict=True)),
        top=_falling([(value, count + right[value]) for value, count in a.top]),
        other=a.other + b.other,
        unseen=a.unseen + b.unseen,
    )


def _moments(a: ColumnProfile, b: ColumnProfile) -> tuple[float | None, float | None]:
    """Mean and sum of squared deviations of both together (Chan, Golub and LeVeque 1979)."""
    if a.mean is None or a.m2 is None:
        return b.mean, b.m2
    if b.mean is None or b.m2 is None:
        return a.mean, a.m2
    n, m = a.valid, b.valid
    gap = b.mean - a.mean
    return (a.mean * n + b.mean * m) / (n + m), a.m2 + b.m2 + gap * gap * n * m / (n + m)

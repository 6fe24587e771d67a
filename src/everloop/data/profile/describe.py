"""The tally of a column -> what its profile says."""

from __future__ import annotations

import numpy as np

from everloop.core.profiles import ColumnProfile, Gap, Lengths
from everloop.data.profile import distinct, words
from everloop.data.profile.bins import quantile_bins
from everloop.data.profile.buckets import Buckets
from everloop.data.profile.columns import ColumnTally, SizeTally
from everloop.data.profile.numbers import NumberTally
from everloop.data.profile.patterns import patterns
from everloop.data.profile.personal import personal
from everloop.data.profile.sample import KEPT
from everloop.data.profile.words import Words

TOP = 50
POINT_SHARE = 0.01
# A bucket of more than one value is a point mass when it holds so many times what its neighbours hold.
POINT_STANDS_OUT = 8
# Of a column with thousands of different texts, those that at least this share of the rows hold are listed.
TOP_SHARE = 0.001


def describe(column: ColumnTally) -> ColumnProfile:
    match column.body:
        case NumberTally() as body:
            return _numbers(column, body)
        case Words() as body:
            return _words(column, body)
        case SizeTally() as body:
            lengths = Lengths(body.shortest, body.longest, body.total / body.n) if body.n else None
            return ColumnProfile(name=column.name, kind=column.kind, rows=column.rows, nulls=column.nulls, lengths=lengths)


def _numbers(column: ColumnTally, body: NumberTally) -> ColumnProfile:
    found = body.buckets
    edges, counts = quantile_bins(found, body.low, body.high)
    different, exact = (len(found.ids), True) if found.exact and not body.wide else distinct.estimate(body.sketch)
    valid = body.moments.n
    there = valid > 0
    powers = body.moments.known()
    return ColumnProfile(
        name=column.name,
        kind=column.kind,
        rows=column.rows,
        nulls=column.nulls,
        nans=body.nans,
        infinite=body.infinite,
        distinct=different if exact else min(different, valid),
        exact_distinct=exact,
        mean=powers.mean,
        m2=powers.m2,
        m3=powers.m3,
        m4=powers.m4,
        low=body.low if there else None,
        high=body.high if there else None,
        zeros=body.zeros,
        negatives=body.negatives,
        edges=tuple(edges.tolist()),
        counts=tuple(counts.tolist()),
        points=_points(found),
        gap=_gap(body, different) if column.kind == "time" else None,
    )


def _points(found: Buckets) -> tuple[tuple[float, int], ...]:
    """Values that a percent of the rows or more hold, most frequent first. Beyond MOST different values it is the end nearest
    to zero of a bucket that towers above its neighbours: what stands for something (0, -1, 999) mostly is a short number, and those are there."""
    if not len(found.ids):
        return ()
    heavy = np.flatnonzero(found.counts >= POINT_SHARE * found.counts.sum())
    if not found.exact:
        ids = found.ids
        left = np.where((heavy > 0) & (ids[heavy - 1] == ids[heavy] - 1), found.counts[heavy - 1], 0)
        after = np.minimum(heavy + 1, len(ids) - 1)
        right = np.where((after > heavy) & (ids[after] == ids[heavy] + 1), found.counts[after], 0)
        heavy = heavy[found.counts[heavy] >= POINT_STANDS_OUT * np.maximum(left, right)]
    points = zip(found.nearest_to_zero()[heavy].tolist(), found.counts[heavy].tolist(), strict=True)
    return tuple(sorted(points, key=lambda point: (-point[1], point[0])))


def _gap(body: NumberTally, different: int) -> Gap | None:
    """Exact up to MOST different times. Beyond that the longest gap is that between the beginnings of two buckets, and the usual step is the
    mean one: the span by the number of different times."""
    lows = body.buckets.lows()
    if len(lows) < 2:
        return None
    lows[0] = body.low
    steps = np.diff(lows)
    widest = int(np.argmax(steps))
    exact = body.buckets.exact and not body.wide
    usual = float(np.median(steps)) if exact else (body.high - body.low) / max(different - 1, 1)
    return Gap(usual, float(steps[widest]), float(lows[widest]))


def _words(column: ColumnTally, body: Words) -> ColumnProfile:
    valid = column.rows - column.nulls
    # What is longer than what was kept is no category.
    listed = [
        (text, count)
        for text, count in zip(body.texts.tolist(), body.seen.tolist(), strict=True)
        if len(text) <= KEPT and (not body.many or count >= TOP_SHARE * valid)
    ]
    top = sorted(listed, key=lambda item: (-item[1], item[0]))[:TOP]
    different, exact = distinct.estimate(body.sketch) if body.many else (len(body.hashes), True)
    sample = words.sample_of(body).texts.tolist()
    return ColumnProfile(
        name=column.name,
        kind=column.kind,
        rows=column.rows,
        nulls=column.nulls,
        distinct=different if exact else min(different, valid),
        exact_distinct=exact,
        top=tuple(top),
        other=valid - sum(count for _, count in top),
        lengths=Lengths(body.shortest, body.longest, body.length / valid) if valid else None,
        patterns=patterns(sample),
        pii=personal(sample, body.emails.texts.tolist(), body.ats / valid) if valid else {},
    )

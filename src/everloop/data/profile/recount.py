"""The tally of a column -> its profile in the bins and categories of a reference, without its rows."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import numpy as np

from everloop.core.profiles import ColumnProfile
from everloop.data.profile.buckets import Ints, Numbers
from everloop.data.profile.columns import ColumnTally
from everloop.data.profile.describe import describe
from everloop.data.profile.numbers import NumberTally
from everloop.data.profile.words import Words


def recount(column: ColumnTally, reference: ColumnProfile) -> ColumnProfile:
    """As `summarise` would with this reference, and what a profile without one says beside."""
    own = describe(column)
    if column.rows == column.nulls:
        # Without a value there is no type: the reference knows it.
        nothing = tuple((value, 0) for value, _ in sorted(reference.top))
        zeros = tuple(0 for _ in reference.counts)
        return msgspec.structs.replace(own, kind=reference.kind, edges=reference.edges, counts=zeros, top=nothing)
    match column.body:
        case NumberTally() as body if reference.edges:
            return msgspec.structs.replace(own, edges=reference.edges, counts=tuple(_counts(body, np.asarray(reference.edges)).tolist()))
        case Words() as body if reference.kind == "text":
            return _texts(own, body, reference)
        case _:
            return own


def _counts(body: NumberTally, edges: Any) -> Ints:
    """Values below the first or above the last edge count in the outer bins."""
    found = body.buckets
    lows = found.lows()
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(found.counts)])
    inner: Numbers = edges[1:-1]
    if not len(lows):
        return np.zeros(len(edges) - 1, np.int64)
    at = np.searchsorted(lows, inner, side="left")
    below = before[at]
    if not found.exact:
        # The edge may fall into the bucket that begins before it.
        inside = np.flatnonzero((at > 0) & (at < len(lows) + 1) & (inner > body.low) & (inner <= body.high))
        held = at[inside] - 1
        start = np.maximum(lows[held], body.low)
        end = np.minimum(found.ends()[held], body.high)
        share = np.clip((inner[inside] - start) / np.maximum(end - start, np.finfo(np.float64).tiny), 0.0, 1.0)
        below[inside] = before[held] + np.round(share * found.counts[held]).astype(np.int64)
    return cast("Ints", np.diff(below, prepend=0, append=before[-1]))


def _texts(own: ColumnProfile, body: Words, reference: ColumnProfile) -> ColumnProfile:
    seen = dict(zip(body.texts.tolist(), body.seen.tolist(), strict=True))
    top = sorted(((value, seen.get(value, 0)) for value, _ in reference.top), key=lambda item: (-item[1], item[0]))
    rest = own.valid - sum(count for _, count in top)
    news = reference.other == 0
    return msgspec.structs.replace(own, top=tuple(top), other=0 if news else rest, unseen=rest if news else 0)

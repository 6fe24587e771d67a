"""Sorted numbers or their buckets -> bins taken from their own quantiles, and exact counts in given bins."""

from __future__ import annotations

from typing import cast

import numpy as np

from everloop.data.profile.buckets import Buckets, Ints, Numbers

BINS = 500
_LARGEST = float(np.finfo(np.float64).max)


def quantile_bins(found: Buckets, low: float, high: float, bins: int = BINS) -> tuple[Numbers, Ints]:
    """Ascending unique edges (k + 1, k <= `bins`) and how many values each bin holds (k,), of values between `low` and `high`.

    Up to `bins` different values get a bin each, so that counts of discrete columns are exact; more are cut where buckets begin, as near as
    they come to the quantiles. So counts are exact too: whoever counts the values in these edges finds the same.
    The last bin is closed, so a value that many rows share at the very top gets a bin of its own, by one more edge just above it.
    """
    if not len(found.ids):
        return np.zeros(0), np.zeros(0, np.int64)
    lows = found.lows()
    lows[0] = low
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(found.counts)])
    if found.exact:
        edges = _of_values(lows, before, bins)
    else:
        edges = lows[_nearest(before, bins)]
        edges = np.append(edges, high) if high > edges[-1] else _close(edges)
    # Values at or above an inner edge begin with the bucket that begins there.
    inner = before[np.searchsorted(lows, edges[1:-1], side="left")]
    return edges, np.diff(inner, prepend=0, append=before[-1]).astype(np.int64)


def _of_values(values: Numbers, before: Ints, bins: int) -> Numbers:
    """Edges when each value (k,) is known, `before` (k + 1,) rows with a lower one."""
    if len(values) <= bins:
        return _close(values)
    at = np.linspace(0, int(before[-1]) - 1, bins + 1).round().astype(np.int64)
    edges = values[np.unique(np.searchsorted(before, at, side="right") - 1)]
    ties = int(before[-1] - before[-2])
    if ties * bins > int(before[-1]) and len(edges) <= bins:
        edges = _close(edges)
    return edges


def _close(edges: Numbers) -> Numbers:
    """One more edge, just above the last: then the value there has a bin of its own."""
    if edges[-1] < _LARGEST:
        return np.append(edges, np.nextafter(edges[-1], np.inf))
    # Above the largest float there is none; the last bin is closed, so that one just below does.
    return np.unique(np.append(edges, np.nextafter(_LARGEST, 0.0)))


def _nearest(before: Ints, bins: int) -> Ints:
    """The buckets to begin a bin with: those whose start is nearest to each quantile."""
    wanted = cast("Numbers", np.linspace(0, int(before[-1]), bins + 1)[:-1])
    after = cast("Ints", np.clip(np.searchsorted(before, wanted, side="left"), 1, len(before) - 1))
    nearer = cast("Ints", np.where(wanted - before[after - 1] <= before[after] - wanted, after - 1, after))
    return cast("Ints", np.unique(np.minimum(nearer, len(before) - 2)))


def bin_counts(ordered: Numbers, edges: Numbers) -> Ints:
    """How many sorted values fall into each bin [e_i, e_i+1), (k,); values beyond the outer edges count in the outer bins."""
    inner = np.searchsorted(ordered, edges[1:-1], side="left")
    return np.diff(inner, prepend=0, append=len(ordered)).astype(np.int64)

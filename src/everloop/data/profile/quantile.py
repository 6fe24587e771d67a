"""The profile of a numeric column -> its quantiles."""

from __future__ import annotations

import bisect
from itertools import accumulate

from everloop.core.errors import BadInput
from everloop.core.profiles import ColumnProfile


def quantile(column: ColumnProfile, q: float) -> float | None:
    """The value that the share `q` of the column's finite values lies at or below; None where there are none.

    Exact when each bin is one value (up to 500 different ones); else interpolated within a bin, and so off by at most the bin's width.
    Times are seconds since the epoch. Of a profile made against a reference the outer bins reach to its own lowest and highest value.
    """
    if not 0 <= q <= 1:
        raise BadInput(f"A quantile lies between 0 and 1, not at {q}.")
    total = sum(column.counts)
    if not total or column.low is None or column.high is None:
        return None
    before = [0, *accumulate(column.counts)]
    wanted = q * total
    at = min(bisect.bisect_left(before, max(wanted, 1e-12)) - 1, len(column.counts) - 1)
    if column.exact_distinct and column.distinct == len(column.counts) and not column.unseen:
        return min(max(column.edges[at], column.low), column.high)
    start = column.edges[at] if at else column.low
    end = column.edges[at + 1] if at + 1 < len(column.counts) else column.high
    share = (wanted - before[at]) / column.counts[at] if column.counts[at] else 0.0
    return min(max(start * (1 - share) + end * share, column.low), column.high)

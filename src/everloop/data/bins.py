"""Sorted numbers -> bins taken from their own quantiles, and exact counts in given bins."""

from __future__ import annotations

from typing import Any, TypeAlias, cast

import numpy as np

Numbers: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

BINS = 500


def quantile_edges(ordered: Numbers, bins: int = BINS) -> Numbers:
    """Ascending unique edges (k + 1, k <= `bins`) for finite, sorted values.

    Up to `bins` different values get a bin each, so that counts of discrete columns are exact; more are cut at their quantiles.
    The last bin is closed, so a value that many rows share at the very top gets a bin of its own, by one more edge just above it.
    """
    if not len(ordered):
        return ordered
    new = np.empty(len(ordered), dtype=bool)
    new[0] = True
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    if int(new.sum()) <= bins:
        return np.append(ordered[new], np.nextafter(ordered[-1], np.inf))
    at: Any = np.linspace(0, len(ordered) - 1, bins + 1).round().astype(np.int64)
    edges = cast("Numbers", np.unique(ordered[at]))
    ties = int(np.count_nonzero(ordered == ordered[-1]))
    if ties * bins > len(ordered) and len(edges) <= bins:
        edges = np.append(edges, np.nextafter(edges[-1], np.inf))
    return edges


def bin_counts(ordered: Numbers, edges: Numbers) -> np.ndarray[Any, np.dtype[np.int64]]:
    """How many sorted values fall into each bin [e_i, e_i+1), (k,); values beyond the outer edges count in the outer bins."""
    inner = np.searchsorted(ordered, edges[1:-1], side="left")
    return np.diff(inner, prepend=0, append=len(ordered)).astype(np.int64)

"""Sums of powers of deviations from the mean, of parts and of the whole."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from everloop.data.hashing import CUT
from everloop.data.profile.buckets import Ints, Numbers


class Known(NamedTuple):
    mean: float | None
    m2: float | None
    m3: float | None
    m4: float | None


class Moments(NamedTuple):
    """Of `n` numbers: their mean, and the sums of the second to fourth powers of the deviations from it."""

    n: int = 0
    mean: float = 0.0
    m2: float = 0.0
    m3: float = 0.0
    m4: float = 0.0

    def known(self) -> Known:
        """What a profile says of them: nothing without values, and only what a float can hold."""
        return Known(*(power if self.n and math.isfinite(power) else None for power in self[1:]))


def moments(values: Numbers, counts: Ints | None = None) -> Moments:
    """Of finite values, each there once or `counts` times; two passes. Not finite itself where the powers leave the range of a float."""
    if not len(values):
        return Moments()
    n = int(counts.sum()) if counts is not None else len(values)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = _sum(values, counts) / n
        if not np.isfinite(mean):
            mean = _sum(values / n, counts)
        m2 = m3 = m4 = 0.0
        room = np.empty((2, min(CUT, len(values))))
        for at in range(0, len(values), CUT):
            some, often = values[at : at + CUT], None if counts is None else counts[at : at + CUT]
            off, square = room[:, : len(some)]
            np.subtract(some, mean, out=off)
            np.multiply(off, off, out=square)
            m2 += _sum(square, often)
            off *= square
            m3 += _sum(off, often)
            square *= square
            m4 += _sum(square, often)
        return Moments(n, mean, m2, m3, m4)


def _sum(values: Numbers, counts: Ints | None) -> float:
    return float((values if counts is None else values * counts).sum())


def merge(a: Moments, b: Moments) -> Moments:
    """Chan, Golub and LeVeque (1979) for the mean and m2, Pébay (2008) for m3 and m4."""
    if not a.n or not b.n:
        return a if a.n else b
    n, m = float(a.n), float(b.n)
    total = n + m
    gap = b.mean - a.mean
    part = gap / total
    square = gap * part * n * m
    return Moments(
        a.n + b.n,
        a.mean + part * m,
        a.m2 + b.m2 + square,
        a.m3 + b.m3 + square * part * (n - m) + 3 * part * (n * b.m2 - m * a.m2),
        a.m4
        + b.m4
        + square * part * part * (n * n - n * m + m * m)
        + 6 * part * part * (n * n * b.m2 + m * m * a.m2)
        + 4 * part * (n * b.m3 - m * a.m3),
    )

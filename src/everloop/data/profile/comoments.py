"""How numeric columns move together: sums of products over the rows in which both have a value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np

from everloop.core.profiles import Correlation
from everloop.data.profile.buckets import Numbers

# Pairs grow with the square of the columns: 64 give 2,016. A wider table's further columns have no correlations.
COLUMNS = 64
# Numbers in work at a time: they stay in the processor's cache.
_CELLS = 1 << 17
# Multiplications in a product that is small to OpenBLAS.
_SMALL = 1_000_000
_BY_ROWS = 32
# Beyond this r is 1 but for rounding.
DIGITS = 6


class Comoments(NamedTuple):
    """Of p columns, each array (p, p): `n` rows in which both i and j have a value, and over these rows the `mean` of i, the sum of
    squares `m2` of its deviations from that mean, and the sum of products `c` of both columns' deviations."""

    names: tuple[str, ...]
    n: Numbers
    mean: Numbers
    m2: Numbers
    c: Numbers


def comoments(names: Sequence[str], columns: Sequence[Numbers], means: Sequence[float], complete: Sequence[bool]) -> Comoments:
    """Of columns of floats, each (rows,) in the table's order, about whose `means` the sums are taken: any number near them will do.
    NaN and the infinities are no values; a `complete` column has none."""
    p, rows = len(names), len(columns[0]) if len(columns) else 0
    n, s, q, c = (np.zeros((p, p)) for _ in range(4))
    if not rows or p < 2:
        return Comoments(tuple(names), n, s, q, c)
    holes = [i for i in range(p) if not complete[i]]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        center = np.nan_to_num(np.array(means, dtype=np.float64), posinf=0.0, neginf=0.0)[:, None]
        # Below the columns whether those with holes have a value, and a row of ones: one product gives sums and counts, too.
        block = _block(p + len(holes) + 1, rows)
        squares = np.empty_like(block[:p] if holes else block[:0])
        present = np.full(p, float(rows))
        present[holes] = 0.0
        for at in range(0, rows, block.shape[1]):
            x = block[:, : min(block.shape[1], rows - at)]
            for i, column in enumerate(columns):
                np.subtract(column[at : at + x.shape[1]], center[i], out=x[i])
            for k, i in enumerate(holes, start=p):
                there = np.isfinite(column := columns[i][at : at + x.shape[1]], out=x[k], casting="unsafe")
                x[i][~np.isfinite(column)] = 0.0
                present[i] += there.sum()
            product = _products(x[:-1], x)
            c += product[:p, :p]
            s += product[:p, -1:]
            if holes:
                # Only columns with holes leave out rows of the others.
                s[:, holes] += product[:p, p:-1] - product[:p, -1:]
                q[:, holes] += _products(np.square(x[:p], out=squares[:, : x.shape[1]]), x[p:-1])
                n[np.ix_(holes, holes)] += product[p:, p:-1]
        whole = [i for i in range(p) if complete[i]]
        n[:, whole] = present[:, None]
        n[whole, :] = present[None, :]
        q[:, whole] = np.diag(c)[:, None]
        some = np.maximum(n, 1)
        return Comoments(tuple(names), n, np.where(n > 0, center + s / some, 0.0), q - s * s / some, c - s * s.T / some)


def _block(rows: int, most: int) -> Numbers:
    """Ones, at most `most` columns; in the order of memory in which OpenBLAS's way for small products takes so many rows."""
    step = min(max(512, _CELLS // rows), most)
    return np.ones((rows, step)) if rows <= _BY_ROWS else np.ones((step, rows)).T


def _products(a: Numbers, b: Numbers) -> Numbers:
    """a @ b.T of long rows, so few numbers at a time that OpenBLAS takes its way for small ones: it is as fast, and starts no threads, which spin
    long after. (And not of one array by itself: that way is slower.)"""
    step = max(64, 1 << (_SMALL // (len(a) * len(b))).bit_length() - 1)
    total = np.zeros((len(a), len(b)))
    for at in range(0, a.shape[1], step):
        total += a[:, at : at + step] @ b[:, at : at + step].T
    return total


def merge(a: Comoments, b: Comoments, order: Sequence[str]) -> Comoments:
    """Both parts' rows together (Chan, Golub and LeVeque 1979, a pair at a time). `order` is that of the table's columns: a column that has no
    value in one part may be missing there."""
    if a.names != b.names:
        known = {*a.names, *b.names}
        names = tuple(name for name in order if name in known)[:COLUMNS]
        a, b = _spread(a, names), _spread(b, names)
    with np.errstate(over="ignore", invalid="ignore"):
        n = a.n + b.n
        share = b.n / np.maximum(n, 1)
        gap = b.mean - a.mean
        weight = a.n * share
        mean = np.where(a.n == 0, b.mean, np.where(b.n == 0, a.mean, a.mean + gap * share))
        lift = np.where(weight > 0, gap, 0.0)
        return Comoments(a.names, n, mean, a.m2 + b.m2 + lift * lift * weight, a.c + b.c + lift * lift.T * weight)


def _spread(a: Comoments, names: tuple[str, ...]) -> Comoments:
    where = {name: at for at, name in enumerate(a.names)}
    at = np.array([where.get(name, len(a.names)) for name in names], dtype=np.int64)
    wide = [np.pad(table, (0, 1))[np.ix_(at, at)] for table in a[1:]]
    return Comoments(names, *wide)


def correlations(a: Comoments) -> tuple[Correlation, ...]:
    """Pearson's r of each pair, in the table's order. None where one of the two is constant, or is so but for rounding."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        # What sums of squares of this size cannot tell from nothing.
        noise = 1e-13 * a.n * np.square(a.mean)
        flat = ~(a.m2 > noise)
        r = np.where(flat | flat.T, np.nan, a.c / (np.sqrt(a.m2) * np.sqrt(a.m2.T)))
        rounded: Any = np.round(np.clip(r, -1.0, 1.0), DIGITS)
    values, counts = cast("list[list[float]]", rounded.tolist()), a.n.astype(np.int64).tolist()
    return tuple(
        Correlation(a.names[i], a.names[j], values[i][j] if values[i][j] == values[i][j] else None, counts[i][j])
        for i in range(len(a.names))
        for j in range(i + 1, len(a.names))
    )

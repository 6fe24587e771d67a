"""How many different values: the smallest hashes tell.

The k smallest of the hashes of a column's different values depend on no order and no cut. If the k-th lies at the share u of their range,
about (k - 1) / u different values were there (Bar-Yossef et al. 2002; unbiased, standard error 1 / sqrt(k - 2): Beyer et al. 2007), 3.1 % here.
"""

from __future__ import annotations

import numpy as np

from everloop.data.hashing import Bits

K = 1024
# 40 of the 64 bits: they pack into half the space, and tell more values apart than a table has rows.
BITS = 40
_DROP = np.uint64(64 - BITS)

EMPTY: Bits = np.zeros(0, np.uint64)


def share(n: int) -> float:
    """Below which share of their range the K smallest of n hashes lie for sure, unless values repeat often."""
    return 2.5 * K / max(n, 1)


def smallest(hashes: Bits) -> Bits:
    """The sketch (at most K,) of 64-bit hashes in any order, repeated or not."""
    likely = share(len(hashes))
    while likely < 0.5:
        # Most cannot be among them; how many can depends on how often values repeat.
        few = of_sorted(np.sort(hashes[hashes < np.uint64(int(likely * 2.0**64))]))
        if len(few) == K:
            return few
        likely *= 8
    return of_sorted(np.sort(hashes))


def of_sorted(hashes: Bits) -> Bits:
    """The same of ascending ones."""
    short = hashes[: 64 * K] >> _DROP
    new = np.empty(len(short), bool)
    new[:1] = True
    np.not_equal(short[1:], short[:-1], out=new[1:])
    found = short[new][:K]
    # So many repeats that the start of all does not do.
    return found if len(found) == K or len(hashes) <= 64 * K else np.unique(hashes >> _DROP)[:K]


def merge(a: Bits, b: Bits) -> Bits:
    if not len(a) or not len(b):
        return a if len(a) else b
    return np.union1d(a, b)[:K]


def estimate(sketch: Bits) -> tuple[int, bool]:
    """How many different values there were, and whether that is exact."""
    if len(sketch) < K:
        return len(sketch), True
    return round((K - 1) * 2.0**BITS / (float(sketch[-1]) + 0.5)), False

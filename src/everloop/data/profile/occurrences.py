"""Hashes -> which are different and how often each occurs, without a sort."""

from __future__ import annotations

from typing import Any, TypeAlias, cast

import numpy as np

from everloop.data.hashing import Bits

Ints: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

# Cells to throw the hashes into: where few are different few cells do, which are in the processor's nearest cache.
FEW_BITS, SOME_BITS, MANY_BITS = 12, 15, 17
_PROBE, _ASKED = 512, 8192
SORTED_BELOW = 2048


def occurrences(hashes: Bits, most: int = 1 << 62) -> tuple[Ints, Ints]:
    """A place where each different hash is, (k,), and in how many places it is, (k,); in no order.

    It stops where more than `most` are different: with more than that, but not all, of them.

    The highest bits of a hash name its cell. Of each cell some hash is counted, with all that equal it; the others have another try with the
    next bits, until so few are left that a sort is cheap. That takes few rounds, as hashes are spread evenly.
    """
    firsts: list[Ints] = []
    counts: list[Ints] = []
    places: Any = None
    used, so_far = 0, 0
    while len(hashes) >= SORTED_BELOW and so_far <= most:
        bits = SOME_BITS if used else _bits(hashes)
        if used + bits > 64:
            break
        cells = cast("Ints", ((hashes << np.uint64(used) if used else hashes) >> np.uint64(64 - bits)).view(np.int64))
        someone = np.zeros(1 << bits, np.int64)
        # Where few are different some of the places already have almost all of them. (A cell without anyone has none that equals the first.)
        asked = _ASKED if bits == FEW_BITS else len(hashes)
        someone[cells[:asked]] = np.arange(len(cells[:asked]))
        held = np.bincount(cells, minlength=1 << bits)
        others = np.flatnonzero(hashes.take(someone).take(cells) != hashes)
        if len(others):
            held -= np.bincount(cells.take(others), minlength=1 << bits)
        found = filled_cells(held)
        at = someone.take(found)
        firsts.append(at if places is None else places.take(at))
        counts.append(held.take(found))
        places = others if places is None else places.take(others)
        hashes = hashes.take(others)
        used += bits
        so_far += len(found)
    if len(hashes) and so_far <= most:
        _, at, held = np.unique(hashes, return_index=True, return_counts=True)
        firsts.append(at if places is None else places.take(at))
        counts.append(held)
    if not firsts:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return np.concatenate(firsts), np.concatenate(counts)


def filled_cells(counts: Ints) -> Ints:
    """Which are not zero: NumPy finds that in booleans several times as fast as in numbers."""
    return np.flatnonzero(counts != 0)


def _bits(hashes: Bits) -> int:
    probe = hashes[:: max(len(hashes) // _PROBE, 1)]
    different = len(np.unique(probe))
    return FEW_BITS if 2 * different < len(probe) else SOME_BITS if different < len(probe) else MANY_BITS

"""Whether values come again, over batches that are gone: hashes of 64 bits, in bounded memory.

Up to LIMIT different values the count is exact, but for a chance of n² / 2⁶⁵ that two values share a hash (one in four thousand for 100 million rows). Beyond
it only every second hash is kept, then every fourth, chosen by the hash itself: equal values are kept or dropped together, so that what is unique never
seems doubled, and the number of surplus rows is estimated without bias.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

LIMIT = 2**24
"""Hashes kept: 128 MiB a rule, twice that for a moment."""

Hashes = npt.NDArray[np.uint64]
# Spreads what little entropy the low bits of a hash of whole numbers may have (Knuth's multiplicative hashing, by the golden ratio).
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


class Seen:
    """Of one unique column, or one key."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._parts: list[Hashes] = []
        self._held = 0
        self._shift = 0
        self._surplus = 0

    @property
    def exact(self) -> bool:
        return self._shift == 0

    def add(self, hashes: pl.Series) -> int:
        """Of the values of one batch, by `Series.hash(0)`. How many of them came before in this batch."""
        kept = _thinned(hashes.to_numpy() * _SPREAD, self._shift)
        different = _different(np.sort(kept))
        repeated = len(kept) - len(different)
        self._surplus += repeated << self._shift
        self._take(different)
        return repeated

    def merge(self, other: Seen) -> None:
        """What the other saw comes after: as if all had been added here."""
        other._compact()
        shift = max(self._shift, other._shift)
        self._thin(shift)
        self._surplus += other._surplus
        for part in other._parts:
            self._take(_thinned(part, self._shift))

    def surplus(self) -> int:
        """Rows whose value was there before."""
        self._compact()
        return self._surplus

    def _take(self, different: Hashes) -> None:
        self._parts.append(different)
        self._held += len(different)
        if self._held > self._limit:
            self._compact()
            while self._held > self._limit // 2:
                self._thin(self._shift + 1)

    def _compact(self) -> None:
        if len(self._parts) > 1:
            ordered: Any = np.concatenate(self._parts)
            # A few ascending runs: the stable sort merges them.
            ordered.sort(kind="stable")
            different = _different(ordered)
            # One surplus row in the sample stands for 2 ** shift in the table.
            self._surplus += (len(ordered) - len(different)) << self._shift
            self._parts, self._held = [different], len(different)

    def _thin(self, shift: int) -> None:
        self._compact()
        self._shift = shift
        self._parts = [_thinned(part, shift) for part in self._parts]
        self._held = sum(map(len, self._parts))


def _different(ordered: Hashes) -> Hashes:
    first = np.ones(len(ordered), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return ordered[first]


def _thinned(hashes: Hashes, shift: int) -> Hashes:
    return hashes[(hashes >> np.uint64(64 - shift)) == 0] if shift else hashes

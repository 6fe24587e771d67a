"""Numbers -> counts in buckets that depend on nothing but the values: the one histogram that parts of a table can share.

A float's bits, put in order, are an integer; a bucket is all values whose integers agree but for the lowest `shift` bits. The shift is the
smallest that leaves at most `MOST` buckets occupied. It can only grow when values join, and counts at a larger shift follow from those at a
smaller one: so merging the buckets of parts gives exactly the buckets of the whole, however it was cut. Up to `MOST` different values are
each counted for themselves (shift 0); beyond that a bucket is a fixed fraction of an octave wide.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np

from everloop.data.hashing import CUT, mix
from everloop.data.profile.occurrences import Ints, filled_cells, occurrences

Numbers: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

MOST = 16_384
# Counting directly needs an array over the whole range of buckets; this many cells stay in the cache.
RANGE_BITS = 17
# Of keys further apart than that (64 octaves of one sign) so many cells see where values are at all.
_FAR_BITS, _FIRST_BITS = 58, 12
SORTED_BELOW = 16_384
_SIGN = np.int64(0x7FFFFFFFFFFFFFFF)


class Buckets(NamedTuple):
    """`ids` (k,) ascending, each the ordered bits of its values without the lowest `shift`; `counts` (k,), none zero."""

    shift: int
    ids: Ints
    counts: Ints

    @property
    def exact(self) -> bool:
        """Each bucket is one value."""
        return self.shift == 0

    def lows(self) -> Numbers:
        """The lowest value of each bucket, (k,); of an outermost one perhaps no finite number."""
        return from_order(self.ids << np.int64(self.shift))

    def ends(self) -> Numbers:
        """Where the bucket after each begins, were there one, (k,); beyond an outermost one perhaps no number."""
        return from_order((self.ids + 1) << np.int64(self.shift))

    def nearest_to_zero(self) -> Numbers:
        """The value of each bucket with the fewest digits, (k,): a round number is there."""
        return from_order(np.where(self.ids < 0, ((self.ids + 1) << np.int64(self.shift)) - 1, self.ids << np.int64(self.shift)))


EMPTY = Buckets(0, np.zeros(0, np.int64), np.zeros(0, np.int64))


def order(values: Numbers) -> Ints:
    """Integers in the order of the values, -0.0 and 0.0 the same."""
    out = np.empty(len(values), np.int64)
    room = np.empty((2, min(CUT, len(values))), np.int64)
    for at in range(0, len(values), CUT):
        some = values[at : at + CUT]
        bits, sign = room[:, : len(some)]
        np.add(some, 0.0, out=bits.view(np.float64))
        np.right_shift(bits, np.int64(63), out=sign)
        sign &= _SIGN
        np.bitwise_xor(bits, sign, out=out[at : at + CUT])
    return out


def from_order(keys: Ints) -> Numbers:
    return (keys ^ ((keys >> np.int64(63)) & _SIGN)).view(np.float64)


def bucket(values: Numbers, *, whole: bool = False) -> Buckets:
    """Buckets of finite values in any order. `whole` says that they are whole numbers, which can often be counted directly."""
    if not len(values):
        return EMPTY
    if values[0] == values[-1] and values.min() == values.max():
        return Buckets(0, order(values[:1]), np.full(1, len(values), np.int64))
    found = _direct(values) if whole else None
    return found if found is not None else _counted(order(values))


def merge(a: Buckets, b: Buckets) -> Buckets:
    if not len(a.ids) or not len(b.ids):
        return a if len(a.ids) else b
    shift = max(a.shift, b.shift)
    ids = np.concatenate([a.ids >> np.int64(shift - a.shift), b.ids >> np.int64(shift - b.shift)])
    # Two ascending runs: what a stable sort merges in one pass.
    at = np.argsort(ids, kind="stable")
    return _settle(shift, ids[at], np.concatenate([a.counts, b.counts])[at])


def _settle(shift: int, ids: Ints, counts: Ints) -> Buckets:
    """Ascending ids, some perhaps equal, at the smallest further shift that is allowed."""
    more, starts = _cut(ids)
    return Buckets(shift + more, ids[starts] >> np.int64(more), np.add.reduceat(counts, starts))


def _runs(keys: Ints) -> Buckets:
    more, starts = _cut(keys)
    return Buckets(more, keys[starts] >> np.int64(more), np.diff(starts, append=len(keys)).astype(np.int64))


def _cut(ids: Ints) -> tuple[int, Ints]:
    """The smallest shift that leaves at most MOST different ids, and where each then begins."""
    # Two neighbours stay apart as long as the shift is at most the highest bit in which they differ.
    apart = (ids[1:] ^ ids[:-1]).view(np.uint64)
    low, high = 0, 63
    if int(np.count_nonzero(apart)) < MOST:
        high = 0
    while low < high:
        middle = (low + high) // 2
        if int(np.count_nonzero(apart >= np.uint64(1 << middle))) < MOST:
            high = middle
        else:
            low = middle + 1
    starts = np.flatnonzero(apart >= np.uint64(1 << low)) + 1
    return low, cast("Ints", np.concatenate([np.zeros(1, np.int64), starts]))


def _direct(values: Numbers) -> Buckets | None:
    """Whole numbers close together, counted by value."""
    low = float(values.min())
    if float(values.max()) - low >= 1 << RANGE_BITS or abs(low) > 2.0**52:
        return None
    counts = np.bincount((values - low).astype(np.int64))
    found = filled_cells(counts)
    return _settle(0, order(found.astype(np.float64) + low), counts[found])


def _counted(keys: Ints) -> Buckets:
    """Keys in any order, which are overwritten. No sort of many: that takes many times longer than counting."""
    if len(keys) < SORTED_BELOW:
        keys.sort()
        return _runs(keys)
    found = _few(keys) if _are_few(keys) else None
    return found if found is not None else _dense(keys)


def _few(keys: Ints) -> Buckets | None:
    """Each value counted for itself; None where there are too many."""
    places, counts = occurrences(mix(keys.view(np.uint64)), MOST)
    if len(places) > MOST:
        return None
    ids = keys.take(places)
    at = np.argsort(ids)
    return Buckets(0, ids.take(at), counts.take(at))


def _dense(keys: Ints) -> Buckets:
    """Counted in cells over the whole range first; then, as long as the values fill too few of these to tell, the filled ones are cut finer.
    So values that are far out, or heaped up in several places, take no more cells from the others than they fill."""
    low, high = int(keys.min()), int(keys.max())
    width = (high - low).bit_length()
    shift = max(0, width - (RANGE_BITS if width <= _FAR_BITS else _FIRST_BITS))
    # So many times cells can be put together two by two: a block of 2^halves of them begins where its keys end with as many zeros.
    halves = 6
    base = low >> shift >> halves << halves
    cells = keys >> np.int64(shift)
    cells -= base
    counts = np.bincount(cells, minlength=1 << halves)
    # What the keys in a block begin with.
    heads = np.arange(-(-len(counts) >> halves)) + (base >> halves)
    rounds = 1
    while (filled := int(np.count_nonzero(counts))) <= MOST and shift:
        # Values that fill few cells however these are cut are few themselves, perhaps.
        if rounds == 3 and (exact := _few(keys)) is not None:
            return exact
        found = filled_cells(counts)
        heads = (heads[found >> halves] << np.int64(halves)) | (found & ((1 << halves) - 1))
        halves = min(shift, RANGE_BITS - (filled - 1).bit_length())
        first = np.zeros(len(counts), np.int64)
        first[found] = np.arange(filled) << halves
        cells = first.take(cells)
        shift -= halves
        cells |= (keys >> np.int64(shift)) & np.int64((1 << halves) - 1)
        counts = np.bincount(cells, minlength=filled << halves)
        rounds += 1
    while filled > MOST and halves:
        counts = np.append(counts, 0) if len(counts) & 1 else counts
        counts = counts[::2] + counts[1::2]
        shift, halves, filled = shift + 1, halves - 1, int(np.count_nonzero(counts))
    found = filled_cells(counts)
    ids = (heads[found >> halves] << np.int64(halves)) | (found & ((1 << halves) - 1))
    counts = counts[found]
    return _settle(shift, ids, counts) if filled > MOST else Buckets(shift, ids, counts)


def _are_few(keys: Ints) -> bool:
    """Whether a sample looks as if at most MOST different values were there. The estimate is that of Chao (1984): from how many of the sample come
    once and twice. A value that many rows share does not lead it astray."""
    probe = np.sort(keys[:: len(keys) // 1024])
    starts = np.flatnonzero(np.concatenate([[True], probe[1:] != probe[:-1]]))
    times = np.bincount(np.diff(starts, append=len(probe)), minlength=3)
    return len(starts) + times[1] * (times[1] - 1) / (2 * (times[2] + 1)) <= MOST

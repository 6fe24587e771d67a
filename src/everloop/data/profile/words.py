"""Texts -> how often each occurs: exactly while there are few, the frequent ones when there are many."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import polars as pl

from everloop.data.hashing import CUT, Bits, flat, flat_hash
from everloop.data.profile import distinct
from everloop.data.profile.buckets import Ints
from everloop.data.profile.occurrences import occurrences
from everloop.data.profile.sample import EMPTY, Sample, Texts, holding, least, texts_at
from everloop.data.profile.sample import merge as merge_samples

# So many different texts are counted one by one, exactly.
EXACT = 4096
# Beyond that so many counters are left.
KEPT = 1024
SAMPLE = 512
WITH_AT = 64
_AT = ord("@")
_SMALL = 4096


class Words(NamedTuple):
    """Different texts by ascending hash: `hashes` (k,), `texts` (k,) cut as in a Sample, `seen` (k,) rows that certainly hold it.

    `many` is whether there were ever more than EXACT different ones. If not, `seen` is exact. If so, the counters are those of Misra and
    Gries (1982), merged as in Agarwal et al. (2012): `counts` (k,) are what they call counters, a text's true count is at least `seen` and
    at most its counter plus `error`, and `error` is at most 1 / (KEPT + 1) of the rows; every text that more rows hold is there. Only then
    `sketch` and `sample` are filled; while all are kept, they follow from them. `emails` is a sample of the texts with an '@', `ats` the
    rows that hold such a text. Lengths in characters: `shortest`, `longest`, and the sum of all.

    Texts are told apart by 64 bits: two of a million different ones are taken for one with a chance of one in 30 million.
    """

    hashes: Bits
    counts: Ints
    seen: Ints
    texts: Texts
    error: int = 0
    many: bool = False
    sketch: Bits = distinct.EMPTY
    sample: Sample = EMPTY
    ats: int = 0
    emails: Sample = EMPTY
    shortest: int = 0
    longest: int = -1
    length: int = 0


NONE = Words(np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, object))


def words(texts: pl.Series) -> Words:
    """Of a text column without nulls."""
    if not len(texts):
        return NONE
    # These hashes never leave the process; ours are taken only of what is different.
    places, counts = occurrences(texts.hash().to_numpy())
    # Where all are different each occurs once, so that any order is theirs.
    values = texts[places] if len(places) < len(texts) else texts
    hashes, facts = _read(values, counts)
    many = len(values) > EXACT
    limit = _limit(counts) if many else 0
    kept = np.flatnonzero(counts > limit)
    kept = kept[np.argsort(hashes[kept])]
    found = Words(hashes[kept], counts[kept] - limit, counts[kept], texts_at(values, kept), **facts)
    if not many:
        return found
    some = least(hashes, SAMPLE)
    return found._replace(error=limit, many=True, sketch=distinct.smallest(hashes), sample=Sample(hashes[some], texts_at(values, some)))


def _read(values: pl.Series, counts: Ints) -> tuple[Bits, dict[str, Any]]:
    """The hashes of different `values` (n,), and what is said of them, when each is held by `counts` rows. Some at a time, in the cache."""
    hashes = np.empty(len(values), np.uint64)
    low, high, length, ats = 1 << 62, 0, 0, 0
    holding_at: list[Ints] = []
    for at in range(0, len(values), CUT):
        some, held = values.slice(at, CUT), counts[at : at + CUT]
        offsets, data = flat(some)
        hashes[at : at + CUT] = flat_hash(offsets, data)
        plain = not len(data) or int(data.max()) < 128
        sizes = np.diff(offsets) if plain else some.str.len_chars().to_numpy().astype(np.int64)
        low, high, length = min(low, int(sizes.min())), max(high, int(sizes.max())), length + int((sizes * held).sum())
        holders = holding(_AT, offsets, data)
        if holders is not None:
            holding_at.append(np.flatnonzero(holders) + at)
            ats += int(held[holders].sum())
    facts: dict[str, Any] = {"shortest": low, "longest": high, "length": length}
    if holding_at:
        where = np.concatenate(holding_at)
        where = where[least(hashes[where], WITH_AT)]
        facts |= {"ats": ats, "emails": Sample(hashes[where], texts_at(values, where))}
    return hashes, facts


def _limit(counts: Ints) -> int:
    """What to take off each counter so that at most KEPT are left above zero: the largest of the others."""
    if len(counts) <= KEPT:
        return 0
    # Few counts are large, so that counting the counts mostly tells.
    more = np.cumsum(np.bincount(np.minimum(counts, _SMALL))[::-1])[::-1]
    limit = int(np.count_nonzero(more > KEPT)) - 1
    return limit if limit < _SMALL else int(np.partition(counts, len(counts) - KEPT - 1)[len(counts) - KEPT - 1])


def merge(a: Words, b: Words) -> Words:
    if a.longest < 0 or b.longest < 0:
        return b if a.longest < 0 else a
    hashes, first, where = np.unique(np.concatenate([a.hashes, b.hashes]), return_index=True, return_inverse=True)
    counts, seen = (_summed(where, left, right, len(hashes)) for left, right in ((a.counts, b.counts), (a.seen, b.seen)))
    texts = np.concatenate([a.texts, b.texts])[first]
    many = a.many or b.many or len(hashes) > EXACT
    both = Words(
        hashes,
        counts,
        seen,
        texts,
        ats=a.ats + b.ats,
        emails=merge_samples(a.emails, b.emails, WITH_AT),
        shortest=min(a.shortest, b.shortest),
        longest=max(a.longest, b.longest),
        length=a.length + b.length,
    )
    if not many:
        return both
    limit = _limit(counts)
    at = np.flatnonzero(counts > limit)
    return both._replace(
        hashes=hashes[at],
        counts=counts[at] - limit,
        seen=seen[at],
        texts=texts[at],
        error=a.error + b.error + limit,
        many=True,
        sketch=distinct.merge(sketch_of(a), sketch_of(b)),
        sample=merge_samples(sample_of(a), sample_of(b), SAMPLE),
    )


def _summed(where: Any, a: Ints, b: Ints, n: int) -> Ints:
    total = np.zeros(n, np.int64)
    # No hash is twice in either part.
    total[where[: len(a)]] += a
    total[where[len(a) :]] += b
    return total


def sketch_of(a: Words) -> Bits:
    return a.sketch if a.many else distinct.of_sorted(a.hashes)


def sample_of(a: Words) -> Sample:
    """A uniform sample of at most SAMPLE different texts."""
    return a.sample if a.many else Sample(a.hashes[:SAMPLE], a.texts[:SAMPLE])

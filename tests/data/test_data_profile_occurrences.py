"""Counting without a sort finds what sorting finds."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.data.hashing import mix
from everloop.data.profile import buckets, distinct, moments, numbers, summarise
from everloop.data.profile.comoments import comoments, correlations
from everloop.data.profile.occurrences import occurrences

# How often values repeat: from all the same to all different, evenly or not; the last ones are no good hashes.
HASHES: dict[str, Any] = {
    "one": lambda r, n: mix(np.full(n, 7, np.uint64)),
    "few": lambda r, n: mix(r.integers(0, 300, n).astype(np.uint64)),
    "some": lambda r, n: mix(r.integers(0, 20_000, n).astype(np.uint64)),
    "all": lambda r, n: mix(np.arange(n).astype(np.uint64)),
    "long_tail": lambda r, n: mix(r.zipf(1.3, n).astype(np.uint64)),
    "few_then_many": lambda r, n: mix(np.where(np.arange(n) < n // 2, 3, np.arange(n)).astype(np.uint64)),
    "low_bits_only": lambda r, n: r.permutation(n).astype(np.uint64),
    "high_bits_only": lambda r, n: r.permutation(n).astype(np.uint64) << np.uint64(40),
}


def check(hashes: Any) -> None:
    places, counts = occurrences(hashes)
    truth, often = np.unique(hashes, return_counts=True)
    at = np.argsort(hashes[places])
    assert np.array_equal(hashes[places][at], truth)
    assert np.array_equal(counts[at], often)


@pytest.mark.parametrize("shape", HASHES)
def test_each_hash_is_found_once_with_its_number(shape: str) -> None:
    for n in (0, 1, 3000, 70_000):
        check(HASHES[shape](np.random.default_rng(n), n))


@given(st.lists(st.integers(0, 2**64 - 1), max_size=40), st.integers(1, 300), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_whatever_the_hashes(values: list[int], times: int, seed: int) -> None:
    check(np.random.default_rng(seed).permutation(np.repeat(np.array(values, dtype=np.uint64), times)))


def test_it_stops_where_there_are_too_many() -> None:
    hashes = mix(np.arange(60_000).astype(np.uint64))
    assert 1000 < len(occurrences(hashes, 1000)[0]) < 60_000
    assert len(occurrences(hashes[:1000], 1000)[0]) == 1000


# Heaps: what is dense here and far away there, so that no one width of cells does for all.
HEAPS: dict[str, Any] = {
    "one": lambda r, n: np.full(n, -7.25),
    "nothing": lambda r, n: np.where(r.random(n) < 0.5, 0.0, -0.0),
    "two": lambda r, n: np.where(r.random(n) < 0.5, -1e300, 5e-324),
    "tenths": lambda r, n: r.integers(-300, 300, n) / 10,
    "just_allowed": lambda r, n: r.permutation(np.resize(np.arange(buckets.MOST) / 7, n)),
    "one_too_many": lambda r, n: r.permutation(np.resize(np.arange(buckets.MOST + 1) / 7, n)),
    "subnormal": lambda r, n: r.integers(-(10**6), 10**7, n) * 5e-324,
    "all_floats": lambda r, n: r.uniform(-1, 1, n) * 1.79e308,
    "outliers": lambda r, n: np.where(r.random(n) < 1e-3, 10.0 ** r.uniform(-320, 300, n), r.lognormal(size=n)),
    "two_heaps": lambda r, n: np.where(r.random(n) < 0.5, 1e9, -3.0) + r.normal(size=n) * 1e-6,
    "many_heaps": lambda r, n: r.integers(1, 5000, n) * 1e6 + r.normal(size=n) * 1e-6,
    "unknown_times": lambda r, n: np.where(r.random(n) < 0.02, 0.0, 1.7e9 + np.sort(r.random(n)) * 1e7),
    "long_tail": lambda r, n: r.zipf(1.1, n).astype(np.float64),
    "signed_zeros": lambda r, n: np.where(r.random(n) < 0.3, -0.0, r.normal(size=n)),
    "as_many_buckets_as_allowed": lambda r, n: np.resize(1e9 + np.arange(4 * buckets.MOST), n),
    "ends": lambda r, n: np.concatenate([[np.finfo(np.float64).max, np.finfo(np.float64).min], r.normal(size=n - 2)]),
}


@pytest.mark.parametrize("heap", HEAPS)
def test_buckets_are_those_of_the_sorted_values(heap: str) -> None:
    for n in (buckets.SORTED_BELOW, 90_000):
        values = HEAPS[heap](np.random.default_rng(9), n)
        fast, slow = buckets.bucket(values.copy()), buckets._runs(np.sort(buckets.order(values)))
        assert fast.shift == slow.shift
        assert np.array_equal(fast.ids, slow.ids)
        assert np.array_equal(fast.counts, slow.counts)


@pytest.mark.parametrize("heap", HEAPS)
def test_sketch_and_moments_are_those_of_all_the_values(heap: str) -> None:
    values = HEAPS[heap](np.random.default_rng(9), 60_000)
    tally = numbers.numbers(pl.Series(values), values)
    hashes = np.unique(mix((values + 0.0).view(np.uint64)) >> np.uint64(24))
    assert np.array_equal(numbers.sketch_of(tally), hashes[: distinct.K])
    with np.errstate(over="ignore"):
        plain = moments.moments(values)
    assert tally.moments.n == plain.n
    size = float(np.abs(values).max())
    if size < 1e60:
        for power, (mine, theirs) in enumerate(zip(tally.moments[1:], plain[1:], strict=True), start=1):
            assert mine == pytest.approx(theirs, rel=1e-9, abs=1e-14 * len(values) * size**power)


def test_texts_are_measured_beyond_one_cut() -> None:
    texts = [f"p{at}@mail.org" if at % 5 == 0 else "é" * (at % 7) + str(at) for at in range(40_000)]
    column = summarise(pl.DataFrame({"w": [*texts, *texts[:100]]}), about="").columns[0]
    sizes = [*map(len, texts), *map(len, texts[:100])]
    assert column.lengths is not None
    assert (column.lengths.low, column.lengths.high) == (min(sizes), max(sizes))
    assert column.lengths.mean == sum(sizes) / len(sizes)
    assert column.distinct == pytest.approx(40_000, rel=0.12)
    assert column.pii == {"email": pytest.approx(0.2, abs=0.001)}


@pytest.mark.parametrize("p", [2, 12, 40])
def test_products_of_many_columns(p: int) -> None:
    r = np.random.default_rng(p)
    table = r.normal(size=(p, 9000)) + 1000 * r.normal(size=(p, 1)) + r.normal(size=9000)
    table[::3, ::4] = np.nan
    means: list[float] = np.nanmean(table, axis=1).tolist()
    complete = [bool(np.isfinite(column).all()) for column in table]
    found = comoments([str(at) for at in range(p)], list(table), means, complete)
    for pair in correlations(found):
        x, y = table[int(pair.a)], table[int(pair.b)]
        both = np.isfinite(x) & np.isfinite(y)
        assert pair.n == both.sum()
        assert pair.r == pytest.approx(np.corrcoef(x[both], y[both])[0, 1], abs=2e-6)

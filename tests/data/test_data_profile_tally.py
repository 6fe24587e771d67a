"""The profile of a whole is that of its merged parts, whatever the cut."""

from __future__ import annotations

import itertools
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.core.errors import BadInput
from everloop.core.profiles import ColumnProfile, Profile
from everloop.data.profile import Tally, buckets, merge_tallies, summarise, words

MOMENTS = ("mean", "m2", "m3", "m4")
FLOATS = st.none() | st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, 5e-324, 1e300]) | st.floats()
INTS = st.none() | st.integers(-5, 5) | st.sampled_from([2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)])
WORDS = st.none() | st.sampled_from(["a", "b", "", "a@b.co", "é", "日本", "x" * 300, "x" * 299 + "y"]) | st.text(max_size=4)
TIMES = st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1))
ROWS = st.lists(
    st.tuples(FLOATS, INTS, WORDS, st.none() | st.booleans(), TIMES, st.none() | st.binary(max_size=3), st.none(), st.just(7.5)),
    max_size=30,
)
TYPES = {
    "x": pl.Float64, "n": pl.Int64, "w": pl.String, "b": pl.Boolean, "t": pl.Datetime("us"), "y": pl.Binary, "void": pl.Float64, "one": pl.Float64,
}  # fmt: skip


def table(rows: list[tuple[object, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=TYPES, orient="row").with_columns(l=pl.concat_list("n", "n"))


def merged(parts: list[Tally]) -> Tally:
    total = parts[0]
    for part in parts[1:]:
        total = merge_tallies(total, part)
    return total


def same(a: Profile, b: Profile) -> None:
    """Equal to the last bit, but for moments and correlations."""
    assert (a.rows, len(a.columns)) == (b.rows, len(b.columns))
    for left, right in zip(a.columns, b.columns, strict=True):
        nothing = dict.fromkeys(MOMENTS)
        assert msgspec.structs.replace(left, **nothing) == msgspec.structs.replace(right, **nothing)
        size = max(abs(left.low or 0.0), abs(left.high or 0.0), 1e-300)
        for power, field in enumerate(MOMENTS, start=1):
            x, y = getattr(left, field), getattr(right, field)
            if size < 1e60:
                assert (x is None) == (y is None), (left.name, field)
                assert x is None or x == pytest.approx(y, rel=1e-6, abs=1e-9 * left.rows * size**power), (left.name, field)
    for left, right in zip(a.correlations, b.correlations, strict=True):
        assert (left.a, left.b, left.n) == (right.a, right.b, right.n)
        # Where sixteen digits are not enough for the deviations, neither part nor whole knows the correlation.
        tame = all(
            abs(end or 0.0) < 1e6 for name in (left.a, left.b) for column in [a.column(name)] if column for end in (column.low, column.high)
        )
        if left.r is not None and right.r is not None and tame:
            assert left.r == pytest.approx(right.r, abs=1e-4)


@given(ROWS, ROWS, ROWS)
@settings(max_examples=120, deadline=None)
def test_the_whole_is_the_merge_of_its_parts(a: list[Any], b: list[Any], c: list[Any]) -> None:
    x, y, z = (Tally.of(table(rows)) for rows in (a, b, c))
    whole = Tally.of(table([*a, *b, *c])).profile(about="w")
    same(merge_tallies(merge_tallies(x, y), z).profile(about="w"), whole)
    same(merge_tallies(x, merge_tallies(y, z)).profile(about="w"), whole)
    same(merge_tallies(merge_tallies(z, x), y).profile(about="w"), whole)


@given(ROWS)
@settings(max_examples=60, deadline=None)
def test_a_tally_survives_its_bytes(rows: list[Any]) -> None:
    tally = Tally.of(table(rows))
    blob = tally.encode()
    again = Tally.decode(blob)
    assert again.profile(about="w") == tally.profile(about="w")
    assert again.encode() == blob
    # Merging goes on as if nothing had been.
    assert merge_tallies(again, again).profile(about="") == merge_tallies(tally, tally).profile(about="")


@given(ROWS)
@settings(max_examples=60, deadline=None)
def test_counts_are_what_plain_python_counts(rows: list[Any]) -> None:
    frame = table(rows)
    profile = Tally.of(frame).profile(about="")
    for column in profile.columns:
        values = frame[column.name].drop_nulls().to_list()
        assert (column.rows, column.nulls) == (len(rows), len(rows) - len(values))
        if column.kind in ("int", "float", "bool"):
            finite = [float(value) for value in values if math.isfinite(value)]
            assert column.nans == len(values) - len(finite)
            assert column.infinite == sum(map(math.isinf, values))
            assert column.zeros == sum(value == 0 for value in finite)
            assert column.negatives == sum(value < 0 for value in finite)
            assert column.distinct == len(set(values) if column.kind == "int" else set(finite))
            assert (column.low, column.high) == (min(finite, default=None), max(finite, default=None))
            assert sum(column.counts) == len(finite)
        elif column.kind == "text":
            assert column.distinct == len(set(values))
            assert dict(column.top) == {value: values.count(value) for value in set(values) if len(value) <= 256}
            assert column.other == sum(len(value) > 256 for value in values)
        elif column.lengths is not None:
            sizes = [len(value) for value in values]
            assert (column.lengths.low, column.lengths.high) == (min(sizes), max(sizes))


# How columns of many different values are cut, of each kind that has a path of its own: dense and sparse floats, both signs, with zeros, ties.
CURVES: dict[str, Any] = {
    "normal": lambda r, n: r.normal(size=n),
    "wide": lambda r, n: 10.0 ** r.uniform(-300, 300, n) * r.choice([-1, 1], n),
    "zeros": lambda r, n: np.where(r.random(n) < 0.3, 0.0, r.lognormal(size=n)),
    "prices": lambda r, n: np.round(r.gamma(2, 300, n), 2),
    "offset": lambda r, n: 1e9 + r.normal(size=n),
    "ints": lambda r, n: r.integers(-(2**40), 2**40, n),
    "few": lambda r, n: r.integers(0, 600, n),
    "ids": lambda r, n: np.arange(n),
}


@pytest.mark.parametrize("curve", CURVES)
def test_many_values_give_the_same_buckets_whatever_the_cut(curve: str) -> None:
    r = np.random.default_rng(3)
    values = CURVES[curve](r, 60_000)
    frame = pl.DataFrame({"x": values})
    cuts = [0, 1, 700, 20_000, 45_000, 60_000]
    parts = [Tally.of(frame[a:b]) for a, b in itertools.pairwise(cuts)]
    whole = Tally.of(frame).profile(about="")
    same(merged(parts).profile(about=""), whole)
    same(merged(parts[::-1]).profile(about=""), whole)
    same(merged([Tally.decode(part.encode()) for part in parts]).profile(about=""), whole)
    column = whole.columns[0]
    # Counting the values themselves in the edges finds the same.
    assert summarise(frame, about="", reference=whole).columns[0].counts == column.counts
    truth = len(np.unique(values))
    assert column.distinct == pytest.approx(truth, rel=0.1)
    assert column.exact_distinct == (truth <= buckets.MOST)
    if curve != "wide":
        assert column.m2 == pytest.approx(np.square(values - np.mean(values, dtype=np.longdouble)).sum(), rel=1e-9)


@pytest.mark.parametrize("curve", CURVES)
def test_counting_without_a_sort_gives_what_sorting_gives(curve: str) -> None:
    values = CURVES[curve](np.random.default_rng(5), 50_000).astype(np.float64)
    keys = np.sort(buckets.order(values + 0.0))
    fast, slow = buckets.bucket(values, whole=curve in ("ints", "few", "ids")), buckets._runs(keys)
    assert fast.shift == slow.shift
    assert np.array_equal(fast.ids, slow.ids)
    assert np.array_equal(fast.counts, slow.counts)
    assert len(fast.ids) <= buckets.MOST
    # The smallest shift that is allowed: one less would leave too many.
    assert fast.shift == 0 or len(np.unique(keys >> (fast.shift - 1))) > buckets.MOST


def test_a_mass_of_its_own_is_found_among_many_values() -> None:
    r = np.random.default_rng(1)
    values = np.concatenate([r.normal(size=80_000), np.full(3000, -1.0), np.full(2000, 999.0), np.full(900, 0.0)])
    column = one(pl.DataFrame({"x": values}))
    assert [value for value, _ in column.points] == [-1.0, 999.0, 0.0]
    assert dict(column.points)[999.0] == 2000
    assert dict(column.points)[-1.0] == pytest.approx(3000, rel=0.05)


def test_texts_with_a_few_thousand_values_are_counted_exactly() -> None:
    r = np.random.default_rng(2)
    frame = pl.DataFrame({"w": [f"w{v}" for v in r.integers(0, words.EXACT, 30_000)]})
    parts = [Tally.of(frame[at : at + 4000]) for at in range(0, 30_000, 4000)]
    same(merged(parts).profile(about=""), Tally.of(frame).profile(about=""))
    counted = frame["w"].value_counts(sort=True)
    assert one(frame).top[0][1] == counted["count"][0]
    assert one(frame).distinct == counted.height


def test_the_frequent_of_many_texts_are_counted_within_the_stated_error() -> None:
    r = np.random.default_rng(4)
    n = 60_000
    # Frequencies fall slowly; some texts are frequent in one stretch of the rows only.
    texts = [f"w{v}" for v in np.minimum(r.zipf(1.25, n), 10**7)]
    texts[:3000] = ["early"] * 3000
    texts[40_000:41_000] = ["late"] * 1000
    frame = pl.DataFrame({"w": texts})
    truth = dict(frame["w"].value_counts().rows())
    for step in (n, 7000, 20_000):
        tally = merged([Tally.of(frame[at : at + step]) for at in range(0, n, step)])
        body = tally.columns[0].body
        assert isinstance(body, words.Words)
        assert body.many
        assert len(body.hashes) <= words.KEPT
        assert body.error <= n / (words.KEPT + 1)
        kept = dict(zip(body.texts.tolist(), zip(body.seen.tolist(), body.counts.tolist(), strict=True), strict=True))
        for text, (seen, count) in kept.items():
            assert seen <= truth[text] <= count + body.error
        assert {text for text, count in truth.items() if count > n / (words.KEPT + 1)} <= set(kept)
        column = tally.profile(about="").columns[0]
        assert {text for text, count in truth.items() if count > 0.002 * n} <= {text for text, _ in column.top}
        assert sum(count for _, count in column.top) + column.other == n
        assert column.distinct == pytest.approx(len(truth), rel=0.12)
        assert not column.exact_distinct


def test_ids_are_not_given_a_top_list() -> None:
    frame = pl.DataFrame({"id": [f"ord-{at}" for at in range(20_000)]})
    halves = merge_tallies(Tally.of(frame[:9000]), Tally.of(frame[9000:])).profile(about="")
    same(halves, Tally.of(frame).profile(about=""))
    assert (halves.columns[0].top, halves.columns[0].other) == ((), 20_000)
    assert halves.columns[0].patterns[0][0] == "a+-9+" or halves.columns[0].patterns[0][0].startswith("aaa-9999")


def test_whole_numbers_beyond_floats_are_still_told_apart() -> None:
    first = 2**60
    column = one(pl.DataFrame({"n": [first + at for at in range(700)] * 2}))
    assert (column.distinct, column.exact_distinct) == (700, True)
    nanoseconds = pl.DataFrame({"t": pl.Series(range(10**18, 10**18 + 500), dtype=pl.Int64).cast(pl.Datetime("ns"))})
    assert one(nanoseconds).distinct == 500


def test_correlations_are_pairwise_complete() -> None:
    r = np.random.default_rng(6)
    x = r.normal(size=5000)
    data: dict[str, Any] = {"x": 1e6 + x, "y": x + r.normal(size=5000), "z": -x, "c": np.full(5000, 0.1)}
    data["y"][::3] = np.nan
    data["z"][1::5] = np.inf
    frame = pl.DataFrame(data)
    whole = Tally.of(frame).profile(about="").correlations
    parts = merged([Tally.of(frame[at : at + 900]) for at in range(0, 5000, 900)]).profile(about="").correlations
    assert [(pair.a, pair.b, pair.n) for pair in parts] == [(pair.a, pair.b, pair.n) for pair in whole]
    for pair, part in zip(whole, parts, strict=True):
        both = np.isfinite(data[pair.a]) & np.isfinite(data[pair.b])
        assert pair.n == both.sum()
        if "c" in (pair.a, pair.b):
            assert pair.r is part.r is None
        else:
            truth = np.corrcoef(data[pair.a][both], data[pair.b][both])[0, 1]
            assert pair.r == pytest.approx(truth, abs=2e-6)
            assert part.r == pytest.approx(truth, abs=2e-6)


def test_times_have_a_usual_step_and_a_longest_gap() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    hours = [start + timedelta(hours=at) for at in range(2000) if not 500 <= at < 560]
    gap = one(pl.DataFrame({"t": hours})).gap
    assert gap is not None
    assert (gap.usual_s, gap.longest_s) == (3600.0, 61 * 3600.0)
    assert gap.after == (start + timedelta(hours=499)).timestamp()
    # More times than are kept one by one: near enough.
    seconds = np.arange(100_000) + np.where(np.arange(100_000) >= 60_000, 50_000, 0)
    long = one(pl.DataFrame({"t": pl.Series(seconds * 1_000_000 + 1_767_225_600_000_000).cast(pl.Datetime("us"))})).gap
    assert long is not None
    assert long.longest_s == pytest.approx(50_000, rel=0.02)
    assert long.usual_s == pytest.approx(1.5, rel=0.1)


def test_an_empty_part_takes_the_kind_of_the_other() -> None:
    nothing = Tally.of(pl.DataFrame({"x": [None, None], "w": [None, None]}))
    some = Tally.of(pl.DataFrame({"x": [1.5, math.nan], "w": ["a", "b"]}))
    for both in (merge_tallies(nothing, some), merge_tallies(some, nothing)):
        x, w = both.profile(about="").columns
        assert (x.kind, x.rows, x.nulls, x.nans, x.mean) == ("float", 4, 2, 1, 1.5)
        assert (w.kind, w.nulls, w.top) == ("text", 2, (("a", 1), ("b", 1)))


def test_parts_that_do_not_fit_are_refused() -> None:
    x = Tally.of(pl.DataFrame({"x": [1]}))
    with pytest.raises(BadInput, match="different columns"):
        merge_tallies(x, Tally.of(pl.DataFrame({"y": [1]})))
    with pytest.raises(BadInput, match="int in one part and text"):
        merge_tallies(x, Tally.of(pl.DataFrame({"x": ["1"]})))
    assert merge_tallies(x, Tally.of(pl.DataFrame({"x": [1.5]}))).profile(about="").columns[0].kind == "float"


def test_bytes_that_are_no_tally_are_refused() -> None:
    blob = Tally.of(pl.DataFrame({"x": [1.0, 2.0], "w": ["a", "b"]})).encode()
    for bad in (b"", b"parquet, say, or whatever", blob[:-3], blob[:8] + bytes(8) + blob[16:], blob[:40] + bytes(4) + blob[44:]):
        with pytest.raises(BadInput, match=r"[Ss]ummarise"):
            Tally.decode(bad)
    with pytest.raises(BadInput, match="version 99"):
        Tally.decode(blob[:7] + bytes([99]) + blob[8:])


def test_what_is_kept_of_a_chunk_is_small() -> None:
    r = np.random.default_rng(8)
    n = 130_000
    numbers = {f"x{at}": r.normal(size=n) for at in range(12)}
    texts = {f"w{at}": r.integers(0, 10 ** (at + 1), n).astype(str) for at in range(8)}
    assert len(Tally.of(pl.DataFrame(numbers | texts)).encode()) < 250_000


def test_a_cell_of_many_megabytes_is_not_kept() -> None:
    frame = pl.DataFrame({"w": ["a", "b", "a", "c" * 20_000_000, "c" * 20_000_000 + "d"]})
    tally = Tally.of(frame)
    assert len(tally.encode()) < 2000
    column = tally.profile(about="").columns[0]
    assert (column.top, column.other, column.distinct) == ((("a", 2), ("b", 1)), 2, 4)
    assert column.lengths is not None
    assert column.lengths.high == 20_000_001


def test_thousands_of_columns() -> None:
    frame = pl.DataFrame({f"c{at}": [at, at + 1, None] for at in range(3000)})
    profile = Tally.decode(Tally.of(frame).encode()).profile(about="")
    assert len(profile.columns) == 3000
    assert len(profile.correlations) == 64 * 63 // 2


def one(frame: pl.DataFrame) -> ColumnProfile:
    return Tally.of(frame).profile(about="").columns[0]

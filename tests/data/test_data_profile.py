from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.core.errors import BadInput
from everloop.core.profiles import ColumnProfile, Profile
from everloop.data.profile import TOP, merge, summarise
from everloop.data.profile.bins import BINS, bin_counts, quantile_bins
from everloop.data.profile.buckets import bucket

FLOATS = st.none() | st.floats(-1e6, 1e6) | st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 1.0])
WORDS = st.none() | st.sampled_from(["a", "b", "c", ""]) | st.text(max_size=3)
ROWS = st.lists(st.tuples(FLOATS, st.none() | st.integers(-5, 5), WORDS, st.none() | st.booleans()), max_size=30)
TYPES = {"x": pl.Float64, "n": pl.Int64, "w": pl.String, "b": pl.Boolean}


def table(rows: list[tuple[object, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=TYPES, orient="row")


def same(a: Profile, b: Profile, *, distinct: bool = False) -> None:
    assert a.rows == b.rows
    for left, right in zip(a.columns, b.columns, strict=True):
        fields = ["name", "kind", "rows", "nulls", "nans", "low", "high", "edges", "counts", "top", "other", "unseen"]
        for field in fields + (["distinct"] if distinct else []):
            assert getattr(left, field) == getattr(right, field), (left.name, field)
        assert (left.mean is None, left.m2 is None) == (right.mean is None, right.m2 is None)
        assert left.mean is None or left.mean == pytest.approx(right.mean, rel=1e-9, abs=1e-6)
        assert left.m2 is None or left.m2 == pytest.approx(right.m2, rel=1e-6, abs=1e-3)


@given(ROWS, ROWS, ROWS, ROWS)
@settings(max_examples=60, deadline=None)
def test_merging_is_associative_commutative_and_equals_the_whole(
    reference: list[tuple[object, ...]], a: list[tuple[object, ...]], b: list[tuple[object, ...]], c: list[tuple[object, ...]]
) -> None:
    known = summarise(table(reference), about="r")
    known = Profile(about="r", rows=known.rows, columns=tuple(col for col in known.columns if col.kind == "text" or col.edges))
    frames = [table(rows).select([column.name for column in known.columns]) for rows in (a, b, c)]
    x, y, z = (summarise(frame, about="w", reference=known) for frame in frames)
    whole = summarise(pl.concat(frames), about="w", reference=known)
    same(merge(merge(x, y), z), merge(x, merge(y, z)), distinct=True)
    same(merge(x, y), merge(y, x), distinct=True)
    same(merge(merge(x, y), z), whole)


@given(ROWS)
@settings(max_examples=80, deadline=None)
def test_counts_add_up_whatever_the_values(rows: list[tuple[object, ...]]) -> None:
    frame = table(rows)
    for column in summarise(frame, about="").columns:
        series = frame[column.name]
        assert column.rows == len(rows)
        assert column.nulls == series.null_count()
        if column.kind == "text":
            assert sum(count for _, count in column.top) + column.other + column.unseen == column.valid
            continue
        finite = [float(v) for v in series.drop_nulls() if math.isfinite(v)]
        assert column.nans == len(series) - column.nulls - len(finite)
        assert column.distinct == len(set(finite))
        assert sum(column.counts) == column.valid == len(finite)
        if finite:
            assert (column.low, column.high) == (min(finite), max(finite))
            assert column.mean == pytest.approx(np.mean(finite), abs=1e-6)
            assert column.m2 == pytest.approx(np.sum(np.square(np.array(finite) - np.mean(finite))), rel=1e-6, abs=1e-3)
            assert list(column.edges) == sorted(set(column.edges))


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=200), st.lists(st.floats(-2e3, 2e3), max_size=50), st.integers(1, 8))
def test_each_value_is_counted_in_its_bin(values: list[float], others: list[float], bins: int) -> None:
    edges, _ = quantile_bins(bucket(np.array(values)), min(values), max(values), bins)
    assert 1 <= len(edges) - 1 <= bins
    counts = bin_counts(np.sort(np.array(others)), edges)
    expected = [0] * (len(edges) - 1)
    for value in others:
        expected[max(0, min(len(expected) - 1, sum(edge <= value for edge in edges.tolist()) - 1))] += 1
    assert counts.tolist() == expected


def test_up_to_500_values_are_counted_one_by_one() -> None:
    values = np.repeat(np.arange(BINS), 3)
    column = one(pl.DataFrame({"n": values}))
    assert column.edges[:-1] == tuple(float(v) for v in range(BINS))
    assert set(column.counts) == {3}


def test_a_tie_at_the_top_has_a_bin_of_its_own() -> None:
    values = np.concatenate([np.linspace(0, 1, 5000), np.full(2000, 2.0)])
    column = one(pl.DataFrame({"x": values}))
    assert column.counts[-1] == 2000
    assert len(column.counts) <= BINS


def test_bins_of_a_large_sample_hold_nearly_equal_shares() -> None:
    column = one(pl.DataFrame({"x": np.random.default_rng(1).normal(size=50_000)}))
    assert len(column.counts) == BINS
    assert sum(column.counts) == 50_000
    assert min(column.counts) >= 80
    assert max(column.counts) <= 120
    assert np.std(column.counts) < 5


def test_values_beyond_the_reference_count_in_the_outer_bins() -> None:
    reference = summarise(pl.DataFrame({"x": [1.0, 2.0, 3.0]}), about="")
    column = summarise(pl.DataFrame({"x": [-9.0, 2.0, 99.0, math.inf, -math.inf]}), about="", reference=reference).columns[0]
    assert (column.counts, column.nans) == ((1, 1, 1), 2)
    assert (column.low, column.high) == (-9.0, 99.0)


def test_text_keeps_the_top_and_counts_the_rest() -> None:
    words = [f"w{at:03}" for at in range(TOP + 10) for _ in range(at + 1)]
    column = one(pl.DataFrame({"w": words}))
    assert column.top[0] == (f"w{TOP + 9:03}", TOP + 10)
    assert len(column.top) == TOP
    assert (column.distinct, column.other, column.unseen) == (TOP + 10, sum(range(1, 11)), 0)


def test_unknown_text_is_unseen_only_where_the_reference_knew_all() -> None:
    few = summarise(pl.DataFrame({"w": ["a", "b"]}), about="")
    many = summarise(pl.DataFrame({"w": [f"w{at}" for at in range(TOP + 1)]}), about="")
    frame = pl.DataFrame({"w": ["a", "new", "new"]})
    known = summarise(frame, about="", reference=few).columns[0]
    assert (known.top, known.other, known.unseen) == ((("a", 1), ("b", 0)), 0, 2)
    unsure = summarise(frame, about="", reference=many).columns[0]
    assert (unsure.other, unsure.unseen) == (3, 0)


def test_times_are_seconds_since_the_epoch() -> None:
    when = datetime(2026, 11, 20, 18, tzinfo=UTC)
    for unit in ("ms", "us", "ns"):
        column = one(pl.DataFrame({"t": pl.Series([when]).dt.cast_time_unit(unit)}))
        assert (column.kind, column.low) == ("time", when.timestamp())
    assert one(pl.DataFrame({"t": [when.date()]})).low == datetime(2026, 11, 20, tzinfo=UTC).timestamp()


def test_a_window_without_values_keeps_the_kind_of_its_reference() -> None:
    reference = summarise(pl.DataFrame({"x": [1.0, 2.0]}), about="")
    empty = summarise(pl.DataFrame({"x": [None, None]}), about="", reference=reference)
    assert (empty.columns[0].kind, empty.columns[0].counts) == ("float", (0, 0))
    assert merge(reference, empty).columns[0].nulls == 2


def test_different_bins_columns_and_kinds_are_not_merged() -> None:
    a = summarise(pl.DataFrame({"x": [1.0, 2.0]}), about="")
    with pytest.raises(BadInput, match="different bins"):
        merge(a, summarise(pl.DataFrame({"x": [1.0, 3.0]}), about=""))
    with pytest.raises(BadInput, match="different columns"):
        merge(a, summarise(pl.DataFrame({"y": [1.0, 2.0]}), about=""))
    with pytest.raises(BadInput, match="float in one part and bool"):
        merge(
            summarise(pl.DataFrame({"x": [0.0, 1.0]}), about=""),
            summarise(pl.DataFrame({"x": [False, True]}), about=""),
        )


def test_the_same_table_gives_the_same_profile_whatever_its_chunks() -> None:
    frame = table([(1.0, 1, "a", True), (2.0, None, None, False), (None, 3, "b", None)])
    pieces = pl.concat([frame[:1], frame[1:]], rechunk=False)
    assert summarise(frame, about="s").id == summarise(pieces, about="s").id


def one(frame: pl.DataFrame) -> ColumnProfile:
    return summarise(frame, about="").columns[0]

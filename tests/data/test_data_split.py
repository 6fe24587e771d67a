from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.core.errors import BadInput
from everloop.data.split import NO_PART, assign, places, row_hash

ROW = st.tuples(
    st.none() | st.integers(-20, 20),
    st.none() | st.sampled_from("abcdef"),
    st.none() | st.floats(allow_nan=True),
    st.none() | st.booleans(),
)
SCHEMA = {"n": pl.Int64, "w": pl.String, "x": pl.Float64, "b": pl.Boolean}
TABLES = st.lists(ROW, min_size=1, max_size=60).map(lambda rows: pl.DataFrame(rows, schema=SCHEMA, orient="row"))


@given(TABLES, st.integers(0, 5))
@settings(max_examples=80, deadline=None)
def test_every_row_is_in_one_part_equal_rows_in_the_same_and_none_is_empty(frame: pl.DataFrame, seed: int) -> None:
    different = len(np.unique(row_hash(frame)))
    if frame.height >= 10 and different < 3:
        with pytest.raises(BadInput, match=f"{different} different rows"):
            assign(frame, seed=seed)
        return
    parts = assign(frame, seed=seed)
    assert parts.shape == (frame.height,)
    assert parts.dtype == np.uint8
    assert set(parts.tolist()) <= {0, 1, 2}
    if frame.height >= 10:
        assert set(parts.tolist()) == {0, 1, 2}
    by_row = frame.with_columns(part=parts).group_by(frame.columns).agg(pl.col("part").n_unique())
    assert by_row["part"].max() == 1


@given(TABLES, TABLES, st.randoms())
@settings(max_examples=60, deadline=None)
def test_a_row_has_its_hash_wherever_it_stands(a: pl.DataFrame, b: pl.DataFrame, random: object) -> None:
    both = pl.concat([a, b])
    assert (row_hash(both)[: a.height] == row_hash(a)).all()
    assert (row_hash(both[::-1])[::-1] == row_hash(both)).all()
    assert (row_hash(both.select(reversed(both.columns))) == row_hash(both)).all()
    assert (row_hash(both.with_columns(new=pl.lit(None, pl.String))) == row_hash(both)).all()
    assert (row_hash(both.with_columns(pl.col("n").cast(pl.Float64))) == row_hash(both)).all()


def test_the_hash_is_the_same_on_every_platform_and_version() -> None:
    """Written down once: a champion's training rows stay training rows for ever."""
    frame = pl.DataFrame(
        {
            "n": [1, -7, None],
            "x": [0.5, -0.0, float("nan")],
            "w": ["a", "é", ""],
            "b": [True, False, None],
            "t": [datetime(2026, 11, 20, 18, 30), None, datetime(1969, 1, 1)],
            "y": [b"\x00", b"", None],
            "l": [[1, 2], [], None],
        }
    )
    assert row_hash(frame).tolist() == PINNED


PINNED = [14051641972403828847, 13541925042851427759, 3711754488097663406]


def test_differing_rows_differ() -> None:
    swapped = pl.DataFrame({"a": [1, 2, 1, None, 1], "b": [2, 1, None, 1, 1]})
    assert len(set(row_hash(swapped).tolist())) == 5
    many = pl.DataFrame({"a": range(200_000)})
    assert len(np.unique(row_hash(many))) == 200_000


def test_parts_have_their_shares_and_seeds_differ() -> None:
    frame = pl.DataFrame({"a": range(20_000)})
    first, second = assign(frame, seed=1), assign(frame, seed=2)
    shares = np.bincount(first) / len(first)
    assert shares == pytest.approx([0.6, 0.2, 0.2], abs=0.015)
    # Independent: both in the same part with probability .36 + .04 + .04.
    assert (first == second).mean() == pytest.approx(0.44, abs=0.02)


def test_a_later_snapshot_never_tests_on_earlier_training_rows() -> None:
    early = pl.DataFrame({"a": range(1000), "b": [at % 7 for at in range(1000)]})
    late = pl.concat([pl.DataFrame({"a": range(5000, 5500), "b": [0] * 500}), early])
    assert (assign(late, seed=3)[500:] == assign(early, seed=3)).all()


def test_time_puts_the_oldest_into_training_and_keeps_equal_times_together() -> None:
    start = datetime(2026, 1, 1)
    days = [at // 24 for at in range(240)]
    frame = pl.DataFrame({"t": [start + timedelta(days=day) for day in days]}).sample(fraction=1.0, shuffle=True, seed=1)
    parts = frame.with_columns(part=assign(frame, how="time", by="t"))
    assert parts.group_by("t").agg(pl.col("part").n_unique())["part"].max() == 1
    ordered = parts.sort("t")["part"].to_list()
    assert ordered == sorted(ordered)
    assert np.bincount(ordered).tolist() == [144, 48, 48]


def test_groups_stay_whole_whatever_else_their_rows_hold() -> None:
    frame = pl.DataFrame({"g": [f"g{at % 40}" for at in range(400)], "a": range(400)})
    parts = frame.with_columns(part=assign(frame, how="group", by="g", seed=4))
    assert parts.group_by("g").agg(pl.col("part").n_unique())["part"].max() == 1
    assert parts["part"].n_unique() == 3


@given(
    st.lists(st.integers(0, 6), min_size=10, max_size=40), st.sampled_from(["time", "group"]), st.floats(0.01, 0.45), st.floats(0.01, 0.45)
)
@settings(max_examples=80, deadline=None)
def test_few_groups_or_times_still_fill_every_part(values: list[int], how: str, valid: float, test: float) -> None:
    frame = pl.DataFrame({"v": values})
    fractions = (1 - valid - test, valid, test)
    if len(set(values)) < 3:
        with pytest.raises(BadInput, match=f"has {len(set(values))} different"):
            assign(frame, how=how, by="v", fractions=fractions)  # type: ignore[arg-type]
        return
    parts = frame.with_columns(part=assign(frame, how=how, by="v", fractions=fractions))  # type: ignore[arg-type]
    assert parts["part"].n_unique() == 3
    assert parts.group_by("v").agg(pl.col("part").n_unique())["part"].max() == 1
    if how == "time":
        assert parts.sort("v")["part"].is_sorted()


@given(TABLES, TABLES, st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_rows_that_come_later_move_no_row(early: pl.DataFrame, late: pl.DataFrame, seed: int) -> None:
    """By content, by group and by class: once each part (of each class) has rows of its own, more rows change nothing."""
    both = pl.concat([early, late]).with_columns(w=pl.col("w").fill_null("a"))
    early = both[: early.height]
    for how, by in (("hash", None), ("group", "n"), ("stratified", "w")):
        first, then = (_unfilled(frame, how, by, seed) for frame in (early, both))
        if first is None or then is None:
            continue
        assert (then[: early.height] == first).all(), how


def _unfilled(frame: pl.DataFrame, how: str, by: str | None, seed: int) -> np.ndarray | None:
    """Parts as they fall; None for a table so small that a part (of a class) had to be filled with rows of another."""
    try:
        found = assign(frame, how=how, by=by, seed=seed)  # type: ignore[arg-type]
    except BadInput:
        return None
    content = frame.select(by) if how == "group" else frame  # type: ignore[arg-type]
    fallen = np.searchsorted([0.6, 0.8], places(content, seed=seed), side="right")
    return found if (found == fallen).all() else None


def test_each_class_has_its_share_and_is_absent_from_no_part() -> None:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({"c": ["often"] * 5000 + ["rare"] * 40 + ["rarest"] * 12, "x": rng.normal(size=5052)})
    for seed in range(20):
        parts = frame.with_columns(part=assign(frame, how="stratified", by="c", seed=seed))
        found = parts.group_by("c").agg(pl.col("part").n_unique())
        assert found["part"].to_list() == [3, 3, 3]
    shares = np.bincount(assign(frame, how="stratified", by="c", seed=0)[:5000]) / 5000
    assert shares == pytest.approx([0.6, 0.2, 0.2], abs=0.03)
    # By content alone the rarest is missed by a part now and then.
    missed = [len(set(assign(frame, seed=seed)[-12:].tolist())) < 3 for seed in range(20)]
    assert any(missed)


def test_equal_rows_of_a_class_share_a_part() -> None:
    frame = pl.DataFrame({"c": ["a", "b"] * 30, "x": [at % 15 for at in range(60)]})
    parts = frame.with_columns(part=assign(frame, how="stratified", by="c"))
    assert parts.group_by("c", "x").agg(pl.col("part").n_unique())["part"].max() == 1


def test_a_class_of_one_row_and_missing_ones_are_in_some_part() -> None:
    frame = pl.DataFrame({"c": ["a"] * 30 + ["b", None], "x": range(32)})
    assert set(assign(frame, how="stratified", by="c").tolist()) == {0, 1, 2}


def test_a_quantity_is_nothing_to_stratify_by() -> None:
    frame = pl.DataFrame({"y": [at / 7 for at in range(300)], "k": range(300)})
    for by in ("y", "k"):
        with pytest.raises(BadInput, match="300 different values"):
            assign(frame, how="stratified", by=by)


@given(st.lists(st.integers(0, 60), min_size=10, max_size=60), st.sampled_from([0.0, 1.0, 2.0, 3.5]))
@settings(max_examples=60, deadline=None)
def test_a_gap_lies_before_each_later_part(minutes: list[int], gap: float) -> None:
    frame = pl.DataFrame({"t": minutes})
    if len(set(minutes)) < 3:
        return
    whole = assign(frame, how="time", by="t")
    try:
        parts = assign(frame, how="time", by="t", gap_s=gap)
    except BadInput:
        if gap == 0:
            raise
        return  # nothing would be left of a part
    assert ((parts == whole) | (parts == NO_PART)).all()
    times = np.array(minutes)
    for earlier, later in ((0, 1), (0, 2), (1, 2)):
        assert times[whole == later].min() - times[parts == earlier].max() >= max(gap, 1)
    firsts = [times[whole == later].min() for later in (1, 2)]
    taken = parts == NO_PART
    assert (taken == np.any([(times < first) & (times > first - gap) for first in firsts], axis=0)).all()


def test_a_gap_in_times_is_in_seconds() -> None:
    start = datetime(2026, 1, 1)
    frame = pl.DataFrame({"t": [start + timedelta(days=day) for day in range(100)]})
    parts = assign(frame, how="time", by="t", gap_s=7 * 86_400)
    assert np.bincount(parts, minlength=256)[[0, 1, 2, NO_PART]].tolist() == [54, 14, 20, 12]
    assert np.flatnonzero(parts == NO_PART).tolist() == [*range(54, 60), *range(74, 80)]


def test_places_of_pieces_are_those_of_the_whole() -> None:
    frame = pl.DataFrame({"w": [f"v{at % 17}" for at in range(100)], "x": range(100), "l": [[at] for at in range(100)]})
    whole = places(frame, seed=1)
    assert (np.concatenate([places(frame[:33], seed=1), places(frame[33:], seed=1)]) == whole).all()


def test_a_part_of_zero_stays_empty() -> None:
    frame = pl.DataFrame({"a": range(500)})
    assert set(assign(frame, fractions=(0.8, 0.0, 0.2)).tolist()) == {0, 2}
    assert set(assign(frame, fractions=(0.8, 0.2, 0.0)).tolist()) == {0, 1}
    assert set(assign(frame, fractions=(1.0, 0.0, 0.0)).tolist()) == {0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"how": "tme", "by": "a"}, "Did you mean 'time'"),
        ({"how": "time"}, "needs a column"),
        ({"how": "group", "by": "b"}, "Column 'b' does not exist"),
        ({"how": "time", "by": "w"}, "is text, not a time"),
        ({"how": "time", "by": "n"}, "1 rows have no time in 'n'"),
        ({"fractions": (0.0, 0.5, 0.5)}, "train needs some"),
    ],
)
def test_what_cannot_be_split_is_answered(arguments: dict[str, object], message: str) -> None:
    frame = pl.DataFrame({"a": [1, 2], "w": ["x", "y"], "n": [1, None]})
    with pytest.raises(BadInput, match=message):
        assign(frame, **arguments)  # type: ignore[arg-type]

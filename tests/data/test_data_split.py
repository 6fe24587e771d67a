from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.core.errors import BadInput
from everloop.data.split import assign, row_hash

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

"""What an evaluation must not know is found: each kind of leak planted, and none seen where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.core.models import Task
from everloop.core.verdict import Finding, Verdict
from everloop.data.kinds import columns_of
from everloop.data.leakage import check
from everloop.data.prepare import Split
from everloop.data.split import assign

ROWS = 1200


def table(rows: int = ROWS, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, rows)
    return pl.DataFrame(
        {
            "x": rng.normal(size=rows) + kind,
            "n": rng.integers(0, 1000, rows),
            "colour": np.array(["red", "green", "blue"])[rng.integers(0, 3, rows)],
            "flag": rng.random(rows) < 0.5,
            "kind": np.array(["cat", "dog", "emu"])[kind],
            "weight": rng.normal(size=rows) + kind,
        }
    )


def judged(
    frame: pl.DataFrame,
    target: str = "kind",
    *,
    task: Task = "classification",
    split: Split | None = None,
    parts: Any = None,
    drop: Sequence[str] = (),
    allow: Sequence[str] = (),
) -> Verdict:
    split = split or Split()
    if parts is None:
        parts = assign(frame, how=split.how, by=split.by)
    features = [column for column in columns_of(frame) if column.name not in (target, *drop) and column.kind not in ("time",)]
    return check(frame, parts, target=target, features=features, split=split, task=task, about="prepared-1", allow=allow)


def failed(verdict: Verdict) -> dict[str, Finding]:
    return {finding.check: finding for finding in verdict.findings if not finding.passed}


@pytest.mark.parametrize(
    ("target", "task"), [("kind", "classification"), ("weight", "regression"), ("n", "regression"), ("flag", "classification")]
)
def test_nothing_is_seen_where_nothing_leaks(target: str, task: Task) -> None:
    verdict = judged(table(), target, task=task)
    assert failed(verdict) == {}
    assert {finding.check for finding in verdict.findings} == {"duplicates", "contradictions", "target copies", "telling features"}


@given(st.integers(0, 1000), st.sampled_from(["kind", "weight"]))
@settings(max_examples=15, deadline=None)
def test_noise_never_tells(seed: int, target: str) -> None:
    rng = np.random.default_rng(seed)
    frame = table(300, seed).with_columns(pl.Series(f"noise{at}", rng.normal(size=300)) for at in range(8))
    assert judged(frame, target, task="classification" if target == "kind" else "regression").passed


@pytest.mark.parametrize(
    ("copy", "target", "task"),
    [
        (pl.col("kind").str.to_uppercase(), "kind", "classification"),
        (pl.col("kind").rank("dense").cast(pl.Int64), "kind", "classification"),
        (pl.col("flag").cast(pl.Int64), "flag", "classification"),
        (pl.col("weight") * -3 + 1, "weight", "regression"),
        (pl.col("weight").exp(), "weight", "regression"),
        (pl.col("n"), "n", "regression"),
    ],
)
def test_the_target_under_another_name_stops(copy: pl.Expr, target: str, task: Task) -> None:
    frame = table().with_columns(copied=copy)
    verdict = judged(frame, target, task=task)
    assert not verdict.passed
    assert [(finding.check, finding.subject) for finding in verdict.failures] == [("target copies", "copied")]
    assert f"'copied' is the target '{target}' under another name" in verdict.sentence()
    assert judged(frame, target, task=task, allow=["copied"]).passed


@pytest.mark.parametrize(
    ("teller", "target", "task"),
    [
        (pl.when(pl.int_range(pl.len()) % 500 == 0).then(pl.lit("cat")).otherwise(pl.col("kind")), "kind", "classification"),
        (pl.concat_str("kind", "colour"), "kind", "classification"),
        (pl.col("weight") + pl.col("x") / 1000, "weight", "regression"),
        (pl.col("weight").rank() % 7 + pl.col("weight") * 1000, "weight", "regression"),
    ],
)
def test_a_feature_that_nearly_tells_the_target_warns(teller: pl.Expr, target: str, task: Task) -> None:
    verdict = judged(table().with_columns(teller=teller), target, task=task)
    assert verdict.passed
    assert failed(verdict)["telling features"].evidence["features"] == {"teller": pytest.approx(1, abs=0.005)}


def test_a_strong_feature_is_no_leak() -> None:
    frame = table().with_columns(strong=pl.when(pl.int_range(pl.len()) % 30 == 0).then(pl.lit("cat")).otherwise(pl.col("kind")))
    assert failed(judged(frame)) == {}


def test_numbers_of_rows_tell_nothing() -> None:
    """An id goes with the target one to one wherever the target is different in each row; so does any other such column."""
    frame = table().with_columns(id=pl.Series(np.random.default_rng(1).permutation(ROWS)), name=pl.int_range(pl.len()).cast(pl.String))
    assert failed(judged(frame)) == {}
    assert failed(judged(frame, "weight", task="regression")) == {}


def test_copies_in_another_part_are_counted_and_ids_hide_none() -> None:
    frame = table().with_columns(id=pl.int_range(pl.len()))
    doubled = pl.concat([frame, frame.head(300).with_columns(id=pl.col("id") + 10_000)])
    parts = np.array([0] * ROWS + [2] * 300, dtype=np.uint8)
    parts[900:ROWS] = 1
    found = failed(judged(doubled, parts=parts, drop=["id"]))
    assert found["duplicates"].observed == 1.0
    assert found["duplicates"].severity == "warn"
    assert found["duplicates"].evidence["rows"] == list(range(ROWS, ROWS + 5))
    # With the id among the features they are different rows.
    assert "duplicates" not in failed(judged(doubled, parts=parts))


def test_equal_features_with_another_target_are_told_apart() -> None:
    frame = table()
    other = frame.head(100).with_columns(kind=pl.lit("cow"))
    verdict = judged(pl.concat([frame, other]), parts=np.array([0] * ROWS + [2] * 100, dtype=np.uint8))
    found = failed(verdict)
    assert verdict.passed
    assert "duplicates" not in found
    assert (found["contradictions"].observed, found["contradictions"].severity) == (100, "info")


def test_the_future_in_training_stops() -> None:
    frame = table().with_columns(when=pl.Series([datetime(2026, 1, 1) + timedelta(hours=at) for at in range(ROWS)]))
    split = Split(how="time", by="when")
    parts = assign(frame, how="time", by="when")
    assert "future rows" not in failed(judged(frame, split=split, parts=parts))
    parts[-1] = 0
    verdict = judged(frame, split=split, parts=parts)
    assert [finding.observed for finding in verdict.failures] == [1, 1]
    assert {finding.check for finding in verdict.failures} == {"future rows"}


def test_a_split_that_ignores_the_time_is_explained() -> None:
    frame = table().with_columns(when=pl.Series([datetime(2026, 1, 1) + timedelta(hours=at) for at in range(ROWS)]))
    verdict = judged(frame)
    assert verdict.passed
    told = failed(verdict)["future rows"]
    assert told.severity == "info"
    assert "Split(how='time', by='when')" in told.message


def test_a_group_in_two_parts_stops() -> None:
    frame = table().with_columns(who=pl.int_range(pl.len()) % 40)
    split = Split(how="group", by="who")
    parts = assign(frame, how="group", by="who")
    assert judged(frame, split=split, parts=parts).passed
    parts[np.flatnonzero(parts == 2)[0]] = 0
    verdict = judged(frame, split=split, parts=parts)
    assert [(finding.check, finding.observed) for finding in verdict.failures] == [("group overlap", 1)]


def test_rows_in_no_part_are_asked_about_nowhere() -> None:
    frame = pl.concat([table(), table().head(200)])
    parts = np.array([0] * 800 + [2] * 400 + [255] * 200, dtype=np.uint8)
    assert failed(judged(frame, parts=parts)) == {}


def test_odd_columns_are_no_stumbling_block() -> None:
    frame = table(200).with_columns(
        empty=pl.lit(None, pl.Float64),
        raw=pl.lit(b"x"),
        many=pl.Series([[1, 2]] * 200),
        nan=pl.lit(float("nan")),
        gaps=pl.when(pl.col("flag")).then("x"),
    )
    assert judged(frame).passed
    assert judged(frame, "weight", task="regression").passed
    assert judged(frame.head(20)).passed


def test_real_tables(real_data: Path) -> None:
    bikes = pl.read_csv(real_data / "bike_sharing" / "hour.csv")
    features = [column for column in columns_of(bikes) if column.name not in ("cnt", "instant", "dteday")]
    verdict = check(bikes, assign(bikes), target="cnt", features=features, split=Split(), task="regression", about="p")
    assert verdict.passed
    assert failed(verdict)["telling features"].evidence["features"] if "telling features" in failed(verdict) else True
    adults = pl.read_parquet(real_data / "adult" / "adults.parquet")
    verdict = check(
        adults,
        assign(adults),
        target="class",
        features=[c for c in columns_of(adults) if c.name != "class"],
        split=Split(),
        task="classification",
        about="p",
    )
    assert verdict.passed
    # Split by content, equal rows are in one part; 1 in 200 people has a twin that earns otherwise.
    assert "duplicates" not in failed(verdict)
    assert "telling features" not in failed(verdict)
    assert 0 < failed(verdict)["contradictions"].observed < 100  # type: ignore[operator]

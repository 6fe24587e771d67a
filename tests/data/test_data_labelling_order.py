"""Which rows come first: permutations, the same each time, uncertain and unlike ones in front."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.core.errors import BadInput
from everloop.data.labelling.features import TEXT_BUCKETS, points_of, standardise
from everloop.data.labelling.order import arrange, entropy, farthest_first, margin

HOWS = ("plain", "random", "uncertainty", "diversity", "mixed")


def cloud(rows: int, seed: int = 0) -> tuple[Any, Any]:
    chance = np.random.default_rng(seed)
    return chance.random(rows).round(1), chance.normal(size=(rows, 3)).round(1)


@settings(max_examples=60)
@given(st.integers(0, 60), st.sampled_from(HOWS), st.integers(0, 5), st.integers(0, 20))
def test_every_order_has_each_row_once_and_is_the_same_again(rows: int, how: Any, seed: int, spread: int) -> None:
    uncertainty, features = cloud(rows)
    first = arrange(rows, how=how, uncertainty=uncertainty, features=features, seed=seed, spread=spread)
    assert sorted(first.tolist()) == list(range(rows))
    assert first.tolist() == arrange(rows, how=how, uncertainty=uncertainty, features=features, seed=seed, spread=spread).tolist()
    if how == "plain":
        assert first.tolist() == list(range(rows))
    if how == "uncertainty":
        assert (np.diff(uncertainty[first]) <= 0).all()


def test_another_seed_is_another_order() -> None:
    uncertainty, features = cloud(200)
    for how in ("random", "uncertainty", "diversity", "mixed"):
        orders = {tuple(arrange(200, how=how, uncertainty=uncertainty, features=features, seed=seed)) for seed in range(3)}
        assert len(orders) == 3, how


def test_farthest_first_by_hand() -> None:
    line = np.array([[0.0], [1.0], [2.0], [9.0], [10.0], [5.0]])
    assert farthest_first(line, 6).tolist()[:3] == [0, 4, 5]
    assert sorted(farthest_first(line, 6).tolist()) == list(range(6))
    assert farthest_first(line, 0).tolist()[:1] == [0]
    assert farthest_first(line[:0], 3).tolist() == []


@settings(max_examples=40)
@given(st.integers(2, 25), st.integers(1, 8), st.integers(0, 10))
def test_farthest_first_takes_the_farthest_each_time_and_equal_points_last(rows: int, count: int, seed: int) -> None:
    points = np.random.default_rng(seed).integers(0, 3, size=(rows, 2)).astype(float)
    taken = farthest_first(points, count).tolist()
    assert len(set(taken)) == len(taken) == min(count, rows)
    for at in range(1, len(taken)):
        near = [min(((points[row] - points[before]) ** 2).sum() for before in taken[:at]) for row in range(rows)]
        assert near[taken[at]] == max(near)
    distinct = len({tuple(point) for point in points.tolist()})
    assert len({tuple(points[row]) for row in taken}) == min(len(taken), distinct)


def test_three_clusters_are_covered_by_three_rows() -> None:
    chance = np.random.default_rng(3)
    centres = np.array([[0, 0], [40, 0], [0, 40]])
    owner = np.repeat([0, 1, 2], 50)
    features = standardise(centres[owner] + chance.normal(size=(150, 2)))
    for seed in range(5):
        first = arrange(150, how="diversity", features=features, seed=seed, spread=3)[:3]
        assert sorted(owner[first].tolist()) == [0, 1, 2], seed


def test_mixed_spreads_among_the_uncertain() -> None:
    owner = np.repeat([0, 1], 500)
    features = standardise(np.column_stack([owner * 100.0 + np.random.default_rng(0).normal(size=1000), np.zeros(1000)]))
    uncertainty = np.where(np.arange(1000) % 100 < 10, 0.9, 0.1)
    first = arrange(1000, how="mixed", uncertainty=uncertainty, features=features, seed=1, spread=10)
    assert (uncertainty[first[:10]] == 0.9).all()
    assert len(set(owner[first[:2]].tolist())) == 2


def test_measures_of_uncertainty_by_hand() -> None:
    probabilities = np.array([[1.0, 0, 0], [0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3], [0.7, 0.2, 0.1]])
    assert margin(probabilities).tolist() == pytest.approx([0, 1, 1, 0.5])
    assert entropy(probabilities).tolist() == pytest.approx([0, np.log(2) / np.log(3), 1, 0.7298], abs=1e-4)
    assert margin(np.ones((2, 1))).tolist() == entropy(np.ones((2, 1))).tolist() == [0, 0]


def test_what_an_order_needs_and_does_not_get_is_said() -> None:
    with pytest.raises(BadInput, match="needs a champion"):
        arrange(3, how="mixed", features=np.zeros((3, 1)))
    with pytest.raises(BadInput, match="needs columns"):
        arrange(3, how="diversity", features=np.zeros((3, 0)))


def test_points_of_a_table_of_every_kind() -> None:
    frame = pl.DataFrame(
        {
            "n": [1, None, 3], "flag": [True, False, None], "at": [datetime(2026, 1, day) for day in (1, 2, 3)],
            "text": ["free prize", None, "Free  PRIZE!"], "raw": [b"\x00", None, b"\x01"], "list": [[1], [], None],
        }
    )  # fmt: skip
    points = points_of(frame)
    assert points.shape == (3, 3 + TEXT_BUCKETS)
    assert np.allclose(points[0, 3:], points[2, 3:]), "case, blanks and punctuation are no difference"
    assert np.linalg.norm(points[0, 3:]) == pytest.approx(1)
    assert not points[1, 3:].any()
    scaled = standardise(points)
    assert np.isfinite(scaled).all()
    assert scaled[1, 0] == 0, "a missing value lies in the middle"
    assert points_of(frame.select("raw")).shape == (3, 0)
    assert points_of(frame.clear()).shape == (0, 3 + TEXT_BUCKETS)

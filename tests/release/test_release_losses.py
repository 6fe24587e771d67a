"""The sequential comparison: its error rate under the null, its power, its bound."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.core.live import Deployment
from everloop.release.losses import Losses, is_worse, losses, spent
from everloop.release.rollout import Rollout, Traffic, compares, next_step

CANARY = Deployment(loop="l", champion=1, challenger=2, stage="canary", share=0.5)


def test_all_looks_together_spend_no_more_than_alpha() -> None:
    assert sum(spent(0.05, look) for look in range(1, 100_000)) < 0.05
    assert [spent(0.05, look) for look in (1, 2, 3)] == sorted((spent(0.05, look) for look in (1, 2, 3)), reverse=True)


def rolled_back(config: Rollout, new: np.ndarray, old: np.ndarray, step: int, *, binary: bool) -> bool:
    """Play a canary: labels come `step` at a time on each side, and the rule looks each time."""
    sums = [(np.cumsum(side), np.cumsum(side**2)) for side in (new, old)]
    looks = looked_at = 0
    for n in range(step, len(new) + 1, step):
        challenger, champion = (
            Losses(n=n, total=float(total[n - 1]), squares=float(squares[n - 1]), binary=binary) for total, squares in sums
        )
        traffic = Traffic(rows=n, challenger=challenger, champion=champion, looks=looks, looked_at=looked_at)
        if not compares(config, traffic):
            continue
        move = next_step(config, CANARY, traffic, about="v", now=0.0)
        if move is not None:
            return move.action == "rollback"
        looks, looked_at = looks + 1, 2 * n
    return False


@pytest.mark.parametrize(("rate", "step"), [(0.02, 1), (0.1, 3), (0.5, 10)])
def test_an_equal_challenger_is_rarely_rolled_back_however_often_one_looks(rate: float, step: int) -> None:
    rng = np.random.default_rng(int(1000 * rate))
    config = Rollout(canary_rows=10_000, min_effect=0.0, alpha=0.05)
    trials = 600
    wrong = sum(
        rolled_back(config, (rng.random(600) < rate).astype(float), (rng.random(600) < rate).astype(float), step, binary=True)
        for _ in range(trials)
    )
    assert wrong / trials <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)


def test_an_equal_regression_is_rarely_rolled_back() -> None:
    rng = np.random.default_rng(5)
    config = Rollout(canary_rows=10_000, min_effect=0.0, alpha=0.05)
    trials = 400
    wrong = sum(rolled_back(config, abs(rng.normal(size=500)), abs(rng.normal(size=500)), 5, binary=False) for _ in range(trials))
    assert wrong / trials <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)


def test_a_clearly_worse_challenger_is_rolled_back_within_a_hundred_labels() -> None:
    rng = np.random.default_rng(0)
    config = Rollout(canary_rows=10_000)
    caught = sum(
        rolled_back(config, (rng.random(100) < 0.4).astype(float), (rng.random(100) < 0.05).astype(float), 5, binary=True)
        for _ in range(200)
    )
    assert caught >= 195


@given(st.lists(st.floats(0, 100), min_size=2, max_size=50), st.integers(1, 50), st.booleans())
def test_no_version_is_worse_than_itself(values: list[float], look: int, binary: bool) -> None:
    own = losses([float(value > 50) for value in values] if binary else values, binary=binary)
    assert not is_worse(own, own, alpha=0.5, look=look, margin=0.0)

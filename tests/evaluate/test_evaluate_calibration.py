"""Confidence -> accuracy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from everloop.core.models import Calibration
from everloop.evaluate.calibration import MIN_ROWS, calibrate, pool
from everloop.evaluate.metrics.outcomes import Floats, Outcomes


def rows(n: int, seed: int, *, overconfident: float = 0.0) -> Outcomes:
    """A three-class model whose top confidence is `overconfident` above its chance of being right."""
    generator = np.random.default_rng(seed)
    confidence = generator.uniform(0.5, 1.0, n)
    right = generator.random(n) < confidence - overconfident
    probabilities = np.stack([confidence, (1 - confidence) / 2, (1 - confidence) / 2], axis=1)
    return Outcomes(np.where(right, 0.0, 1.0), np.zeros(n), probabilities, ("a", "b", "c"))


def read(calibration: Calibration, at: Floats) -> Floats:
    return np.interp(at, calibration.confidence, calibration.accuracy)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.7, 0.9, 1.0]), st.booleans()), min_size=1, max_size=60))
def test_pooling_is_isotonic_regression(pairs: list[tuple[float, bool]]) -> None:
    x, y = np.array([a for a, _ in pairs]), np.array([b for _, b in pairs], dtype=float)
    at, heights = pool(x, y)
    assert (np.diff(at) > 0).all()
    assert (np.diff(heights) >= 0).all()
    fitted = IsotonicRegression().fit(x, y).predict(x)
    # Undo the pull of one row towards the mean: the blocks are those of scikit-learn.
    counts = np.array([np.sum(fitted == level) for level in np.unique(fitted)])
    if len(counts) == len(heights):
        expected = np.maximum.accumulate((np.unique(fitted) * counts + y.mean()) / (counts + 1))
        np.testing.assert_allclose(heights, expected)
    else:
        # Neighbouring blocks of equal height are one here.
        assert len(heights) < len(counts) or len(np.unique(np.round(fitted, 12))) == len(heights)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([MIN_ROWS, 60, 300]))
def test_the_map_is_monotone_and_within_zero_and_one(seed: int, n: int) -> None:
    found = calibrate(rows(n, seed), seed=seed)
    assert found is not None
    assert (np.diff(found.confidence) > 0).all()
    assert (np.diff(found.accuracy) >= -1e-12).all()
    assert min(found.accuracy) >= 0
    assert max(found.accuracy) <= 1
    assert list(found.reference) == sorted(found.reference)
    assert len(found.reference) == n


@pytest.mark.parametrize("overconfident", [0.0, 0.15])
def test_three_hundred_rows_estimate_a_later_accuracy(overconfident: float) -> None:
    """The mean calibrated confidence of new rows is their accuracy, also of rows of which the model is less sure than usual."""
    errors: list[float] = []
    harder: list[float] = []
    for seed in range(40):
        found = calibrate(rows(300, seed, overconfident=overconfident), seed=0)
        assert found is not None
        new = rows(4000, 1000 + seed, overconfident=overconfident)
        confidence = new.probabilities.max(axis=1)  # pyright: ignore[reportOptionalMemberAccess]
        right = new.truth == new.predicted
        errors.append(float(read(found, confidence).mean() - right.mean()))
        unsure = confidence < 0.65
        harder.append(float(read(found, confidence[unsure]).mean() - right[unsure].mean()))
    assert abs(np.mean(errors)) < 0.015
    assert np.std(errors) < 0.04
    assert abs(np.mean(harder)) < 0.04


def test_the_evaluation_rows_estimate_themselves() -> None:
    for seed in range(10):
        part = rows(300, seed)
        found = calibrate(part)
        assert found is not None
        assert np.mean(found.reference) == pytest.approx(float(np.mean(part.truth == part.predicted)), abs=0.01)


def test_without_probabilities_or_rows_there_is_none() -> None:
    part = rows(100, 0)
    assert calibrate(part._replace(probabilities=None)) is None
    assert calibrate(part._replace(probabilities=np.full((100, 3), np.nan))) is None
    assert calibrate(rows(MIN_ROWS - 1, 0)) is None


def test_a_constant_model_is_calibrated_to_its_accuracy() -> None:
    truth = np.array([0.0] * 70 + [1.0] * 30)
    found = calibrate(Outcomes(truth, np.zeros(100), np.tile([0.99, 0.01], (100, 1)), ("a", "b")))
    assert found is not None
    assert read(found, np.array([0.1, 0.99, 1.0])) == pytest.approx([0.7] * 3, abs=0.01)

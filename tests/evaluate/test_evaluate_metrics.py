"""Metrics against scikit-learn, by hand, and their intervals."""

from __future__ import annotations

import math
import time
import warnings
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from everloop.core import plugins
from everloop.core.errors import BadInput, NotFound
from everloop.core.ports import Answers
from everloop.evaluate import metrics
from everloop.evaluate.metrics.measure import MAX_ROWS
from everloop.evaluate.metrics.outcomes import Outcomes, outcomes

NAMES = plugins.names("metrics")


def measure(name: str) -> Any:
    return metrics.get([name])[0]


@st.composite
def regressions(draw: st.DrawFn) -> tuple[Any, Any]:
    n = draw(st.integers(2, 30))
    values = st.floats(-1e4, 1e4, width=32)
    return np.array(draw(st.lists(values, min_size=n, max_size=n))), np.array(draw(st.lists(values, min_size=n, max_size=n)))


@st.composite
def classifications(draw: st.DrawFn, classes: int) -> tuple[Any, Any, Any]:
    n = draw(st.integers(1, 30))
    labels = st.integers(0, classes - 1)
    truth = np.array(draw(st.lists(labels, min_size=n, max_size=n)))
    weights = st.lists(st.integers(0, 10), min_size=classes, max_size=classes).filter(any)
    raw = np.array(draw(st.lists(weights, min_size=n, max_size=n)), dtype=float)
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    predicted = np.array(draw(st.lists(labels, min_size=n, max_size=n)))
    return truth, predicted, probabilities


@settings(max_examples=60, deadline=None)
@given(regressions())
def test_regression_as_scikit_learn(case: tuple[Any, Any]) -> None:
    truth, predicted = case
    answers = Answers(predicted, None)
    assert measure("mae").compute(truth, answers) == pytest.approx(sk.mean_absolute_error(truth, predicted))
    assert measure("mse").compute(truth, answers) == pytest.approx(sk.mean_squared_error(truth, predicted))
    assert measure("rmse").compute(truth, answers) == pytest.approx(sk.root_mean_squared_error(truth, predicted))
    if np.ptp(truth) > 1e-3:
        assert measure("r2").compute(truth, answers) == pytest.approx(sk.r2_score(truth, predicted), rel=1e-6)
    elif np.ptp(truth) == 0:
        assert measure("r2").compute(truth, answers) is None


@settings(max_examples=60, deadline=None)
@given(classifications(2))
def test_two_classes_as_scikit_learn(case: tuple[Any, Any, Any]) -> None:
    truth, predicted, probabilities = case
    answers = Answers(predicted, probabilities)

    def ours(name: str) -> float | None:
        return measure(name).compute(truth, answers, ("0", "1"))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nan: Any = math.nan
        expected = {
            "accuracy": sk.accuracy_score(truth, predicted),
            "balanced_accuracy": sk.balanced_accuracy_score(truth, predicted),
            "f1": sk.f1_score(truth, predicted, zero_division=nan),
            "precision": sk.precision_score(truth, predicted, zero_division=nan),
            "recall": sk.recall_score(truth, predicted, zero_division=nan),
            "specificity": sk.recall_score(truth, predicted, pos_label=0, zero_division=nan),
            "npv": sk.precision_score(truth, predicted, pos_label=0, zero_division=nan),
            "fpr": 1 - sk.recall_score(truth, predicted, pos_label=0, zero_division=nan),
            "brier": sk.brier_score_loss(truth, probabilities[:, 1]),
            "log_loss": sk.log_loss(truth, probabilities, labels=[0, 1]),
            "roc_auc": sk.roc_auc_score(truth, probabilities[:, 1]) if len(set(truth)) == 2 else nan,
        }
    for name, value in expected.items():
        assert ours(name) == (None if math.isnan(value) else pytest.approx(value, abs=1e-9)), name
    assert sorted([*expected, "mae", "mse", "rmse", "r2"]) == NAMES


@settings(max_examples=60, deadline=None)
@given(classifications(3))
def test_three_classes_as_scikit_learn(case: tuple[Any, Any, Any]) -> None:
    truth, predicted, probabilities = case
    answers = Answers(predicted, probabilities)
    classes = ("0", "1", "2")
    occurring = sorted({*truth, *predicted})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nan: Any = math.nan
        assert measure("accuracy").compute(truth, answers, classes) == pytest.approx(sk.accuracy_score(truth, predicted))
        assert measure("balanced_accuracy").compute(truth, answers, classes) == pytest.approx(sk.balanced_accuracy_score(truth, predicted))
        assert measure("f1").compute(truth, answers, classes) == pytest.approx(
            sk.f1_score(truth, predicted, average="macro", labels=occurring)
        )
        for name, score in (("precision", sk.precision_score), ("recall", sk.recall_score)):
            each = score(truth, predicted, average=None, labels=occurring, zero_division=nan)
            expected = None if np.isnan(each).any() else pytest.approx(each.mean())
            assert measure(name).compute(truth, answers, classes) == expected
        assert measure("log_loss").compute(truth, answers, classes) == pytest.approx(
            sk.log_loss(truth, probabilities, labels=[0, 1, 2]), abs=1e-9
        )
        happened = np.eye(3)[truth]
        assert measure("brier").compute(truth, answers, classes) == pytest.approx(((probabilities - happened) ** 2).sum(axis=1).mean() / 2)
        if len(set(truth)) == 3:
            areas = [sk.roc_auc_score(truth == k, probabilities[:, k]) for k in range(3)]
            assert measure("roc_auc").compute(truth, answers, classes) == pytest.approx(np.mean(areas))


def test_by_hand() -> None:
    """3 true positives, 1 false positive, 2 false negatives, 4 true negatives; `yes` is the second class."""
    truth = ["yes"] * 3 + ["no"] + ["yes"] * 2 + ["no"] * 4
    answers = Answers(np.array(["yes"] * 4 + ["no"] * 6), None)
    expected = {
        "accuracy": 7 / 10, "precision": 3 / 4, "recall": 3 / 5, "specificity": 4 / 5, "npv": 4 / 6, "fpr": 1 / 5,
        "f1": 6 / 9, "balanced_accuracy": (3 / 5 + 4 / 5) / 2,
    }  # fmt: skip
    for name, value in expected.items():
        assert measure(name).compute(truth, answers, ("no", "yes")) == pytest.approx(value), name
    # The order of the classes decides which one is the positive.
    assert measure("precision").compute(truth, answers, ("yes", "no")) == pytest.approx(4 / 6)


@pytest.mark.parametrize(
    ("truth", "outputs", "classes"),
    [
        ([True, False, True], np.array([True, True, True]), ("false", "true")),
        ([10, 2, 10], np.array([10, 10, 10]), ("2", "10")),
        (pl.Series(["b", "a", "b"]), np.array(["b", "b", "b"]), ("a", "b")),
    ],
)
def test_labels_of_every_type(truth: Any, outputs: Any, classes: tuple[str, ...]) -> None:
    for given_classes in (classes, ()):
        rows = outcomes(truth, Answers(outputs, None), task="classification", classes=given_classes)
        assert rows.classes == classes
        assert rows.truth.tolist() == [1, 0, 1]
        assert measure("precision").of(rows) == pytest.approx(2 / 3)


def test_a_label_that_the_model_does_not_know_is_wrong_and_improbable() -> None:
    answers = Answers(np.array(["a", "b", "a"]), np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]]))
    rows = outcomes(["a", "b", "new"], answers, task="classification", classes=("a", "b"))
    assert rows.classes == ("a", "b", "new")
    assert measure("accuracy").of(rows) == pytest.approx(2 / 3)
    assert measure("log_loss").of(rows) == pytest.approx(-(math.log(0.9) + math.log(0.8) + math.log(np.finfo(float).eps)) / 3)
    assert measure("roc_auc").of(rows) is not None


@pytest.mark.parametrize("name", NAMES)
def test_nothing_crashes_on_poor_answers(name: str) -> None:
    which = measure(name)
    if which.task == "regression":
        cases = [
            Outcomes(np.arange(5.0), np.full(5, np.nan), None, ()),
            Outcomes(np.arange(5.0), np.full(5, np.inf), None, ()),
            Outcomes(np.ones(5), np.ones(5), None, ()),
            Outcomes(np.ones(1), np.ones(1), None, ()),
            Outcomes(np.empty(0), np.empty(0), None, ()),
        ]
    else:
        one = np.tile([1.0, 0.0], (5, 1))
        cases = [
            Outcomes(np.array([0.0, 1, 0, 1, 1]), np.zeros(5), one, ("a", "b")),
            Outcomes(np.array([0.0, 1, 0, 1, 1]), np.zeros(5), one * np.nan, ("a", "b")),
            Outcomes(np.zeros(5), np.zeros(5), one, ("a", "b")),
            Outcomes(np.zeros(5), np.zeros(5), None, ("a", "b")),
            Outcomes(np.zeros(0), np.zeros(0), one[:0], ("a", "b")),
        ]
    for rows in cases:
        found = which.estimate(rows)
        assert found.n == rows.n
        if found.value is None:
            assert found.low is None
        elif found.low is not None:
            assert found.low <= found.value <= found.high
        if not rows.n:
            assert found.value is None


def accuracy_rows(n: int, p: float, seed: int) -> Outcomes:
    right = np.random.default_rng(seed).random(n) < p
    return Outcomes(np.zeros(n), (~right).astype(float), None, ("a", "b"))


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    covered = {"accuracy": 0, "mae": 0}
    for seed in range(200):
        found = measure("accuracy").estimate(accuracy_rows(200, 0.8, seed), seed=seed)
        covered["accuracy"] += found.low <= 0.8 <= found.high
        errors = np.random.default_rng(seed).exponential(size=200)
        found = measure("mae").estimate(Outcomes(errors, np.zeros(200), None, ()), seed=seed)
        covered["mae"] += found.low <= 1.0 <= found.high
    # 200 draws of 95 %: 4 standard errors are 6 points.
    assert all(178 <= count <= 200 for count in covered.values()), covered


@pytest.mark.parametrize("name", ["accuracy", "f1", "recall", "roc_auc", "log_loss", "balanced_accuracy"])
def test_grouped_resampling_is_resampling_of_rows(name: str) -> None:
    """The interval agrees with that of a plain bootstrap, row by row, with scikit-learn's own idea of the metric's value."""
    generator = np.random.default_rng(1)
    truth = (generator.random(300) < 0.3).astype(float)
    p = np.clip(truth * 0.4 + generator.random(300) * 0.6, 0.01, 0.99)
    rows = Outcomes(truth, (p > 0.5).astype(float), np.stack([1 - p, p], axis=1), ("a", "b"))
    which = measure(name)
    found = which.estimate(rows)
    plain = [which.of(rows.take(generator.integers(0, 300, 300))) for _ in range(400)]
    low, high = np.quantile(plain, [0.025, 0.975])
    width = high - low
    assert found.low == pytest.approx(low, abs=0.2 * width)
    assert found.high == pytest.approx(high, abs=0.2 * width)


def test_intervals_are_seeded_and_shrink_with_n() -> None:
    rows = accuracy_rows(300, 0.8, 0)
    which = measure("accuracy")
    assert which.estimate(rows, seed=1) == which.estimate(rows, seed=1)
    errors = np.abs(np.random.default_rng(0).normal(size=MAX_ROWS * 4))
    widths = []
    for n in (100, 10_000, MAX_ROWS * 4):
        found = measure("mae").estimate(Outcomes(errors[:n], np.zeros(n), None, ()))
        assert found.low < found.value < found.high
        widths.append((found.high - found.low) * math.sqrt(n))
    # Also past the size from which a sample is resampled.
    assert max(widths) < 1.4 * min(widths)


def test_intervals_are_cheap() -> None:
    rows = accuracy_rows(500, 0.8, 0)
    values = Outcomes(np.arange(500.0), np.arange(500.0) + 1, None, ())
    for name, case in (("accuracy", rows), ("mae", values)):
        best = math.inf
        for _ in range(5):
            start = time.perf_counter()
            measure(name).estimate(case)
            best = min(best, time.perf_counter() - start)
        assert best < 0.1, name


def test_names_are_looked_up() -> None:
    assert [which.name for which in metrics.get(["mae", "rmse", "mae"])] == ["mae", "rmse"]
    with pytest.raises(NotFound, match=r"Metric 'mea' does not exist. Did you mean 'mae'\? Known: accuracy, balanced_accuracy"):
        metrics.get(["mea"])
    with pytest.raises(BadInput, match="No metric was given"):
        metrics.get([])
    assert metrics.task_of(["mae", "r2"]) == "regression"
    with pytest.raises(BadInput, match="'mae' is a regression metric and 'f1' a classification metric"):
        metrics.task_of(["mae", "f1"])
    for name in NAMES:
        which = measure(name)
        assert which.name == name
        assert which.direction == ("lower" if name in {"mae", "mse", "rmse", "brier", "log_loss", "fpr"} else "higher")


def test_lengths_must_agree() -> None:
    with pytest.raises(BadInput, match="3 true values against 2 answers"):
        measure("mae").compute([1, 2, 3], Answers(np.array([1.0, 2.0]), None))

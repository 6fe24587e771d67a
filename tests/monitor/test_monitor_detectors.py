"""Detectors: equal to their definitions, quiet on what did not change at the rate they state, awake on planted changes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monitor_world import confidence, evaluation_of, features

from everloop.core.models import Calibration, Evaluation, Metric
from everloop.core.profiles import Profile
from everloop.core.verdict import Finding
from everloop.data.profile import summarise
from everloop.monitor.detectors.counts import benjamini_hochberg, differ, merge
from everloop.monitor.detectors.detector import Reference, Seen
from everloop.monitor.detectors.estimated_performance import EstimatedPerformance, estimate
from everloop.monitor.detectors.feature_drift import FeatureDrift
from everloop.monitor.detectors.prediction_drift import PredictionDrift
from everloop.monitor.detectors.realised_performance import RealisedPerformance

NOTHING = Profile(about="", rows=0, columns=())


def reference(evaluation: Evaluation | None = None, profile: Profile | None = None, task: str = "classification", **more: Any) -> Reference:
    values: dict[str, Any] = {"outputs": {}, "output": None, **more}
    return Reference(task=task, evaluation=evaluation or evaluation_of("c", "p"), profile=profile, **values)


def seen(rows: int, **more: Any) -> Seen:
    values: dict[str, Any] = {"profile": NOTHING, "outputs": {}, "output": None, "confidence": np.array([]), **more}
    return Seen(rows=rows, **values)


def drift(train: pl.DataFrame | Profile, window: pl.DataFrame) -> Finding:
    profile = train if isinstance(train, Profile) else summarise(train, about="")
    return FeatureDrift().examine(seen(window.height, profile=summarise(window, about="", reference=profile)), reference(profile=profile))


def most(rate: float, trials: int) -> float:
    """What a rate of alarms may come to in so many trials, in all but one of a thousand tests."""
    return rate + 3.1 * math.sqrt(rate * (1 - rate) / trials)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=8, unique_by=lambda point: point[0]),
    st.lists(st.floats(0, 1), min_size=1, max_size=40),
)
def test_estimated_accuracy_is_cbpe_by_hand(points: list[tuple[float, float]], confidences: list[float]) -> None:
    xs, ys = zip(*sorted(points), strict=True)

    def chance(c: float) -> float:
        if c <= xs[0]:
            return ys[0]
        for x0, x1, y0, y1 in zip(xs, xs[1:], ys, ys[1:], strict=False):
            if c <= x1:
                return y0 + (y1 - y0) * ((c - x0) / (x1 - x0))
        return ys[-1]

    total = 0.0
    for c in confidences:
        total += chance(c)
    metric = estimate(np.array(confidences), Calibration(confidence=xs, accuracy=ys, reference=()))
    assert metric is not None
    assert metric.value == pytest.approx(total / len(confidences), abs=1e-9)
    assert metric.low is not None
    assert metric.high is not None
    assert metric.low - 1e-9 <= metric.value <= metric.high + 1e-9


@pytest.mark.parametrize("rows", [200, 500, 1000])
def test_estimated_performance_keeps_its_false_alarm_rate(rows: int) -> None:
    rng = np.random.default_rng(rows)
    detector = EstimatedPerformance(min_drop=0.0)
    alarms, paged, trials = 0, 0, 400
    for trial in range(trials):
        if trial % 5 == 0:  # the evaluation rows are a sample too
            usual = reference(evaluation_of("c", "p", seed=1000 * rows + trial, rows=600))
        window = seen(rows, confidence=confidence(rng, rows))
        alarms += not detector.examine(window, usual).passed
        paged += not EstimatedPerformance().examine(window, usual).passed
    assert alarms / trials <= most(detector.false_alarm_rate, trials)
    assert paged <= alarms


@pytest.mark.parametrize("rows", [200, 500, 1000])
def test_feature_drift_keeps_its_false_alarm_rate(rows: int) -> None:
    rng = np.random.default_rng(rows)
    alarms, trials = 0, 200
    for trial in range(trials):
        if trial % 10 == 0:
            train = summarise(wide(rng, 3000), about="")
        alarms += not drift(train, wide(rng, rows)).passed
    assert alarms / trials <= most(FeatureDrift().false_alarm_rate, trials)


def wide(rng: np.random.Generator, rows: int) -> pl.DataFrame:
    """Columns of many shapes: continuous, rounded, counts, with nulls, few and many categories."""
    return features(rng, rows).with_columns(
        pl.Series("count", rng.poisson(2.0, rows)),
        pl.Series("heavy", rng.lognormal(0, 2, rows)),
        pl.Series("holes", [None if u < 0.1 else u for u in rng.random(rows)]),
        pl.Series("many", [f"v{k}" for k in rng.zipf(1.5, rows) % 3000]),
        pl.Series("yes", rng.random(rows) < 0.05),
    )


@pytest.mark.parametrize("rows", [200, 500, 1000])
def test_digits_are_not_called_drifted_and_a_darker_scanner_is(rows: int) -> None:
    from sklearn.datasets import load_digits

    images: Any = load_digits().data  # type: ignore[union-attr]
    rng = np.random.default_rng(rows)
    alarms, trials = 0, 40
    for _ in range(trials):
        order = rng.permutation(len(images))
        train, window = table(images[order[:700]]), images[order[700 : 700 + rows]]
        profile = summarise(train, about="")
        alarms += not drift(profile, table(window)).passed
    assert alarms / trials <= most(FeatureDrift().false_alarm_rate, trials)
    assert not drift(profile, table(window * 0.7)).passed


def table(images: Any) -> pl.DataFrame:
    return pl.DataFrame({f"pixel_{i}": images[:, i] for i in range(images.shape[1])})


COLUMN = st.one_of(
    st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1, max_size=200),
    st.lists(st.one_of(st.none(), st.sampled_from("abcdefgh")), min_size=1, max_size=200),
    st.lists(st.one_of(st.none(), st.integers(-5, 5)), min_size=1, max_size=200),
)


@settings(max_examples=60, deadline=None)
@given(COLUMN)
def test_a_sample_never_drifts_from_itself(values: list[Any]) -> None:
    frame = pl.DataFrame({"x": values}, strict=False)
    finding = drift(frame, frame)
    assert finding.passed, finding


@given(st.lists(st.integers(0, 500), min_size=2, max_size=30), st.integers(1, 20))
def test_a_histogram_never_differs_from_a_multiple_of_itself(counts: list[int], times: int) -> None:
    difference = differ(counts, [times * count for count in counts])
    assert difference.p > 0.9
    assert difference.psi < 0.01


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=100))
def test_merging_bins_keeps_every_row(pairs: list[tuple[int, int]]) -> None:
    a, b = [one for one, _ in pairs], [other for _, other in pairs]
    merged_a, merged_b = merge(a, b)
    assert (sum(merged_a), sum(merged_b)) == (sum(a), sum(b))
    assert len(merged_a) == len(merged_b) <= 21


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.01, 0.5))
def test_benjamini_hochberg_is_its_definition(p_values: list[float], alpha: float) -> None:
    ranked = sorted(p_values)
    passing = [p for k, p in enumerate(ranked, 1) if p <= alpha * k / len(ranked)]
    limit = max(passing, default=-1.0)
    assert benjamini_hochberg(p_values, alpha) == [p <= limit for p in p_values]


@pytest.mark.parametrize(
    ("planted", "column"),
    [
        (lambda rng, w: w.with_columns(pl.col("x0") * 1.3), "x0"),
        (lambda rng, w: w.with_columns(pl.when(pl.Series(rng.random(w.height) < 0.03)).then(1.7).otherwise(pl.col("x0")).alias("x0")), "x0"),
        (lambda rng, w: w.with_columns(pl.when(pl.Series(rng.random(w.height) < 0.03)).then(None).otherwise(pl.col("x1")).alias("x1")), "x1"),
        (lambda rng, w: w.with_columns(pl.when(pl.Series(rng.random(w.height) < 0.1)).then(pl.lit("red")).otherwise(pl.col("colour")).alias("colour")), "colour"),
        (lambda rng, w: w.with_columns(pl.when(pl.Series(rng.random(w.height) < 0.02)).then(pl.lit("mauve")).otherwise(pl.col("colour")).alias("colour")), "colour"),
    ],
    ids=["scaled", "a value in 3 % of the rows", "3 % empty", "a category grows", "a new word"],
)  # fmt: skip
def test_planted_drift_is_found_and_named(planted: Any, column: str) -> None:
    rng = np.random.default_rng(4)
    finding = drift(features(rng, 5000), planted(rng, features(rng, 2000)))
    assert not finding.passed
    assert finding.severity == "info"
    assert list(finding.evidence["columns"]) == [column]  # type: ignore[call-overload]


def test_a_fall_in_estimated_accuracy_pages_and_a_small_one_does_not() -> None:
    rng = np.random.default_rng(0)
    good = EstimatedPerformance().examine(seen(500, confidence=confidence(rng, 500)), reference())
    small = EstimatedPerformance().examine(seen(5000, confidence=confidence(rng, 5000) - 0.02), reference())
    bad = EstimatedPerformance().examine(seen(500, confidence=confidence(rng, 500, blur=1.0)), reference())
    assert (good.passed, small.passed, bad.passed) == (True, True, False)
    assert bad.severity == "stop"
    assert bad.evidence["metric"] == "accuracy"


def test_what_cannot_be_estimated_is_said_and_never_pages() -> None:
    none = Evaluation(candidate="c", prepared="p", part="test", metrics=())
    for window, usual in [
        (seen(500), reference(task="regression")),
        (seen(500), reference()),
        (seen(500, confidence=np.ones(500)), reference(none)),
        (seen(3, confidence=np.full(3, 0.5)), reference()),
    ]:
        finding = EstimatedPerformance().examine(window, usual)
        assert (finding.passed, finding.severity, finding.observed) == (True, "info", None)


def test_realised_accuracy_is_judged_with_enough_labels_only() -> None:
    usual = reference()
    wrong = tuple((0, 1) for _ in range(29))
    assert RealisedPerformance().examine(seen(500, labelled=wrong), usual).severity == "info"
    finding = RealisedPerformance().examine(seen(500, labelled=(*wrong, (1, "0"))), usual)
    assert not finding.passed
    assert finding.observed == 0
    assert RealisedPerformance().examine(seen(500, labelled=tuple((1, "1") for _ in range(30))), usual).passed


def test_realised_error_of_a_regression_is_judged_by_its_mean() -> None:
    rng = np.random.default_rng(0)
    usual = reference(task="regression")  # a mean absolute error of 0.8
    same = tuple((0.0, float(x)) for x in rng.normal(0, 1, 300))
    worse = tuple((0.0, float(x)) for x in rng.normal(0, 1.6, 300))
    assert RealisedPerformance().examine(seen(300, labelled=same), usual).passed
    finding = RealisedPerformance().examine(seen(300, labelled=(*worse, (0.0, "no number"))), usual)
    assert not finding.passed
    assert finding.evidence["labelled"] == 300


def test_realised_performance_keeps_its_false_alarm_rate() -> None:
    rng = np.random.default_rng(3)
    detector = RealisedPerformance(by=0.0)
    alarms, trials = 0, 3000
    for _ in range(trials):
        known = rng.random(400) < 0.9
        usual = Evaluation(candidate="c", prepared="p", part="test", metrics=(Metric(name="accuracy", value=float(known.mean()), n=400),))
        labelled = tuple((0, int(x)) for x in rng.random(int(rng.integers(30, 200))) > 0.9)
        alarms += not detector.examine(seen(500, labelled=labelled), reference(usual)).passed
    assert alarms / trials <= most(detector.false_alarm_rate, trials)


def test_answers_that_shift_are_a_warning() -> None:
    usual = reference(outputs={"0": 500, "1": 500})
    assert PredictionDrift().examine(seen(500, outputs={"0": 240, "1": 260}), usual).passed
    finding = PredictionDrift().examine(seen(500, outputs={"0": 150, "1": 330, "2": 20}), usual)
    assert (finding.passed, finding.severity) == (False, "warn")
    assert PredictionDrift().examine(seen(500), reference()).severity == "info"

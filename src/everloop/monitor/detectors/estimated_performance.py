"""Accuracy of a classifier estimated without labels.

Confidence-based performance estimation (CBPE): after calibration, a row's top confidence is the chance that its answer is right, so a
window's mean is its expected accuracy. It sees changed inputs that make the model unsure; it cannot see that the same inputs now
mean something else (concept drift), for which labels are needed.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec
import numpy as np

from everloop.core.models import Calibration, Metric
from everloop.core.verdict import Finding
from everloop.monitor.detectors.detector import Floats, Reference, Seen, quiet


class EstimatedPerformance(msgspec.Struct, frozen=True, kw_only=True):
    """Fails when the estimate is below what resampled evaluation rows give at this window's own size in all but `false_alarm_rate` of
    the draws, and at least `min_drop` below the evaluation's mean."""

    false_alarm_rate: float = 0.01
    min_drop: float = 0.03
    min_rows: int = 20
    name: str = "estimated_performance"

    def examine(self, seen: Seen, reference: Reference) -> Finding:
        calibration = reference.evaluation.calibration
        if reference.task != "classification":
            return quiet(self.name, "Performance of a regression is not estimated without labels.")
        if calibration is None or not calibration.reference or not seen.confidence.size:
            return quiet(self.name, "The model gives no calibrated probabilities, so accuracy is not estimated without labels.")
        if seen.rows < self.min_rows:
            return quiet(self.name, f"{seen.rows} rows are too few to estimate accuracy from ({self.min_rows} needed).")
        value = float(calibrated(seen.confidence, calibration).mean())
        usual = float(np.mean(calibration.reference))
        lowest = min(usual + lower_bound(calibration.reference, seen.rows, self.false_alarm_rate), usual - self.min_drop)
        passed = value >= lowest
        compared = "as usual" if passed else "below what chance explains"
        return Finding(
            check=self.name,
            passed=passed,
            message=f"Estimated accuracy {value:.3f} on {seen.rows} predictions is {compared}: {usual:.3f} at evaluation, alarm under {lowest:.3f}.",
            observed=value,
            limit=lowest,
            severity="stop",
            evidence={"metric": "accuracy", "value": value, "reference": usual, "drop": relative_drop(value, usual),
                      "false_alarm_rate": self.false_alarm_rate, "rows": seen.rows},
        )  # fmt: skip


def calibrated(confidence: Floats, calibration: Calibration) -> Floats:
    """Chance of being right for each top confidence: linear between the calibration's points, constant outside."""
    return np.interp(confidence, calibration.confidence, calibration.accuracy)


def estimate(confidence: Floats, calibration: Calibration | None) -> Metric | None:
    """A window's estimated accuracy with a 95 % interval of its mean (normal); None when nothing can be estimated."""
    if calibration is None or not calibration.confidence or not confidence.size:
        return None
    chances = calibrated(confidence, calibration)
    mean, n = float(chances.mean()), int(chances.size)
    # Spread of the accuracy that would be realised: each row is right or not with its own chance.
    half = 1.96 * float(np.sqrt((chances * (1 - chances)).sum())) / n
    return Metric(name="accuracy", value=mean, n=n, low=max(0.0, mean - half), high=min(1.0, mean + half))


def relative_drop(value: float, reference: float) -> float:
    """How much worse than the reference, as a part of it; for a metric of which more is better."""
    return (reference - value) / reference if reference else 0.0


@lru_cache(maxsize=256)
def lower_bound(reference: tuple[float, ...], rows: int, alpha: float, draws: int = 4000, seed: int = 0) -> float:
    """The alpha quantile of (mean of `rows` draws) - (mean of as many draws as the reference has), both from the reference.

    The second mean is there because the evaluation rows are a sample too: without it a small evaluation alarms too often.
    Beyond 2000 rows both means are normal to any precision that matters.
    """
    values = np.asarray(reference, dtype=np.float64)
    generator = np.random.default_rng(seed)
    window = _means(values, rows, draws, generator)
    own = _means(values, values.size, draws, generator)
    return float(np.quantile(window - own, alpha))


def _means(values: Floats, rows: int, draws: int, generator: np.random.Generator) -> Floats:
    if rows > 2000:
        return generator.normal(values.mean(), values.std() / np.sqrt(rows), size=draws)
    means = np.empty(draws)
    for start in range(0, draws, 500):
        means[start : start + 500] = values[generator.integers(0, values.size, size=(min(500, draws - start), rows))].mean(axis=1)
    return means

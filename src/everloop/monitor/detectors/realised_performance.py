"""Accuracy or mean absolute error on the rows whose labels came."""

from __future__ import annotations

import math
from statistics import NormalDist

import msgspec

from everloop.core.models import Evaluation, Metric
from everloop.core.verdict import Finding
from everloop.monitor.detectors.detector import Reference, Seen, Value, quiet
from everloop.monitor.detectors.estimated_performance import relative_drop


class RealisedPerformance(msgspec.Struct, frozen=True, kw_only=True):
    """Fails when the metric is worse than at evaluation by a one-sided two-sample z-test at `false_alarm_rate`, and by at least the part
    `by` of the evaluation's value. Needs `min_labels` labelled rows. The rate is that of one look; labels that trickle in give a window
    a few."""

    false_alarm_rate: float = 0.005
    by: float = 0.05
    min_labels: int = 30
    name: str = "realised_performance"

    def examine(self, seen: Seen, reference: Reference) -> Finding:
        losses = row_losses(seen.labelled, reference.task)
        if len(losses) < self.min_labels:
            return quiet(self.name, f"{len(losses)} labels are too few to judge by ({self.min_labels} needed).", labelled=len(losses))
        metric = "accuracy" if reference.task == "classification" else "mae"
        usual = reference.evaluation.metric(metric) or _from_confusion(reference.evaluation, metric)
        if usual is None or usual.value is None or not usual.n:
            return quiet(self.name, f"The evaluation has no {metric} to compare with.", labelled=len(losses))
        n = len(losses)
        loss = math.fsum(losses) / n
        if metric == "accuracy":
            value, rise = 1 - loss, loss - (1 - usual.value)
            error = math.sqrt(_smoothed(loss * n, n) / n + _smoothed((1 - usual.value) * usual.n, usual.n) / usual.n)
            drop = relative_drop(value, usual.value)
        else:
            value, rise = loss, loss - usual.value
            spread = math.fsum((x - loss) ** 2 for x in losses) / max(n - 1, 1)
            known = (usual.high - usual.low) / 3.92 if usual.high is not None and usual.low is not None else math.sqrt(spread / usual.n)
            error = math.sqrt(spread / n + known**2)
            drop = -relative_drop(value, usual.value)
        allowed = max(NormalDist().inv_cdf(1 - self.false_alarm_rate) * error, self.by * usual.value)
        passed = rise <= allowed
        limit = usual.value - allowed if metric == "accuracy" else usual.value + allowed
        return Finding(
            check=self.name,
            passed=passed,
            message=f"Realised {metric} {value:.4g} on {n} labelled predictions, {usual.value:.4g} at evaluation, "
            f"alarm {'under' if metric == 'accuracy' else 'over'} {limit:.4g}.",
            observed=value,
            limit=limit,
            severity="stop",
            evidence={"metric": metric, "value": value, "reference": usual.value, "drop": drop,
                      "false_alarm_rate": self.false_alarm_rate, "labelled": n},
        )  # fmt: skip


def row_losses(labelled: tuple[tuple[Value, Value], ...], task: str) -> list[float]:
    """0 or 1 a row for classification (compared as text, since labels travel as JSON), the absolute error for regression.

    A label that is no number where one is needed is left out.
    """
    if task == "classification":
        return [0.0 if same(output, label) else 1.0 for output, label in labelled]
    losses: list[float] = []
    for output, label in labelled:
        try:
            error = abs(float(output) - float(label))  # type: ignore[arg-type]
        except (TypeError, ValueError):
            continue
        if math.isfinite(error):
            losses.append(error)
    return losses


def same(output: Value, label: Value) -> bool:
    return output == label or str(output) == str(label)


def realise(labelled: tuple[tuple[Value, Value], ...], task: str) -> Metric | None:
    """A window's realised metric with a 95 % interval (Wilson for accuracy, normal for the mean absolute error)."""
    losses = row_losses(labelled, task)
    n = len(losses)
    if not n:
        return None
    loss = math.fsum(losses) / n
    if task == "classification":
        p, z = 1 - loss, 1.96
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return Metric(name="accuracy", value=p, n=n, low=centre - half, high=centre + half)
    half = 1.96 * math.sqrt(math.fsum((x - loss) ** 2 for x in losses) / max(n - 1, 1) / n)
    return Metric(name="mae", value=loss, n=n, low=max(0.0, loss - half), high=loss + half)


def _smoothed(wrong: float, n: int) -> float:
    """Variance of one 0/1 loss after adding one of each (Agresti and Caffo, 2000): not zero when nothing went wrong yet."""
    p = (wrong + 1) / (n + 2)
    return p * (1 - p)


def _from_confusion(evaluation: Evaluation, metric: str) -> Metric | None:
    total = sum(map(sum, evaluation.confusion))
    if metric != "accuracy" or not total:
        return None
    right = sum(row[i] for i, row in enumerate(evaluation.confusion) if i < len(row))
    return Metric(name=metric, value=right / total, n=total)

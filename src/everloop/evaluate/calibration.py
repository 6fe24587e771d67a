"""Top confidence -> chance of being right, learned from evaluation rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from everloop.core.models import Calibration
from everloop.evaluate.metrics.outcomes import Floats, Outcomes

FOLDS = 5
MAX_KNOTS = 50
# Below, a map says more about chance than about the model.
MIN_ROWS = 20


def calibrate(rows: Outcomes, *, seed: int = 0) -> Calibration | None:
    """Isotonic regression by pool-adjacent-violators, averaged over five leave-one-fold-out fits: steps that only a few rows support
    become slopes. Between the points it is read linearly, outside it is constant.

    None without probabilities, with NaN among them, and below 20 rows.
    """
    if rows.probabilities is None or rows.n < MIN_ROWS or not np.isfinite(rows.probabilities).all():
        return None
    confidence = rows.probabilities.max(axis=1)
    right = (rows.truth == rows.predicted).astype(np.float64)
    fold = np.random.default_rng(seed).permutation(rows.n) % FOLDS
    knots = np.unique(np.quantile(confidence, np.linspace(0, 1, MAX_KNOTS)))
    curves = [_interpolated(knots, *pool(confidence[fold != k], right[fold != k])) for k in range(FOLDS)]
    accuracy: Floats = np.mean(curves, axis=0)
    reference = sorted(_interpolated(confidence, knots, accuracy).tolist())
    return Calibration(confidence=_plain(knots), accuracy=_plain(accuracy), reference=tuple(reference))


def pool(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Pool-adjacent-violators (Ayer et al., 1955): (mean x, mean y) of each block, both rising. Equal x are one observation.

    Each block's mean is drawn towards the overall mean by the weight of one row, so that a block of one right row is no certainty.
    """
    order = np.argsort(x, kind="stable")
    values, start, counts = np.unique(x[order], return_index=True, return_counts=True)
    sums = np.add.reduceat(y[order], start)
    blocks: list[tuple[float, float, float]] = []
    """(rows, sum of x, sum of y)"""
    for value, count, total in zip(values.tolist(), counts.tolist(), sums.tolist(), strict=True):
        rows, sum_x, sum_y = float(count), value * count, float(total)
        while blocks and blocks[-1][2] * rows >= sum_y * blocks[-1][0]:
            last = blocks.pop()
            rows, sum_x, sum_y = rows + last[0], sum_x + last[1], sum_y + last[2]
        blocks.append((rows, sum_x, sum_y))
    found = np.array(blocks)
    prior = float(y.mean())
    heights = np.maximum.accumulate((found[:, 2] + prior) / (found[:, 0] + 1))
    return found[:, 1] / found[:, 0], heights


def _interpolated(at: Floats, x: Floats, y: Floats) -> Floats:
    values: Any = np.interp(at, x, y)
    return values


def _plain(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)

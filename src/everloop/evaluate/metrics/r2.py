"""Share of the target's variance that is explained."""

from __future__ import annotations

from typing import Any

import numpy as np

from everloop.evaluate.metrics.measure import Measure
from everloop.evaluate.metrics.outcomes import Floats, Outcomes


class R2(Measure):
    """1 - sum of squared errors / sum of squared deviations from the mean. Undefined for a constant target. At most 1, without a lower end."""

    name = "r2"
    task = "regression"
    bounded = True

    def reduce(self, rows: Outcomes) -> tuple[Floats, Floats]:
        # Deviations from the overall mean, so that the sums below do not cancel for a target far from zero.
        deviation = rows.truth - rows.truth.mean()
        return np.stack([(rows.truth - rows.predicted) ** 2, deviation, deviation**2], axis=1), np.ones(rows.n)

    def value(self, groups: Any, weights: Floats) -> Floats:
        squared_error, deviation, squared_deviation = (weights @ groups).T
        n = weights.sum(axis=1)
        total = squared_deviation - deviation**2 / n
        varies = total > 1e-12 * np.maximum(squared_deviation, 0.0)
        return np.where(varies, 1 - squared_error / np.where(varies, total, 1.0), np.nan)

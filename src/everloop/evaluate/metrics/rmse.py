"""Root mean squared error."""

from __future__ import annotations

import numpy as np

from everloop.evaluate.metrics.outcomes import Floats, Outcomes
from everloop.evaluate.metrics.rows import RowMean


class RootMeanSquaredError(RowMean):
    """Square root of the mean of (truth - answer)^2, in the target's unit."""

    name = "rmse"
    task = "regression"
    direction = "lower"
    bounded = False

    def per_row(self, rows: Outcomes) -> Floats:
        return (rows.truth - rows.predicted) ** 2

    def after(self, mean: Floats) -> Floats:
        return np.sqrt(mean)

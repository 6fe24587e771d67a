"""Mean squared error."""

from __future__ import annotations

from everloop.evaluate.metrics.outcomes import Floats, Outcomes
from everloop.evaluate.metrics.rows import RowMean


class MeanSquaredError(RowMean):
    """Mean of (truth - answer)^2, in the target's unit squared."""

    name = "mse"
    task = "regression"
    direction = "lower"
    bounded = False

    def per_row(self, rows: Outcomes) -> Floats:
        return (rows.truth - rows.predicted) ** 2

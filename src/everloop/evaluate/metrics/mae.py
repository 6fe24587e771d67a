"""Mean absolute error."""

from __future__ import annotations

import numpy as np

from everloop.evaluate.metrics.outcomes import Floats, Outcomes
from everloop.evaluate.metrics.rows import RowMean


class MeanAbsoluteError(RowMean):
    """Mean of |truth - answer|, in the target's unit."""

    name = "mae"
    task = "regression"
    direction = "lower"
    bounded = False

    def per_row(self, rows: Outcomes) -> Floats:
        return np.abs(rows.truth - rows.predicted)

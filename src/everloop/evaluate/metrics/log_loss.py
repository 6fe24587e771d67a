"""Negative log-likelihood of the truth."""

from __future__ import annotations

import numpy as np

from everloop.evaluate.metrics.outcomes import Floats, Outcomes
from everloop.evaluate.metrics.rows import RowMean, probability_of_truth


class LogLoss(RowMean):
    """Mean of -ln p(true class). A probability of 0 counts as the smallest double step (2.2e-16), as in scikit-learn."""

    name = "log_loss"
    task = "classification"
    direction = "lower"
    needs = "probabilities"
    bounded = False

    def per_row(self, rows: Outcomes) -> Floats:
        eps = float(np.finfo(np.float64).eps)
        return -np.log(np.clip(probability_of_truth(rows), eps, 1 - eps))

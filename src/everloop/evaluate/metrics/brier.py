"""Squared error of the probabilities."""

from __future__ import annotations

import numpy as np

from everloop.evaluate.metrics.outcomes import Floats, Outcomes
from everloop.evaluate.metrics.rows import RowMean


class Brier(RowMean):
    """Two classes: mean of (p of the second - whether it happened)^2, in [0, 1]. More: Brier's sum over all classes (1950), halved to [0, 1]."""

    name = "brier"
    task = "classification"
    direction = "lower"
    needs = "probabilities"

    def per_row(self, rows: Outcomes) -> Floats:
        assert rows.probabilities is not None
        happened: Floats = np.eye(rows.probabilities.shape[1])[rows.truth.astype(np.int64)]
        # For two classes both columns err alike, so half the sum is the usual binary score.
        return np.square(rows.probabilities - happened).sum(axis=1) / 2

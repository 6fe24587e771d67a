"""Share of right answers."""

from __future__ import annotations

import numpy as np

from everloop.evaluate.metrics.confusion import OfConfusion
from everloop.evaluate.metrics.outcomes import Floats


class Accuracy(OfConfusion):
    """Right answers / answers."""

    name = "accuracy"
    task = "classification"

    def of_matrix(self, matrix: Floats) -> Floats:
        return np.trace(matrix, axis1=1, axis2=2) / matrix.sum(axis=(1, 2))

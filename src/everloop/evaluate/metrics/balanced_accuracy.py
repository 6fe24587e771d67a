"""Accuracy as if all classes were equally frequent."""

from __future__ import annotations

import numpy as np

from everloop.evaluate.metrics.confusion import OfConfusion
from everloop.evaluate.metrics.outcomes import Floats


class BalancedAccuracy(OfConfusion):
    """Mean of the recall of each class that occurs in truth."""

    name = "balanced_accuracy"
    task = "classification"

    def of_matrix(self, matrix: Floats) -> Floats:
        support = matrix.sum(axis=2)
        right = np.diagonal(matrix, axis1=1, axis2=2)
        recall = np.where(support > 0, right / np.where(support > 0, support, 1.0), 0.0)
        return recall.sum(axis=1) / (support > 0).sum(axis=1)

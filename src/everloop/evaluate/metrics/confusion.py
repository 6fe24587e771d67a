"""Metrics that are read off the confusion matrix, and the matrix itself."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from everloop.evaluate.metrics.measure import Measure
from everloop.evaluate.metrics.outcomes import Floats, Outcomes


def confusion(rows: Outcomes) -> Floats:
    """(k, k): rows of the matrix are the true class, columns the predicted one."""
    k = len(rows.classes)
    cells = (rows.truth * k + rows.predicted).astype(np.int64)
    return np.bincount(cells, minlength=k * k).reshape(k, k).astype(np.float64)


class OfConfusion(Measure):
    """`of_matrix` takes (b, k, k) to (b,). Resampling rows is drawing the cells from a multinomial, whatever n is."""

    @abstractmethod
    def of_matrix(self, matrix: Floats) -> Floats: ...

    def reduce(self, rows: Outcomes) -> tuple[tuple[Any, int], Floats]:
        matrix = confusion(rows).reshape(-1)
        used = np.flatnonzero(matrix)
        return (used, len(rows.classes)), matrix[used]

    def value(self, groups: Any, weights: Floats) -> Floats:
        used, k = groups
        matrix = np.zeros((len(weights), k * k))
        matrix[:, used] = weights
        return self.of_matrix(matrix.reshape(-1, k, k))


class OneAgainstRest(OfConfusion):
    """A ratio of one class's cells. Two classes: of the second one, the positive. More: the mean over the classes that occur in truth or
    answers (macro), each against the rest; undefined where it is for one of them."""

    @abstractmethod
    def ratio(self, tp: Floats, fp: Floats, fn: Floats, tn: Floats) -> Floats: ...

    def of_matrix(self, matrix: Floats) -> Floats:
        total = matrix.sum(axis=(1, 2))[:, None]
        tp = np.diagonal(matrix, axis1=1, axis2=2)
        fn = matrix.sum(axis=2) - tp
        fp = matrix.sum(axis=1) - tp
        found = self.ratio(tp, fp, fn, total - tp - fp - fn)
        k = matrix.shape[1]
        if k == 2:
            return found[:, 1]
        occurs = tp + fp + fn > 0
        return np.where(occurs, found, 0.0).sum(axis=1) / occurs.sum(axis=1)

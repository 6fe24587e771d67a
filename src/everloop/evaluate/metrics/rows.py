"""Metrics that are a mean of one number a row."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from everloop.evaluate.metrics.measure import Measure
from everloop.evaluate.metrics.outcomes import Floats, Outcomes


class RowMean(Measure):
    """`per_row` gives (n,); `after` is applied to the mean."""

    @abstractmethod
    def per_row(self, rows: Outcomes) -> Floats: ...

    def after(self, mean: Floats) -> Floats:
        return mean

    def reduce(self, rows: Outcomes) -> tuple[Floats, Floats]:
        return self.per_row(rows), np.ones(rows.n)

    def value(self, groups: Any, weights: Floats) -> Floats:
        return self.after(weights @ groups / weights.sum(axis=1))


def probability_of_truth(rows: Outcomes) -> Floats:
    assert rows.probabilities is not None
    return rows.probabilities[np.arange(rows.n), rows.truth.astype(np.int64)]

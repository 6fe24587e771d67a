"""Chance that a positive is ranked above a negative."""

from __future__ import annotations

from typing import Any

import numpy as np

from everloop.evaluate.metrics.measure import Measure
from everloop.evaluate.metrics.outcomes import Floats, Outcomes


class RocAuc(Measure):
    """Area under the ROC curve by rank sums, ties counting half (Hanley and McNeil, 1982). Two classes: of the second. More: the mean over
    the classes, each against the rest (macro). Undefined where a class, or its rest, does not occur in truth."""

    name = "roc_auc"
    task = "classification"
    needs = "probabilities"

    def reduce(self, rows: Outcomes) -> tuple[list[tuple[Any, Any, Floats]], Floats]:
        assert rows.probabilities is not None
        k = len(rows.classes)
        asked = [1] if k == 2 else [at for at in range(k) if at < rows.probabilities.shape[1]]
        ranked: list[tuple[Any, Any, Floats]] = []
        for at in asked:
            score = rows.probabilities[:, at]
            order = np.argsort(score, kind="stable")
            ties = np.flatnonzero(np.r_[True, np.diff(score[order]) != 0])
            ranked.append((order, ties, (rows.truth[order] == at).astype(np.float64)))
        return ranked, np.ones(rows.n)

    def value(self, groups: Any, weights: Floats) -> Floats:
        return np.mean([_area(weights[:, order], ties, positive) for order, ties, positive in groups], axis=0)


def _area(weights: Floats, ties: Any, positive: Floats) -> Floats:
    """Weights (b, n) in rising order of score, `ties` where each run of equal scores starts."""
    up = np.add.reduceat(weights * positive, ties, axis=1)
    down = np.add.reduceat(weights * (1 - positive), ties, axis=1)
    below = np.cumsum(down, axis=1) - down
    return (up * (below + down / 2)).sum(axis=1) / (up.sum(axis=1) * down.sum(axis=1))

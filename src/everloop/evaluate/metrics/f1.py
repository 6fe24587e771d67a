"""Harmonic mean of precision and recall."""

from __future__ import annotations

from everloop.evaluate.metrics.confusion import OneAgainstRest
from everloop.evaluate.metrics.outcomes import Floats


class F1(OneAgainstRest):
    """2 tp / (2 tp + fp + fn). Two classes: of the second; more: the mean over classes (macro)."""

    name = "f1"
    task = "classification"

    def ratio(self, tp: Floats, fp: Floats, fn: Floats, tn: Floats) -> Floats:
        return 2 * tp / (2 * tp + fp + fn)

"""How often a negative answer is right."""

from __future__ import annotations

from everloop.evaluate.metrics.confusion import OneAgainstRest
from everloop.evaluate.metrics.outcomes import Floats


class NegativePredictiveValue(OneAgainstRest):
    """tn / (tn + fn). Two classes: of the second; more: the mean over classes (macro)."""

    name = "npv"
    task = "classification"

    def ratio(self, tp: Floats, fp: Floats, fn: Floats, tn: Floats) -> Floats:
        return tn / (tn + fn)

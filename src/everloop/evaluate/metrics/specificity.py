"""How many of the negatives are left alone."""

from __future__ import annotations

from everloop.evaluate.metrics.confusion import OneAgainstRest
from everloop.evaluate.metrics.outcomes import Floats


class Specificity(OneAgainstRest):
    """tn / (tn + fp). Two classes: of the second; more: the mean over classes (macro)."""

    name = "specificity"
    task = "classification"

    def ratio(self, tp: Floats, fp: Floats, fn: Floats, tn: Floats) -> Floats:
        return tn / (tn + fp)

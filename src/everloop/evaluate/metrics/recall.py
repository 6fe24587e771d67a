"""How many of the positives are found."""

from __future__ import annotations

from everloop.evaluate.metrics.confusion import OneAgainstRest
from everloop.evaluate.metrics.outcomes import Floats


class Recall(OneAgainstRest):
    """tp / (tp + fn). Two classes: of the second; more: the mean over classes (macro)."""

    name = "recall"
    task = "classification"

    def ratio(self, tp: Floats, fp: Floats, fn: Floats, tn: Floats) -> Floats:
        return tp / (tp + fn)

"""False alarms among the negatives."""

from __future__ import annotations

from everloop.evaluate.metrics.confusion import OneAgainstRest
from everloop.evaluate.metrics.outcomes import Floats


class FalsePositiveRate(OneAgainstRest):
    """fp / (fp + tn). Two classes: of the second; more: the mean over classes (macro)."""

    name = "fpr"
    task = "classification"
    direction = "lower"

    def ratio(self, tp: Floats, fp: Floats, fn: Floats, tn: Floats) -> Floats:
        return fp / (fp + tn)

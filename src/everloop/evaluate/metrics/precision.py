"""How often a positive answer is right."""

from __future__ import annotations

from everloop.evaluate.metrics.confusion import OneAgainstRest
from everloop.evaluate.metrics.outcomes import Floats


class Precision(OneAgainstRest):
    """tp / (tp + fp). Two classes: of the second; more: the mean over classes (macro)."""

    name = "precision"
    task = "classification"

    def ratio(self, tp: Floats, fp: Floats, fn: Floats, tn: Floats) -> Floats:
        return tp / (tp + fp)

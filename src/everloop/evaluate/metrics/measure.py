"""What a metric is, and how its interval comes about."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl

from everloop.core.models import Metric, Task
from everloop.core.ports import Answers
from everloop.evaluate.metrics.outcomes import Floats, Outcomes, outcomes

RESAMPLES = 400
MIN_RESAMPLES = 100
# Weights drawn for one metric at most: bounds time and memory on large parts.
MAX_DRAWS = 8_000_000
MAX_ROWS = 80_000


class Measure(ABC):
    """A metric. A new one is a file with a subclass, and a line in the entry-point group `everloop.metrics`.

    `bounded`: its values lie in [0, 1], so that differences of it are read as such; others are compared in parts of a reference.
    """

    name: ClassVar[str]
    task: ClassVar[Task]
    direction: ClassVar[Literal["higher", "lower"]] = "higher"
    needs: ClassVar[Literal["labels", "probabilities"]] = "labels"
    bounded: ClassVar[bool] = True

    @abstractmethod
    def reduce(self, rows: Outcomes) -> tuple[Any, Floats]:
        """All that `value` needs, in g groups of equal rows, and how many rows each group has, (g,). Never called for 0 rows."""

    @abstractmethod
    def value(self, groups: Any, weights: Floats) -> Floats:
        """The metric for each of b weightings of the groups, (b, g) -> (b,); NaN where it is undefined (0/0)."""

    def of(self, rows: Outcomes) -> float | None:
        """The metric; None where undefined, without rows, and without the probabilities that it needs."""
        if rows.n == 0 or (self.needs == "probabilities" and rows.probabilities is None):
            return None
        groups, counts = self.reduce(rows)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            found = float(self.value(groups, counts[None, :])[0])
        return found if math.isfinite(found) else None

    def compute(self, truth: pl.Series | Sequence[Any], answers: Answers, classes: Sequence[str] = ()) -> float | None:
        """The metric of plain truth and answers. `classes` is `Signature.classes`; the second one counts as positive where there are two."""
        return self.of(outcomes(truth, answers, task=self.task, classes=classes))

    def estimate(self, rows: Outcomes, *, slice: str = "", seed: int = 0) -> Metric:
        """With n and a 95 % percentile bootstrap interval (Efron, 1979) over rows: 400 resamples, fewer on large parts.

        Above 80,000 rows a sample is resampled instead, and the interval narrowed by the square root of the ratio (m out of n).
        Intervals are None where the metric is, and below 2 rows.
        """
        value = self.of(rows)
        if value is None or rows.n < 2:
            return Metric(name=self.name, value=value, n=rows.n, slice=slice)
        generator = np.random.default_rng([seed, rows.n])
        used, shrink = rows, 1.0
        groups, counts = self.reduce(rows)
        if len(counts) > MAX_ROWS:
            used = rows.take(generator.choice(rows.n, MAX_ROWS, replace=False))
            shrink = math.sqrt(used.n / rows.n)
            groups, counts = self.reduce(used)
        values = np.concatenate([self._resampled(groups, weights) for weights in _weights(counts, generator)])
        values = values[np.isfinite(values)]
        if not len(values):
            return Metric(name=self.name, value=value, n=rows.n, slice=slice)
        low, high = (float(edge) for edge in np.quantile(values, [0.025, 0.975]))
        if shrink < 1:
            middle = float(np.median(values))
            low, high = value + (low - middle) * shrink, value + (high - middle) * shrink
        # A metric whose resamples all lie on one side of it (a maximum, say) still lies in its own interval.
        return Metric(name=self.name, value=value, n=rows.n, low=min(low, value), high=max(high, value), slice=slice)

    def _resampled(self, groups: Any, weights: Floats) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            return self.value(groups, weights)


def _weights(counts: Floats, generator: np.random.Generator) -> list[Floats]:
    """How often each group occurs in each resample of all rows, in chunks of resamples."""
    groups, n = len(counts), int(counts.sum())
    if groups < n // 4:
        return [generator.multinomial(n, counts / n, size=RESAMPLES).astype(np.float64)]
    resamples = max(MIN_RESAMPLES, min(RESAMPLES, MAX_DRAWS // n))
    owner = np.repeat(np.arange(groups), counts.astype(np.int64))
    chunk = max(1, 1_000_000 // n)
    chunks: list[Floats] = []
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        drawn = owner[generator.integers(0, n, size=(size, n))] + np.arange(size)[:, None] * groups
        chunks.append(np.bincount(drawn.reshape(-1), minlength=size * groups).reshape(size, groups).astype(np.float64))
    return chunks

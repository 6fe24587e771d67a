"""Losses of two versions -> is the second one worse, with a stated error rate however often one looks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import NormalDist

import msgspec


class Losses(msgspec.Struct, frozen=True, kw_only=True):
    """Sums of a loss a row: 0 or 1 for a class, the absolute error for a number."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0
    binary: bool = True

    @property
    def mean(self) -> float:
        return self.total / self.n if self.n else 0.0

    def error(self) -> float:
        """Standard error of the mean. Of 0/1 losses after adding one of each (Agresti and Caffo, 2000), so that it is never zero."""
        if self.n == 0:
            return math.inf
        if self.binary:
            p = (self.total + 1) / (self.n + 2)
            return math.sqrt(p * (1 - p) / (self.n + 2))
        variance = max(0.0, self.squares / self.n - self.mean**2) * self.n / max(self.n - 1, 1)
        return math.sqrt(variance / self.n)


def losses(values: Iterable[float], *, binary: bool) -> Losses:
    known = list(values)
    return Losses(n=len(known), total=math.fsum(known), squares=math.fsum(x * x for x in known), binary=binary)


def spent(alpha: float, look: int) -> float:
    """The part of `alpha` for the look-th look (from 1): alpha 6 / (pi k)^2. All looks together spend at most `alpha` (union bound)."""
    return alpha * 6 / (math.pi * look) ** 2


def is_worse(new: Losses, old: Losses, *, alpha: float, look: int, margin: float) -> bool:
    """One-sided two-sample z-test at this look's part of `alpha`, and worse by more than `margin` in the mean."""
    rise = new.mean - old.mean
    error = math.hypot(new.error(), old.error())
    return rise > margin and rise > NormalDist().inv_cdf(1 - spent(alpha, look)) * error

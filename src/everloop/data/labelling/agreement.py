"""How far labellers agree, beyond what chance would give: percent agreement, Cohen's and Fleiss' kappa, Krippendorff's alpha.

Every coefficient is None where it is 0/0: without a row that two people labelled, or when all that was ever said is one and the same value, so that
agreement by chance is certain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from itertools import combinations
from typing import Literal, TypeAlias, TypeVar

import msgspec

R = TypeVar("R", bound=Hashable)
Ratings: TypeAlias = Sequence[Mapping[str, R]]
"""One mapping a row: who said what. Rows may have any number of raters, none too."""


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """Two people on the `rows` that both labelled."""

    first: str
    second: str
    rows: int
    percent: float | None
    kappa: float | None


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """`rows` are those with two labels or more; `percent` is the mean share of agreeing pairs in a row, 0 to 1. `kappa` is Fleiss'."""

    rows: int
    percent: float | None
    kappa: float | None
    alpha: float | None
    pairs: tuple[Pair, ...] = ()


def agreement(ratings: Ratings[R], *, level: Literal["nominal", "interval"] = "nominal") -> Agreement:
    """All coefficients of a queue. For numbers (`interval`) only alpha weighs how far apart two answers are."""
    people = sorted({person for row in ratings for person in row})
    pairs: list[Pair] = []
    for first, second in combinations(people, 2):
        both = [(row[first], row[second]) for row in ratings if first in row and second in row]
        if both:
            same = sum(a == b for a, b in both) / len(both)
            kappa = cohen([a for a, _ in both], [b for _, b in both])
            pairs.append(Pair(first=first, second=second, rows=len(both), percent=same, kappa=kappa))
    units = [list(row.values()) for row in ratings if len(row) >= 2]
    return Agreement(
        rows=len(units), percent=percent(units), kappa=fleiss(units), alpha=krippendorff(units, level=level), pairs=tuple(pairs)
    )


def percent(units: Sequence[Sequence[R]]) -> float | None:
    """The mean, over rows with two answers or more, of the share of pairs that agree."""
    shares = [_agreeing(unit) for unit in units if len(unit) >= 2]
    return sum(shares) / len(shares) if shares else None


def cohen(first: Sequence[R], second: Sequence[R]) -> float | None:
    """Kappa of two raters on the same rows (Cohen 1960, A coefficient of agreement for nominal scales)."""
    n = len(first)
    if n == 0:
        return None
    observed = sum(a == b for a, b in zip(first, second, strict=True)) / n
    ours, theirs = Counter(first), Counter(second)
    # Integers until the division: chance agreement of exactly 1 must be seen as such.
    by_chance = sum(count * theirs[value] for value, count in ours.items())
    return None if by_chance == n * n else (observed - by_chance / n**2) / (1 - by_chance / n**2)


def fleiss(units: Sequence[Sequence[R]]) -> float | None:
    """Kappa of any number of raters (Fleiss 1971, Measuring nominal scale agreement among many raters).

    Rows may have different numbers of answers: a row's agreement is over its own pairs, every row weighs the same, and the shares of the values are
    those among all answers. With equal numbers that is Fleiss' own formula. Rows with fewer than two answers say nothing.
    """
    units = [unit for unit in units if len(unit) >= 2]
    observed = percent(units)
    if observed is None:
        return None
    totals = Counter(value for unit in units for value in unit)
    n = sum(totals.values())
    by_chance = sum(count * count for count in totals.values())
    return None if by_chance == n * n else (observed - by_chance / n**2) / (1 - by_chance / n**2)


def krippendorff(units: Sequence[Sequence[R]], *, level: Literal["nominal", "interval"] = "nominal") -> float | None:
    """Alpha for any number of raters and missing answers (Krippendorff 2011, Computing Krippendorff's alpha-reliability): 1 - observed/expected
    disagreement, from the matrix of coinciding values; `interval` weighs a pair by its squared difference."""
    units = [unit for unit in units if len(unit) >= 2]
    n = sum(map(len, units))
    if not n:
        return None
    if level == "interval":
        return _interval_alpha([[float(value) for value in unit if isinstance(value, int | float)] for unit in units])
    totals = Counter(value for unit in units for value in unit)
    expected = n * n - sum(count * count for count in totals.values())
    observed = sum((1 - _agreeing(unit)) * len(unit) for unit in units)
    return None if expected == 0 else 1 - (n - 1) * observed / expected


def _interval_alpha(units: Sequence[Sequence[float]]) -> float | None:
    """Sums of squared differences over all pairs are n times the squared deviations from the mean: no pair is formed."""
    every = [value for unit in units for value in unit]
    if not every or min(every) == max(every):
        return None
    expected = _spread(every) / (len(every) - 1)
    observed = sum(_spread(unit) / (len(unit) - 1) for unit in units)
    return 1 - observed / expected


def _spread(values: Sequence[float]) -> float:
    """Sum of (a - b)^2 over ordered pairs."""
    mean = sum(values) / len(values)
    return 2 * len(values) * sum((value - mean) ** 2 for value in values)


def _agreeing(unit: Sequence[R]) -> float:
    n = len(unit)
    return sum(count * (count - 1) for count in Counter(unit).values()) / (n * (n - 1))

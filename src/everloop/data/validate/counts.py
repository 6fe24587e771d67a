"""How many rows break which rule: what a table is reduced to before anybody judges it. Counts of parts add up to those of the whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec


class Which(NamedTuple):
    """A rule: the check, and the column or the rule's title (a key's columns, joined)."""

    check: str
    subject: str


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """`nulls` of every column that was looked at, `odd` its NaN and infinities; `broken` how many values (rows for `rule`, surplus rows for
    `unique` and `keys`) break a rule; `newest` the newest time of the freshness rule's column, seconds since the epoch. `unasked` are rules that could
    not be asked, with the reason, `estimated` those whose count is an estimate."""

    rows: int
    nulls: Mapping[str, int] = {}
    odd: Mapping[str, int] = {}
    broken: Mapping[Which, int] = {}
    newest: float | None = None
    unasked: Mapping[Which, str] = {}
    estimated: frozenset[Which] = frozenset()

    def missing(self, column: str) -> int:
        """Rows without a value."""
        return self.nulls.get(column, 0) + self.odd.get(column, 0)

    def valid(self, column: str) -> int:
        return self.rows - self.missing(column)


def add(a: Counts, b: Counts) -> Counts:
    """Of two parts of one table. Surplus rows add up only where a value of one part is in no other: see `Seen`."""
    return Counts(
        rows=a.rows + b.rows,
        nulls=_sum(a.nulls, b.nulls),
        odd=_sum(a.odd, b.odd),
        broken={which: a.broken.get(which, 0) + b.broken.get(which, 0) for which in {**a.broken, **b.broken}},
        newest=max((found for found in (a.newest, b.newest) if found is not None), default=None),
        unasked={**a.unasked, **b.unasked},
        estimated=a.estimated | b.estimated,
    )


def _sum(a: Mapping[str, int], b: Mapping[str, int]) -> dict[str, int]:
    return {name: a.get(name, 0) + b.get(name, 0) for name in {**a, **b}}

"""The twenty rules that everybody holds the orders against, as data: each peer is given them in its own words.

`broken` says what must be found, so that a validation which looked away is no figure.
"""

from __future__ import annotations

from typing import TypedDict

from measure.orders import CHANNELS, COUNTRIES, LOST_COUNTRY_EVERY, OLD_AGE_EVERY, STATUSES


class Rule(TypedDict, total=False):
    """`check` is one of present, unique, between, among, matches, at_most (`other`: the column that bounds it)."""

    check: str
    column: str
    low: float
    high: float
    values: list[str]
    pattern: str
    other: str


RULES: tuple[Rule, ...] = (
    {"check": "present", "column": "id"},
    {"check": "unique", "column": "id"},
    {"check": "matches", "column": "id", "pattern": r"^order-\d{10}$"},
    {"check": "present", "column": "at"},
    {"check": "present", "column": "price"},
    {"check": "present", "column": "city"},
    {"check": "among", "column": "channel", "values": list(CHANNELS)},
    {"check": "among", "column": "status", "values": list(STATUSES)},
    {"check": "among", "column": "country", "values": list(COUNTRIES)},
    {"check": "matches", "column": "customer", "pattern": r"^c\d{6}$"},
    {"check": "between", "column": "quantity", "low": 1, "high": 100},
    {"check": "between", "column": "price", "low": 0, "high": 100_000},
    {"check": "between", "column": "discount", "low": 0, "high": 1},
    {"check": "between", "column": "weight_kg", "low": 0, "high": 1_000},
    {"check": "between", "column": "distance_km", "low": 0, "high": 20_000},
    {"check": "between", "column": "age", "low": 18, "high": 120},
    {"check": "between", "column": "rating", "low": 1, "high": 5},
    {"check": "between", "column": "latitude", "low": -90, "high": 90},
    {"check": "between", "column": "balance", "low": -100_000, "high": 100_000},
    {"check": "at_most", "column": "price", "other": "list_price"},
)


def broken(rows: int) -> dict[str, int]:
    """How many rules, and how many rows in all, the orders break."""
    counts = [len(range(17, rows, OLD_AGE_EVERY)), len(range(23, rows, LOST_COUNTRY_EVERY))]
    return {"rules": sum(count > 0 for count in counts), "rows": sum(counts)}

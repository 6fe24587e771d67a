"""What a column's rule asks of values of a kind: the one list that the check of a table and the check of a row are both compiled from."""

from __future__ import annotations

import math

from everloop.core.rules.tree import INT_HIGH, INT_LOW
from everloop.core.schemas import ColumnRule, Schema, Stage
from everloop.core.tables import Kind

NUMBERS: tuple[Kind, ...] = ("int", "float")
MEASURED: tuple[Kind, ...] = ("text", "bytes", "list")
"""Kinds that have a length."""


def alike(kind: Kind, other: Kind) -> bool:
    """Whether the rules of a column of one kind can be asked of the other."""
    return kind == other or (kind in NUMBERS and other in NUMBERS)


def row_checks(rule: ColumnRule, kind: Kind) -> tuple[str, ...]:
    """The checks that one value can break. A vocabulary without a word was read off a column without a value: it asks nothing."""
    found = [] if rule.nullable else ["nulls"]
    if kind in NUMBERS and (rule.low is not None or rule.high is not None):
        found.append("range")
    if rule.vocabulary and kind in (*NUMBERS, "text"):
        found.append("categories")
    if rule.pattern is not None and kind == "text":
        found.append("pattern")
    if kind in MEASURED and (rule.min_length is not None or rule.max_length is not None):
        found.append("lengths")
    return tuple(found)


def bounds(rule: ColumnRule, kind: Kind) -> tuple[int | float | None, int | float | None]:
    """The inclusive range. Of whole numbers it is whole: a float bound would compare them by their nearest floats."""
    if kind != "int":
        return rule.low, rule.high
    low = None if rule.low is None else max(math.ceil(_clipped(rule.low)), INT_LOW)
    high = None if rule.high is None else min(math.floor(_clipped(rule.high)), INT_HIGH)
    return low, high


def _clipped(bound: float) -> float:
    return min(max(bound, INT_LOW), INT_HIGH)


def asked(schema: Schema, stage: Stage) -> tuple[ColumnRule, ...]:
    """The columns that are there in this stage."""
    return tuple(rule for rule in schema.columns if stage not in rule.absent_in)
